"""Requests in a store: created once, taken back, bounded in number."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from common.errors import InvalidDocument, UnsafeOperation
from common.model.keys import Keys
from common.model.requests import OPEN_LIMIT, Continue, Pause, Request
from common.store.requests import NoSuchRequest, RequestStore
from tests.unit.common.store.builders import World, in_a_world

KEYS = Keys("demo")
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def request(**fields: Any) -> Request:
    whole: dict[str, Any] = {"id": "r-1", "by": "anna", "at": NOON, "term": 4, "operation": Pause()}
    return Request.model_validate(whole | fields)


@in_a_world
async def test_the_same_request_again_is_no_second_one(world: World) -> None:
    """Whoever had no answer asks again, and is told how it is by now; another request needs another id."""
    requests = RequestStore(world.store, KEYS)
    await requests.create(request())
    begun = request().told("began", NOON)
    world.put(KEYS.request("r-1"), begun.to_bytes())

    assert await requests.create(request(term=5)) == begun
    with pytest.raises(UnsafeOperation, match="another request"):
        await requests.create(request(operation=Continue()))


@in_a_world
async def test_a_lost_answer_is_settled_by_asking_again(world: World) -> None:
    """Written or not: there is one request."""
    requests = RequestStore(world.store, KEYS)
    for number, applied in (("r-1", True), ("r-2", False)):
        world.store.lose_answer(applied=applied)
        creating = world.start(requests.create(request(id=number)))
        await world.clock.advance(5)

        assert creating.result() == request(id=number)

        world.store.lose_answer(applied=applied)
        cancelling = world.start(requests.cancel(number, by="ben", at=NOON))
        await world.clock.advance(5)

        assert cancelling.result().cancel is not None


@in_a_world
async def test_open_requests_are_bounded_in_number(world: World) -> None:
    """What has ended does not count, nor does what cannot be read."""
    requests = RequestStore(world.store, KEYS)
    world.put(KEYS.request("bad"), b"{")
    world.put(KEYS.request("over"), request(id="over").ended("done", "", NOON).to_bytes())
    for number in range(OPEN_LIMIT):
        await requests.create(request(id=f"n-{number}"))

    with pytest.raises(UnsafeOperation, match="open already"):
        await requests.create(request(id="one-too-many"))
    assert len(await requests.all()) == OPEN_LIMIT + 1


@in_a_world
async def test_taking_back_is_a_word_that_the_leader_answers(world: World) -> None:
    """What has ended cannot be taken back; what is not there is named."""
    requests = RequestStore(world.store, KEYS)
    await requests.create(request())
    first = await requests.cancel("r-1", by="ben", at=NOON)
    again = await requests.cancel("r-1", by="carl", at=NOON)
    world.put(KEYS.request("over"), request(id="over").ended("done", "", NOON).to_bytes())

    assert first.cancel is not None
    assert (first.state, first.cancel.by) == ("pending", "ben")
    assert again == first
    with pytest.raises(UnsafeOperation, match="has ended: done"):
        await requests.cancel("over", by="ben", at=NOON)
    with pytest.raises(NoSuchRequest, match="no request r-7"):
        await requests.cancel("r-7", by="ben", at=NOON)


@in_a_world
async def test_what_cannot_be_read_is_removed_by_taking_it_back(world: World) -> None:
    """Nobody would ever end it."""
    world.put(KEYS.request("bad"), b"{")

    with pytest.raises(InvalidDocument):
        await RequestStore(world.store, KEYS).cancel("bad", by="ben", at=NOON)
    assert world.values(KEYS.requests) == {}
