"""Keeps a primary within its lease where nothing else protects commits: ``k = 0`` (protocol, section 7).

While that is so PostgreSQL may run as primary only as long as the sentinels must take its lease to live.
The end of the lease counts from before each keepalive was sent, and only while the report stands in the
store under just that lease: it is the key whose end the sentinels see, and the report tells them how long
they have to wait then. Two things end PostgreSQL in time. The keeper stops it a third of the lease before
the end; the deadman kills it a sixth before, should the keeper hang or be gone.

The order of effects: the lease is confirmed -> the deadman has acknowledged its new deadline -> only then
does the keeper count on it. So whatever fails, a keepalive, the report or the deadman, the limits simply
do not move, and PostgreSQL ends by those before. A shorter lease than the one before is reported once the
deadman has the earlier deadline; until then the report names the longer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from common.errors import DeadmanUnavailable, PostgresUnavailable, StoreUnavailable
from common.runtime.clock import Clock
from common.store.signal import Signal
from keeper.deadman.wire import Answer

STOP_SHARE: Final = 3
KILL_SHARE: Final = 6
"""A lease's length divided by these: how long before its end the keeper stops, and the deadman kills."""

TICK_S: Final = 0.1
"""How often the deadman and the report are looked at, besides each keepalive, while a lease protects."""

IDLE_S: Final = 60.0
PUBLISHED_WITHIN_S: Final = 1.0
_RETRY_S: Final = 0.1

_log = structlog.get_logger()


class Lease(Protocol):
    """What is asked of a :class:`common.store.session.Session`."""

    lease_id: int | None
    granted_s: float
    valid_until: float

    def on_confirmed(self, listener: Callable[[], None]) -> None:
        """Call back whenever the store has confirmed it."""


class Guard(Protocol):
    """What is asked of a :class:`keeper.deadman.client.Deadman`; each raises DeadmanUnavailable."""

    @property
    def is_there(self) -> bool: ...  # noqa: D102 - as there

    def was_left(self) -> bool: ...  # noqa: D102 - as there

    async def ensure(self) -> Answer: ...  # noqa: D102 - as there

    async def arm(self, deadline: float, *, limit_s: float) -> Answer: ...  # noqa: D102 - as there

    async def disarm(self) -> Answer: ...  # noqa: D102 - as there

    async def close(self) -> None: ...  # noqa: D102 - as there


class NoDeadman:
    """Where none can be started: then there is no ``k = 0`` either."""

    is_there = False

    def was_left(self) -> bool:
        """There never was one."""
        return False

    async def ensure(self) -> Answer:
        """Refuse; raises DeadmanUnavailable."""
        raise DeadmanUnavailable("this keeper was put together without a deadman")

    async def arm(self, deadline: float, *, limit_s: float) -> Answer:
        """Refuse; raises DeadmanUnavailable."""
        raise DeadmanUnavailable(f"no deadman takes the deadline {deadline:.3f}, within {limit_s:g} s")

    async def disarm(self) -> Answer:
        """Refuse; raises DeadmanUnavailable."""
        raise DeadmanUnavailable("this keeper was put together without a deadman")

    async def close(self) -> None:
        """There is nothing to let go."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Until when PostgreSQL may run, in seconds of the clock, and the length of the lease behind that."""

    stop_at: float
    kill_at: float
    ttl_s: float


def limits_of(lease_end: float, ttl_s: float) -> Limits:
    """The limits that a lease sets which lives until ``lease_end`` at least."""
    return Limits(lease_end - ttl_s / STOP_SHARE, lease_end - ttl_s / KILL_SHARE, ttl_s)


class LeaseFence:
    """Guards one keeper's PostgreSQL; start :meth:`loops` as tasks.

    ``is_published``: whether the report stands in the store as last offered, under the present lease;
    ``reported_ttl_s``: the length of the lease that it named. ``is_believed``: whether the store is the one
    in which the sentinels count, not one that was restored beside it. ``stop`` ends PostgreSQL, within so
    many seconds where it does so in order, and returns once nothing of it is left.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        lease: Lease,
        deadman: Guard,
        is_published: Callable[[], bool],
        reported_ttl_s: Callable[[], float | None],
        stop: Callable[[float], Awaitable[None]],
        is_believed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._clock = clock
        self._lease = lease
        self._deadman = deadman
        self._is_published = is_published
        self._is_believed = is_believed
        self._reported_ttl_s = reported_ttl_s
        self._stop = stop
        self._one_at_a_time = asyncio.Lock()
        self._stopping = asyncio.Lock()
        self._wake = Signal(clock)
        self._published: tuple[int, float] | None = None
        self._limits: Limits | None = None
        self._held = False
        self._said = ""
        lease.on_confirmed(self._wake.notify)

    @property
    def is_guarding(self) -> bool:
        """Whether a primary may run now: the deadman has a deadline, and the keeper's own is ahead."""
        return self._held and self._clock.monotonic() < self._stop_at

    @property
    def is_overdue(self) -> bool:
        """Whether PostgreSQL must be ended before anything else is done."""
        return self._held and self._clock.monotonic() >= self._stop_at

    @property
    def may_be_armed(self) -> bool:
        """Whether a deadman may have a deadline, or may be killing whatever starts."""
        return self._limits is not None

    @property
    def ttl_s(self) -> float:
        """What the report must say: how long after the end of its key PostgreSQL may run at most."""
        return max(self._lease.granted_s, self._limits.ttl_s if self._limits else 0.0)

    @property
    def _stop_at(self) -> float:
        return self._limits.stop_at if self._limits else math.inf

    def note_published(self) -> None:
        """Look whether the report stands in the store, and under which lease."""
        ttl_s, lease_id = self._reported_ttl_s(), self._lease.lease_id
        if ttl_s is not None and lease_id is not None and self._is_published():
            self._published = (lease_id, ttl_s)

    def _limits_by_lease(self) -> Limits | None:
        """What the present lease allows; None where the sentinels do not, or not yet, count by it."""
        self.note_published()
        lease = self._lease
        if self._published is None or lease.lease_id != self._published[0] or not self._is_believed():
            return None
        return (
            limits_of(lease.valid_until, lease.granted_s) if lease.granted_s <= self._published[1] else None
        )

    async def hold(self) -> None:
        """Have PostgreSQL guarded from now on; it is when this returns.

        Raises StoreUnavailable when there is no lease to count on, DeadmanUnavailable when nobody would
        kill: then nothing may be started, promoted or applied that only a lease protects.
        """
        async with self._one_at_a_time:
            await self._until_published()
            if not self._deadman.is_there:
                await self._deadman.ensure()
            limits = self._limits_by_lease()
            if limits is None or limits.stop_at <= self._clock.monotonic():
                raise StoreUnavailable(
                    "commits that no standby acknowledges need a lease that is confirmed in time, with the "
                    "report under it"
                )
            await self._arm(limits)
            self._held = True
        self._wake.notify()

    async def _until_published(self) -> None:
        limit = self._clock.monotonic() + PUBLISHED_WITHIN_S
        while self._limits_by_lease() is None and self._clock.monotonic() < limit:
            await self._clock.sleep(_RETRY_S / 5)

    async def _arm(self, limits: Limits) -> None:
        self._limits = self._limits or limits  # from here on it may be armed, whatever becomes of the answer
        await self._deadman.arm(limits.kill_at, limit_s=limits.ttl_s)
        self._limits = limits

    async def release(self) -> None:
        """Guard no longer: PostgreSQL is down and starts in recovery, or ``k >= 1`` is in force and applied.

        Raises DeadmanUnavailable while the deadman cannot be told, or still kills.
        """
        if not self.may_be_armed:
            return
        async with self._one_at_a_time:
            if not self._deadman.is_there and self._deadman.was_left():
                await self._deadman.ensure()
            if self._deadman.is_there:
                await self._deadman.disarm()
            self._held, self._limits = False, None
            await self._deadman.close()
        _log.info("lease_fence_released")

    async def take_over(self) -> bool:
        """Find the deadman that an earlier life has left; return whether it guards PostgreSQL still.

        What it was told stays in force until the lease of this life moves it.
        """
        if not self._deadman.was_left():
            return False
        async with self._one_at_a_time:
            now = self._clock.monotonic()
            self._limits = Limits(-math.inf, -math.inf, 0.0)
            answer = await self._deadman.ensure()
            if answer.state == "idle":
                self._limits = None
            elif answer.state == "armed":
                self._limits = Limits(answer.deadline, answer.deadline, max(0.0, answer.deadline - now))
                self._held = True
        return self._held

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run, each for ever: one waits for the deadman, so the other must not."""
        return (self._follow_the_lease(), self._stop_in_time())

    async def _follow_the_lease(self) -> None:
        while True:
            seen = self._wake.version
            if self._held:
                await self.follow()
            await self._wake.wait(TICK_S if self._held else IDLE_S, since=seen)

    async def follow(self) -> None:
        """Move the limits to what the lease allows by now, the deadman's first."""
        limits = self._limits_by_lease()
        if limits is None or limits.stop_at <= self._clock.monotonic():
            return  # those from before hold, and the report names the longer lease
        if limits == self._limits and self._deadman.is_there:
            return
        try:
            async with self._one_at_a_time:
                if not self._held:
                    return
                if not self._deadman.is_there:
                    await self._deadman.ensure()
                await self._arm(limits)
        except DeadmanUnavailable as error:
            self._say("deadman_unavailable", str(error))
        else:
            self._say("", "")

    def _say(self, event: str, error: str) -> None:
        if event and event != self._said:
            _log.error(event, error=error, stops_in_s=round(self._stop_at - self._clock.monotonic(), 3))
        self._said = event

    async def _stop_in_time(self) -> None:
        while True:
            seen = self._wake.version
            if self.is_overdue:
                await self.stop_now()
                continue
            left_s = self._stop_at - self._clock.monotonic() if self._held else IDLE_S
            await self._wake.wait(min(max(left_s, 0.0), IDLE_S), since=seen)

    async def stop_now(self) -> None:
        """End PostgreSQL, in order while there is time for it. The deadman keeps what it was told."""
        async with self._stopping:
            if not self.is_overdue or self._limits is None:
                return
            now = self._clock.monotonic()
            _log.critical(
                "lease_ends", ends_in_s=round(self._limits.kill_at - now, 3), ttl_s=self._limits.ttl_s
            )
            try:
                await self._stop(max(0.0, self._limits.kill_at - now))
            except (PostgresUnavailable, OSError) as error:
                _log.error("not_stopped", error=str(error))
                await self._clock.sleep(_RETRY_S)
            else:
                self._held = False
