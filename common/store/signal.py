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
        self._event = asyncio.Event()
        self.version = 0

    def notify(self) -> None:
        """Count a change and wake all who wait."""
        self.version += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, timeout_s: float | None, *, since: int | None = None) -> bool:
        """Wait for a change after version ``since`` (now, when left out); False at the timeout."""
        known = self.version if since is None else since
        if self.version > known:
            return True
        waiting = asyncio.ensure_future(self._event.wait())
        if timeout_s is None:
            return await waiting
        timer = asyncio.ensure_future(self._clock.sleep(timeout_s))
        try:
            await asyncio.wait({waiting, timer}, return_when=asyncio.FIRST_COMPLETED)
            return self.version > known
        finally:
            waiting.cancel()
            timer.cancel()
