"""A service's mirrors against its memory."""

from __future__ import annotations

from common.model.identity import Acceptance, StoreMemory
from common.model.keys import Keys
from common.store.guard import StoreGuard
from common.store.mirror import Mirror
from tests.support.healthy import NOW, view
from tests.unit.common.store.builders import World, in_a_world

KEYS = Keys("demo")


def guard_of(world: World) -> StoreGuard:
    """A guard over mirrors of its own, running."""
    mirrors = [Mirror(world.store, world.clock, prefix) for prefix in (KEYS.view, KEYS.store)]
    guard = StoreGuard(KEYS, view=mirrors[0], store=mirrors[1])
    for loop in (mirrors[0].run(), *guard.loops()):
        world.start(loop)
    return guard


@in_a_world
async def test_nothing_is_judged_before_the_store_was_read(world: World) -> None:
    """What is not known yet is neither right nor wrong."""
    guard = guard_of(world)
    before = guard.look(StoreMemory())
    await world.clock.advance(1)
    after = guard.look(StoreMemory())

    assert before is None
    assert after is not None
    assert after.memory.cluster_id == f"{world.server.cluster_id:x}"


@in_a_world
async def test_a_view_of_another_cluster_id_is_never_taken_for_ours(world: World) -> None:
    """Whichever mirror is the first to see that store."""
    world.put(KEYS.view, view().to_bytes())
    guard = guard_of(world)
    await world.clock.advance(1)
    verdict = guard.look(StoreMemory(cluster_id="1234abcd"))

    assert verdict is not None
    assert "instead of 1234abcd" in verdict.problems[0]


@in_a_world
async def test_an_acceptance_clears_what_the_mirrors_have_against_the_store(world: World) -> None:
    """A revision that went back stands against a store only until an operator has accepted it."""
    world.put(KEYS.store_id, b"s")
    world.put(KEYS.view, view().to_bytes())
    guard = guard_of(world)
    await world.clock.advance(1)
    known = guard.look(StoreMemory())
    assert known is not None
    backup = world.server.backup()
    world.put("/elsewhere", b"")
    await world.clock.advance(3)
    world.server.restore(backup)
    await world.clock.advance(3)
    back = guard.look(known.memory)
    assert back is not None
    word = Acceptance(
        by="op",
        at=NOW,
        store_id="s",
        cluster_id=known.memory.cluster_id,
        generation=back.memory.generation,
        term=4,
    )
    world.put(KEYS.acceptance, word.to_bytes())
    await world.clock.advance(1)
    accepted = guard.look(back.memory)
    later = guard.look(accepted.memory) if accepted else None

    assert "etcd went back to revision" in back.problems[0]
    assert accepted is not None
    assert accepted.accepted
    assert (later.problems if later else None) == ()
