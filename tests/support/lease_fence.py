"""A lease fence on a clock that stands still, with the session and the deadman that it stands on."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from common.errors import DeadmanUnavailable, PostgresUnavailable
from keeper.deadman.fuse import Fuse
from keeper.deadman.wire import Answer
from keeper.lease_fence import LeaseFence
from tests.support.clock import ManualClock

TTL_S = 6.0


@dataclass
class FakeLease:
    """A session whose keepalives the test makes."""

    clock: ManualClock
    lease_id: int | None = 1
    granted_s: float = TTL_S
    valid_until: float = -math.inf
    listeners: list[Callable[[], None]] = field(default_factory=list)

    def on_confirmed(self, listener: Callable[[], None]) -> None:
        self.listeners.append(listener)

    def confirm(self) -> None:
        """The store confirms a keepalive that was sent at this instant."""
        self.valid_until = self.clock.monotonic() + self.granted_s
        for listener in self.listeners:
            listener()


@dataclass
class FakeDeadman:
    """The real fuse behind the calls of the client."""

    clock: ManualClock
    fuse: Fuse = field(default_factory=Fuse)
    is_there: bool = False
    left: bool = False
    gone: bool = False
    late_s: float = 0.0

    def was_left(self) -> bool:
        return self.left

    async def ensure(self) -> Answer:
        self.is_there = not self.gone
        return await self._answer(self.fuse)

    async def arm(self, deadline: float, *, limit_s: float) -> Answer:
        return await self._answer(self.fuse.arm(self.clock.monotonic(), deadline, limit_s))

    async def disarm(self) -> Answer:
        return await self._answer(self.fuse.disarm())

    async def close(self) -> None:
        self.is_there = False

    async def _answer(self, outcome: Fuse | str) -> Answer:
        await self.clock.sleep(self.late_s)
        if self.gone or isinstance(outcome, str):
            raise DeadmanUnavailable(str(outcome))
        self.fuse = outcome
        return Answer(1, outcome.state, 7, outcome.deadline)


@dataclass
class Stage:
    """A fence, what it stands on, and when it ended PostgreSQL."""

    clock: ManualClock = field(default_factory=ManualClock)
    published: bool = True
    reported_ttl_s: float | None = TTL_S
    stopped: list[tuple[float, float]] = field(default_factory=list)
    stop_fails: int = 0

    def __post_init__(self) -> None:
        self.began = self.clock.monotonic()
        self.lease = FakeLease(self.clock)
        self.deadman = FakeDeadman(self.clock)
        self.fence = LeaseFence(
            clock=self.clock,
            lease=self.lease,
            deadman=self.deadman,
            is_published=lambda: self.published,
            reported_ttl_s=lambda: self.reported_ttl_s,
            stop=self.stop,
        )

    async def stop(self, timeout_s: float) -> None:
        self.stopped.append((self.clock.monotonic() - self.began, timeout_s))
        if len(self.stopped) <= self.stop_fails:
            raise PostgresUnavailable("a process does not end")

    @property
    def kills_at(self) -> float:
        """When the deadman would kill, from the beginning."""
        return self.deadman.fuse.deadline - self.began

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """PostgreSQL is guarded, and the loops run; the lease was confirmed at the beginning."""
        tasks = [asyncio.create_task(loop) for loop in self.fence.loops()]
        self.lease.confirm()
        await self.fence.hold()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
