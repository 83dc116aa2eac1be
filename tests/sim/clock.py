"""The clock of one process: it drifts, and its time of day is wrong and jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


class SimClock:
    """The Clock port on a loop's virtual time.

    ``rate`` is how many seconds it counts in one (0.99 to 1.01 for a bad quartz). ``uptime_s`` is what it
    shows at the loop's zero, so that no two hosts' clocks can be mixed up unseen. The time of day is off by
    ``wall_offset_s``.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        rate: float = 1.0,
        uptime_s: float = 1000.0,
        wall_offset_s: float = 0.0,
    ) -> None:
        self._loop = loop
        self._rate = rate
        self._uptime_s = uptime_s
        self._wall_offset_s = wall_offset_s

    def monotonic(self) -> float:
        """Seconds of a clock that never jumps."""
        return self._uptime_s + self._rate * self._loop.time()

    def wall(self) -> datetime:
        """The time of day as this host believes it."""
        return EPOCH + timedelta(seconds=self._rate * self._loop.time() + self._wall_offset_s)

    async def sleep(self, seconds: float) -> None:
        """Wait until this clock has counted so many seconds."""
        await asyncio.sleep(seconds / self._rate)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """Call back once this clock has counted so many seconds."""
        return self._loop.call_later(seconds / self._rate, callback)

    def jump_wall(self, seconds: float) -> None:
        """Set the time of day forward or back; the monotonic clock does not notice."""
        self._wall_offset_s += seconds
