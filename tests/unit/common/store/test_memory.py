"""What the store in memory does beyond the contract: faults on demand, and leases by the injected clock."""

from __future__ import annotations

import pytest

from common.errors import StoreUnavailable, UnknownOutcome
from common.store.memory import MemoryStore
from common.store.port import Put
from tests.support.clock import settle
from tests.unit.common.store.builders import World, in_a_world


@in_a_world
async def test_leases_end_by_the_injected_clock_in_the_order_of_their_ends(world: World) -> None:
    """Not a moment before, and a watch sees it though nobody calls."""
    late, early = world.server.grant(9).id, world.server.grant(3).id
    world.put("/late", b"", late)
    known = world.put("/early", b"", early)
    ended: list[tuple[str, float]] = []

    async def follow() -> None:
        async for batch in world.store.watch("/", after_revision=known):
            ended.extend((event.item.key, world.clock.monotonic()) for event in batch.events)

    began = world.clock.monotonic()
    world.start(follow())
    await world.clock.advance(20)

    assert ended == [("/early", began + 3), ("/late", began + 9)]


@in_a_world
async def test_a_fault_of_one_client_leaves_the_others_alone(world: World) -> None:
    """A cut client gets its answer at its deadline; one next to it works."""
    other = MemoryStore(world.server)
    world.store.cut()
    began = world.clock.monotonic()
    cut_off = world.start(world.store.read("/"))
    await settle()
    await other.transact([], [Put("/a", b"1")])
    await world.clock.advance(2)

    with pytest.raises(StoreUnavailable, match="within 2 s"):
        await cut_off
    assert world.clock.monotonic() == began + 2
    assert world.values() == {"/a": b"1"}


@pytest.mark.parametrize(("applied", "values"), [(True, {"/a": b"1"}), (False, {})])
def test_a_lost_answer_leaves_the_write_done_or_not_as_told(applied: bool, values: dict[str, bytes]) -> None:
    """The caller is told the same in both cases, after its deadline; the next write is well."""

    @in_a_world
    async def story(world: World) -> None:
        world.store.lose_answer(applied=applied)
        writing = world.start(world.store.transact([], [Put("/a", b"1")]))
        await world.clock.advance(2)

        with pytest.raises(UnknownOutcome):
            await writing
        assert world.values() == values
        assert (await world.store.transact([], [Put("/b", b"")])).succeeded

    story()


@in_a_world
async def test_a_store_without_space_takes_no_puts_and_no_leases(world: World) -> None:
    """Reads, deletions and keepalives go on; its members show the alarm."""
    lease = world.server.grant(5)
    world.put("/a", b"1")
    world.server.no_space = True

    with pytest.raises(StoreUnavailable, match="NOSPACE"):
        await world.store.transact([], [Put("/a", b"2")])
    with pytest.raises(StoreUnavailable, match="NOSPACE"):
        await world.store.grant_lease(5)
    assert await world.store.keep_alive(lease.id) == 5
    assert (await world.store.members())[0].alarms == ("alarm:NOSPACE",)
    world.delete("/a")
    assert world.values() == {}


@in_a_world
async def test_the_same_steps_give_the_same_revisions_and_leases(world: World) -> None:
    """Nothing in it is left to chance or to the order of threads."""
    again = World()
    for each in (world, again):
        each.put("/a", b"", each.server.grant(2).id)
        each.put("/b", b"", each.server.grant(2).id)
        await each.clock.advance(3)
        each.put("/c", b"")

    assert world.server.items("/") == again.server.items("/")
    assert world.server.changes("/", 1) == again.server.changes("/", 1)
