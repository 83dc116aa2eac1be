"""Telling several waiters that something changed, without losing a change between two waits."""

from __future__ import annotations

import asyncio

from common.runtime.clock import Clock


class Signal:
    """A counter of changes that can be waited on.

    Take ``version``, look at the state, then wait for anything newer: a change in between is not lost.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: set[asyncio.Future[None]] = set()
        self.version = 0

    def notify(self) -> None:
        """Count a change and wake all who wait."""
        self.version += 1
        for waiting in self._waiting:
            _wake(waiting)

    async def wait(self, timeout_s: float | None, *, since: int | None = None) -> bool:
        """Wait for a change after version ``since`` (now, when left out); False at the timeout."""
        known = self.version if since is None else since
        if self.version > known:
            return True
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        timer = None if timeout_s is None else self._clock.call_later(timeout_s, lambda: _wake(waiting))
        try:
            await waiting
            return self.version > known
        finally:
            self._waiting.discard(waiting)
            if timer is not None:
                timer.cancel()


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
