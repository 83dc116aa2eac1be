"""One sentinel on the store in memory, and what operators ask of it: done once, whoever dies when."""

from __future__ import annotations

from typing import Any

from common.model.history import HistoryEvent
from common.model.requests import AnyOperation, Pause, Request, Resume
from common.model.view import ClusterView
from tests.support import healthy
from tests.unit.common.store.builders import World, in_a_world
from tests.unit.sentinel.test_service import KEYS, Sentinel, document, put


def ask(world: World, operation: AnyOperation, number: str = "r-1", **fields: Any) -> None:
    request = Request(
        id=number, by="anna", at=world.clock.wall(), term=healthy.TERM, operation=operation, **fields
    )
    world.put(KEYS.request(number), request.to_bytes())


@in_a_world
async def test_what_an_operator_asks_for_is_done_once_and_said(world: World) -> None:
    """With the view and the event of one revision; nothing more is written about it."""
    put(world)
    Sentinel(world)
    await world.clock.advance(2)
    ask(world, Pause())
    await world.clock.advance(5)
    items = {item.key: item for item in world.server.items(KEYS.prefix)}
    request = document(world, KEYS.request("r-1"), Request)

    assert (request.state, document(world, KEYS.view, ClusterView).generation) == ("done", 18)
    assert items[KEYS.request("r-1")].mod_revision == items[KEYS.view].mod_revision


@in_a_world
async def test_a_leader_whose_answer_was_lost_does_nothing_twice(world: World) -> None:
    """Its successor finds the request as the view is: begun, or not."""
    put(world)
    sentinel = Sentinel(world)
    await world.clock.advance(2)
    for number, applied in (("r-1", True), ("r-2", False)):
        ask(world, Pause() if applied else Resume(), number)
        world.store.lose_answer(applied=applied)
        await world.clock.advance(10)
    for task in sentinel.tasks:
        task.cancel()
    Sentinel(world, "s2")
    await world.clock.advance(20)
    events = [document(world, key, HistoryEvent) for key in world.values(KEYS.history)]

    assert [event.kind for event in events] == ["paused", "resumed"]
    assert [document(world, KEYS.request(n), Request).state for n in ("r-1", "r-2")] == ["done", "done"]


@in_a_world
async def test_a_refused_request_makes_no_generation(world: World) -> None:
    """It ends with the reason."""
    put(world)
    Sentinel(world)
    await world.clock.advance(2)
    ask(world, Resume())
    await world.clock.advance(5)
    request = document(world, KEYS.request("r-1"), Request)

    assert (request.state, request.result) == ("done", "the cluster is not paused")
    assert document(world, KEYS.view, ClusterView).generation == 17
