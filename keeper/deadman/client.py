"""The keeper's side of the deadman.

What a keeper owes it, while ``k = 0`` is in force or about to be (protocol, section 7):

- :meth:`Deadman.ensure`, then :meth:`Deadman.arm`, *before* it starts or promotes PostgreSQL, and before a
  primary that runs obeys a view with ``k = 0``. Any error: it does not do it.
- the deadline of each arm is counted from before the keepalive that confirms it was *sent*.
- :meth:`Deadman.wait_gone` beside all that: a deadman that is gone is ensured and armed anew, or
  PostgreSQL is stopped, before :attr:`Deadman.margin_s` has run out.
- any error of an arm: PostgreSQL is stopped by the keeper itself, before the lease ends.
- :meth:`Deadman.disarm` only when ``k >= 1`` is in force and applied, or PostgreSQL is down and whatever
  starts next starts in recovery.
- one life of a keeper at a time: it holds the root directory's lock before it calls anything here.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import structlog

from common.errors import DeadmanUnavailable
from common.runtime.clock import Clock
from keeper.deadman.connection import Connection
from keeper.deadman.launch import Child
from keeper.deadman.wire import Answer, socket_path

ANSWER_WITHIN_S: Final = 1.0
START_WITHIN_S: Final = 10.0
_RETRY_S: Final = 0.02
_START_AGAIN_S: Final = 0.5

_log = structlog.get_logger()


class Deadman:
    """The deadman of one root directory. Calls are made one after the other; the wait may run beside."""

    def __init__(self, root: Path, data: Path, clock: Clock) -> None:
        """``data`` is the directory whose processes it kills; both paths are absolute."""
        self._root = root
        self._data = data
        self._clock = clock
        self._connection: Connection | None = None
        self._child: Child | None = None
        self._last: Answer | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is a connection with one."""
        return self._connection is not None and not self._connection.gone.is_set()

    def was_left(self) -> bool:
        """Whether an earlier life may have left one: where none listens, none can ever have been armed."""
        return socket_path(self._root).exists()

    @property
    def margin_s(self) -> float | None:
        """How long until it fires, by its last answer: negative once it has, None while it is not armed."""
        if self._last is None or self._last.state == "idle":
            return None
        return self._last.deadline - self._clock.monotonic()

    async def ensure(self, *, timeout_s: float = START_WITHIN_S) -> Answer:
        """Take over the deadman that is there, with what is armed, or start one; say how it stands.

        Raises DeadmanUnavailable when there is none that answers within ``timeout_s``.
        """
        give_up = self._clock.monotonic() + timeout_s
        started_at = float("-inf")
        if self._child is not None and self._child.has_ended():
            self._child = None  # one of an earlier time, which this is to replace
        while True:
            now = self._clock.monotonic()
            try:
                return await self._adopt(max(0.1, give_up - now))
            except DeadmanUnavailable as error:
                problem = error
            if self._child is not None:
                self._child.check()
            if now > give_up:
                raise DeadmanUnavailable(f"no deadman within {timeout_s:g} s: {problem}") from problem
            # One that found the lock taken has ended: the holder is about to listen, or about to end.
            if (self._child is None or self._child.has_ended()) and now - started_at > _START_AGAIN_S:
                self._child = await asyncio.to_thread(Child, self._root, self._data)
                started_at = now
            await self._clock.sleep(_RETRY_S)

    async def _adopt(self, timeout_s: float) -> Answer:
        if not self.is_there:
            self._connection = await Connection.open(self._root, timeout_s)
        answer = await self._ask("status", min(timeout_s, ANSWER_WITHIN_S))
        _log.info(
            "deadman_ready",
            process=answer.pid,
            state=answer.state,
            margin_s=answer.margin_s,
            locked=answer.locked,
            priority=answer.priority,
        )
        return answer

    async def arm(self, deadline: float, *, limit_s: float, timeout_s: float = ANSWER_WITHIN_S) -> Answer:
        """Have every process of the data directory killed at ``deadline``; armed when this returns.

        ``deadline`` is in seconds of CLOCK_BOOTTIME, which is what the Clock's monotonic() reads;
        further away than ``limit_s`` (what the store granted) it is refused. The latest arm counts.
        Raises DeadmanUnavailable: then nothing is certain but the deadline before.
        """
        left_s = deadline - self._clock.monotonic()
        if left_s <= 0:
            raise DeadmanUnavailable(f"the deadline passed {-left_s:.3f} s ago: nothing was armed")
        return await self._ask("arm", min(timeout_s, left_s), deadline=deadline, limit_s=limit_s)

    async def disarm(self, *, timeout_s: float = ANSWER_WITHIN_S) -> Answer:
        """Forget the deadline; raises DeadmanUnavailable, also while it kills."""
        return await self._ask("disarm", timeout_s)

    async def status(self, *, timeout_s: float = ANSWER_WITHIN_S) -> Answer:
        """How it stands, for metrics; raises DeadmanUnavailable."""
        return await self._ask("status", timeout_s)

    async def wait_gone(self) -> None:
        """Return when there is no connection with a deadman any more; at once when there is none."""
        if self._connection is not None:
            await self._connection.gone.wait()

    async def close(self) -> None:
        """Let go, at the end of this keeper's life; what is armed stays armed."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _ask(self, op: str, timeout_s: float, *, deadline: float = 0.0, limit_s: float = 0.0) -> Answer:
        if self._connection is None:
            raise DeadmanUnavailable("there is no deadman: ensure() comes first")
        answer = await self._connection.ask(op, timeout_s, deadline=deadline, limit_s=limit_s)
        if self._last is not None and answer.pid == self._last.pid and answer.fired > self._last.fired:
            _log.error("deadman_has_fired", process=answer.pid, killed=answer.killed, left=answer.left)
        self._last = answer
        return answer
