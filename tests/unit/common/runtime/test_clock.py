"""The machine's clocks."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from common.runtime.clock import SystemClock
from tests.support.aio import run


def test_monotonic_time_goes_on_while_the_host_sleeps() -> None:
    """It is CLOCK_BOOTTIME."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = SystemClock().monotonic()

    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_wall_time_is_utc() -> None:
    """For people, in one zone everywhere."""
    now = SystemClock().wall()

    assert now.tzinfo is UTC
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)


def test_sleep_takes_as_long_as_it_says() -> None:
    """On the running loop."""
    clock = SystemClock()
    before = clock.monotonic()

    run(clock.sleep(0.05))

    assert 0.04 <= clock.monotonic() - before < 2
