"""Writing the spec: by compare-and-swap, with those before it kept up to a limit."""

from __future__ import annotations

import pytest

from common.errors import Conflict, UnknownOutcome
from common.model.keys import Keys
from common.model.past_spec import PAST_SPECS_LIMIT
from common.model.spec import ClusterSpec
from common.store.port import Store
from pgha.spec.store import Signature, read_stored, write_spec
from tests.support.healthy import NOW
from tests.unit.common.store.builders import World, in_a_world

KEYS = Keys("demo")
HOW = Signature("ann", NOW, "apply")


def spec(acks: int) -> ClusterSpec:
    return ClusterSpec.from_plain({"durability": {"acks": acks}})


async def write(store: Store, acks: int) -> int:
    return await write_spec(store, KEYS, await read_stored(store, KEYS), spec(acks), HOW)


@in_a_world
async def test_each_spec_is_kept_with_its_number_and_who_wrote_it(world: World) -> None:
    """The last one is the one in force."""
    assert [await write(world.store, acks) for acks in (1, 2, 3)] == [1, 2, 3]
    found = await read_stored(world.store, KEYS)

    assert found.spec == spec(3)
    assert [(each.number, each.by, each.how) for each in found.past] == [
        (number, "ann", "apply") for number in (1, 2, 3)
    ]
    assert found.numbered(2) is not None
    assert found.numbered(4) is None


@in_a_world
async def test_no_more_than_the_limit_are_kept(world: World) -> None:
    """The oldest goes in the transaction that adds the newest."""
    for number in range(PAST_SPECS_LIMIT + 3):
        await write(world.store, 1 + number % 8)
    found = await read_stored(world.store, KEYS)

    assert len(found.past) == PAST_SPECS_LIMIT
    assert found.latest == PAST_SPECS_LIMIT + 3
    assert found.past[0].number == 4


@in_a_world
async def test_who_was_overtaken_writes_nothing(world: World) -> None:
    """Neither the spec nor the history changes."""
    await write(world.store, 1)
    old = await read_stored(world.store, KEYS)
    await write(world.store, 2)
    before = world.values()

    with pytest.raises(Conflict, match="somebody else has changed the spec"):
        await write_spec(world.store, KEYS, old, spec(3), HOW)
    assert world.values() == before


@in_a_world
async def test_a_spec_that_something_else_wrote_is_kept_before_it_is_replaced(world: World) -> None:
    """So that it can be put back like any other."""
    await write(world.store, 1)
    world.put(KEYS.spec, spec(5).to_bytes())
    assert (await read_stored(world.store, KEYS)).before_present == 1

    assert await write(world.store, 2) == 3
    found = await read_stored(world.store, KEYS)
    assert found.before_present == 2
    assert [(each.how, each.spec.durability.acks) for each in found.past] == [
        ("apply", 1),
        ("found in the store", 5),
        ("apply", 2),
    ]


@pytest.mark.parametrize("applied", [True, False])
def test_a_lost_answer_is_settled_by_reading_back(applied: bool) -> None:
    """Done is done, and what is not known to be done is said."""

    @in_a_world
    async def story(world: World) -> None:
        found = await read_stored(world.store, KEYS)
        world.store.lose_answer(applied=applied)
        writing = world.start(write_spec(world.store, KEYS, found, spec(2), HOW))
        await world.clock.advance(2)

        if applied:
            assert await writing == 1
        else:
            with pytest.raises(UnknownOutcome):
                await writing

    story()


@in_a_world
async def test_what_cannot_be_read_hides_nothing_else(world: World) -> None:
    """A broken past spec is left out; a broken spec is told from none, and can be replaced."""
    await write(world.store, 1)
    await write(world.store, 2)
    world.put(KEYS.past_spec(1), b"{")
    world.put(KEYS.spec, b"{")
    found = await read_stored(world.store, KEYS)

    assert found.spec is None
    assert found.revision > 0
    assert found.problem
    assert [each.number for each in found.past] == [2]
    assert await write(world.store, 3) == 3
