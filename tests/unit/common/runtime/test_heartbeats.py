"""A process is alive while all of its loops are."""

from __future__ import annotations

import asyncio

import pytest

from common.runtime.heartbeats import Heartbeats
from tests.support.clock import ManualClock


def advance(clock: ManualClock, seconds: float) -> None:
    asyncio.run(clock.advance(seconds))


def test_one_loop_that_stands_still_is_enough_to_be_dead() -> None:
    """It is named, and the others cannot make up for it."""
    clock = ManualClock()
    hearts = Heartbeats(clock)
    service, probe = hearts.loop("service"), hearts.loop("probe")
    advance(clock, 2)
    service()
    probe()
    advance(clock, 2)
    service()
    assert hearts.all_alive(3)

    advance(clock, 2)

    assert not hearts.all_alive(3)
    assert hearts.stalled(3) == ("probe",)
    assert hearts.stalled(1) == ("service", "probe")


def test_a_loop_that_goes_on_is_alive_again() -> None:
    """After a pause of the whole process, for example."""
    clock = ManualClock()
    hearts = Heartbeats(clock)
    beat = hearts.loop("service")
    advance(clock, 100)
    assert not hearts.all_alive(3)

    beat()

    assert hearts.all_alive(3)


def test_a_loop_that_never_began_is_dead_after_the_limit() -> None:
    """It is expected from the moment that it was announced."""
    clock = ManualClock()
    hearts = Heartbeats(clock)
    hearts.loop("service")
    assert hearts.all_alive(3)

    advance(clock, 3.5)

    assert hearts.stalled(3) == ("service",)


def test_two_loops_cannot_share_a_name() -> None:
    """One would vouch for the other."""
    hearts = Heartbeats(ManualClock())
    hearts.loop("service")

    with pytest.raises(ValueError, match="two loops are called service"):
        hearts.loop("service")
