"""The clocks for processes that import nothing but the standard library, and little of it."""

from __future__ import annotations

import time


def boottime_s() -> float:
    """Seconds of CLOCK_BOOTTIME: goes on while a host sleeps, and is one and the same for all processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def utc_text() -> str:
    """The time of day in UTC, for people: never for a decision."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
