"""The clocks: the one place that reads them.

Decisions use the monotonic clock only (``CLOCK_BOOTTIME``, which goes on while a host sleeps).
Wall-clock time stands in history and logs alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from common.runtime.bareclock import boottime_s


class Timer(Protocol):
    """Something that will happen."""

    def cancel(self) -> object:
        """Let it not happen; nothing, when it has."""


class Clock(Protocol):
    """What a service may know about time."""

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps; only differences mean something."""

    def wall(self) -> datetime:
        """The time of day in UTC, for people: never for a decision."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call back once, after so many seconds: a wait that costs no task."""


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Seconds of CLOCK_BOOTTIME."""
        return boottime_s()

    def wall(self) -> datetime:
        """The time of day in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call back on the running event loop."""
        return asyncio.get_running_loop().call_later(seconds, callback)
