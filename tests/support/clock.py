"""A clock that stands still until the test moves it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

_TURNS_TO_SETTLE = 50


class ManualClock:
    """The Clock port by hand: sleepers wake in order when :meth:`advance` reaches their time."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self._now

    def wall(self) -> datetime:
        return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=self._now)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), sleeper))
        await sleeper

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.Future[None]:
        timer = asyncio.get_running_loop().create_future()
        timer.add_done_callback(lambda done: None if done.cancelled() else callback())
        if seconds <= 0:
            timer.set_result(None)
        else:
            heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), timer))
        return timer

    async def advance(self, seconds: float) -> None:
        """Let time pass; every task runs until it waits again before each step."""
        target = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            self._now, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)
                await settle()
        self._now = target
        await settle()


async def settle() -> None:
    """Let every task run until it waits for time or for somebody."""
    for _ in range(_TURNS_TO_SETTLE):
        await asyncio.sleep(0)
