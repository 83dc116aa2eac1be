"""A sentinel whose store was restored from a backup."""

from __future__ import annotations

from common.model.history import HistoryEvent
from common.model.identity import Acceptance
from common.model.reports import SentinelReport
from common.model.view import ClusterView
from tests.support.builders import running_view
from tests.support.healthy import NOW
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
