"""The signal: no change is lost, and all who wait hear of it."""

from __future__ import annotations

import asyncio

from common.store.signal import Signal
from tests.support.clock import settle
from tests.unit.common.store.builders import World, in_a_world


@in_a_world
async def test_one_change_wakes_all_who_wait(world: World) -> None:
    """With a limit or without one."""
    signal = Signal(world.clock)
    waits = [world.start(signal.wait(timeout_s)) for timeout_s in (None, 5.0, None)]
    await settle()
    before = [wait.done() for wait in waits]
    signal.notify()
    await settle()

    assert before == [False, False, False]
    assert [wait.result() for wait in waits] == [True, True, True]


@in_a_world
async def test_a_change_between_the_look_and_the_wait_is_not_lost(world: World) -> None:
    """The wait is over before it begins, also one without a limit."""
    signal = Signal(world.clock)
    seen = signal.version
    signal.notify()

    assert await signal.wait(None, since=seen)
    assert not await signal.wait(0.0)


@in_a_world
async def test_a_wait_ends_at_its_limit(world: World) -> None:
    """It says that nothing changed, and a later change finds nobody."""
    signal = Signal(world.clock)
    waiting = world.start(signal.wait(5.0))
    await world.clock.advance(4.9)
    early = waiting.done()
    await world.clock.advance(0.2)
    signal.notify()

    assert not early
    assert waiting.result() is False


@in_a_world
async def test_several_changes_at_once_are_one(world: World) -> None:
    """Whoever waits again from the version that it has seen then waits for a newer one."""
    signal = Signal(world.clock)
    waiting = world.start(signal.wait(None))
    await settle()
    signal.notify()
    signal.notify()
    await settle()
    again = world.start(signal.wait(5.0, since=signal.version))
    await settle()

    assert waiting.result() is True
    assert not again.done()


@in_a_world
async def test_a_wait_that_is_cancelled_leaves_the_others_waiting(world: World) -> None:
    """They still hear of the change."""
    signal = Signal(world.clock)
    given_up, stays = world.start(signal.wait(None)), world.start(signal.wait(5.0))
    await settle()
    given_up.cancel()
    await asyncio.wait({given_up})
    signal.notify()
    await settle()

    assert given_up.cancelled()
    assert stays.result() is True
