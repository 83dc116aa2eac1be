"""A sentinel whose store was restored from a backup."""

from __future__ import annotations

from typing import Any

from common.model.history import HistoryEvent
from common.model.identity import Acceptance, StoreMemory
from common.model.reports import SentinelReport
from common.model.view import ClusterView
from tests.support.builders import SANDUN_2, keeper, running_view
from tests.support.healthy import NOW, TERM
from tests.unit.common.store.builders import World, in_a_world
from tests.unit.sentinel.test_service import KEYS, Sentinel, document, primary_dies, put, said


@in_a_world
async def test_a_restored_store_stops_every_decision_until_an_operator_has_accepted_it(world: World) -> None:
    """The primary of the old view dies, and nobody takes over; then the leader writes a view above all."""
    put(world)
    backup = world.server.backup()
    sentinel = Sentinel(world)
    await world.clock.advance(3)
    world.put(KEYS.view, running_view(generation=20).to_bytes())
    await world.clock.advance(2)
    world.server.restore(backup, cluster_id=2)
    await world.clock.advance(3)
    primary_dies(world)
    await world.clock.advance(10)
    suspended, view = said(world), document(world, KEYS.view, ClusterView)
    report = document(world, KEYS.sentinel("s1"), SentinelReport)
    word = Acceptance(
        by="op",
        at=NOW,
        store_id=world.values()[KEYS.store_id].decode(),
        cluster_id="2",
        generation=20,
        term=running_view().term,
        view=running_view(generation=20),
        view_revision=next(item.mod_revision for item in world.server.items(KEYS.view)),
    )
    world.put(KEYS.acceptance, word.to_bytes())
    await world.clock.advance(3)
    event = document(world, KEYS.event(120), HistoryEvent)

    assert view == running_view()
    assert suspended >= {("store_restored", "s1"), ("no_primary_while_suspended", "")}
    assert report.store.cluster_id == "1"
    assert report.store.suspended != ()
    assert sentinel.rounds > 0
    assert (event.kind, event.generation) == ("store_accepted", 120)
    assert document(world, KEYS.view, ClusterView).phase == "sealing"
    assert document(world, KEYS.view, ClusterView).generation > 120
    assert ("store_restored", "s1") not in said(world)


@in_a_world
async def test_what_one_keeper_knew_suspends_also_once_it_is_gone(world: World) -> None:
    """It alone may have obeyed the view that was lost: a set, say, under which it acknowledged."""
    put(world)
    sentinel = Sentinel(world)
    await world.clock.advance(3)
    knows = StoreMemory(store_id="store-of-s1", cluster_id="1", generation=99, term=TERM)
    world.put(KEYS.keeper(SANDUN_2), keeper(SANDUN_2, store=knows, generation=99).to_bytes())
    await world.clock.advance(3)
    world.delete(KEYS.keeper(SANDUN_2))
    primary_dies(world)
    await world.clock.advance(10)

    assert document(world, KEYS.view, ClusterView) == running_view()
    assert ("store_restored", "s1") in said(world)
    assert sentinel.rounds > 0


@in_a_world
async def test_a_leader_knows_what_it_wrote_before_any_mirror_has_shown_it(world: World) -> None:
    """The store goes back in that moment, and whoever obeyed the view is gone: the leader is a witness."""
    put(world)
    sentinel = Sentinel(world)
    await world.clock.advance(3)
    backup, write = world.server.backup(), sentinel.writer.write

    async def write_and_hear_no_more(*args: Any, **kwargs: Any) -> int:
        world.store.deafen()
        return await write(*args, **kwargs)

    sentinel.writer.write = write_and_hear_no_more  # type: ignore[method-assign]
    primary_dies(world)
    await world.clock.advance(0.2)
    written: ClusterView = document(world, KEYS.view, ClusterView)
    world.server.restore(backup)
    world.server.revision += 1000
    world.store.heal()
    await world.clock.advance(10)

    assert written.phase == "sealing"
    assert document(world, KEYS.view, ClusterView) == running_view()
    assert (
        "generation 18 was obeyed" in document(world, KEYS.sentinel("s1"), SentinelReport).store.suspended[0]
    )


@in_a_world
async def test_a_leader_whose_image_mixes_two_pasts_notices(world: World) -> None:
    """The store was restored and written to before its watch went on: nothing seems to have gone back."""
    put(world)
    backup = world.server.backup()
    Sentinel(world)
    await world.clock.advance(3)
    world.put(KEYS.view, running_view(generation=20).to_bytes())
    await world.clock.advance(2)
    grown = world.server.revision + 2
    world.server.restore(backup)
    while world.server.revision < grown:
        world.put("/elsewhere", b"x")
    primary_dies(world)
    await world.clock.advance(10)

    assert document(world, KEYS.view, ClusterView) == running_view()
    assert ("store_restored", "s1") in said(world)
