"""The mirror: an image without gaps, and an honest age."""

from __future__ import annotations

import math

from structlog.testing import capture_logs

from common.store.mirror import Mirror
from tests.support.clock import settle
from tests.unit.common.store.builders import World, in_a_world


async def mirror_of(world: World, prefix: str = "/c/") -> Mirror:
    mirror = Mirror(world.store, world.clock, prefix)
    world.start(mirror.run())
    await settle()
    return mirror


def values(mirror: Mirror) -> dict[str, bytes]:
    return {key: item.value for key, item in mirror.items.items()}


@in_a_world
async def test_it_shows_what_is_there_and_follows_every_change(world: World) -> None:
    """Neighbours of the prefix are none of its business."""
    world.put("/c/a", b"1")
    world.put("/d/a", b"beside")
    mirror = await mirror_of(world)
    first = values(mirror)
    world.put("/c/b", b"2")
    world.delete("/c/a")
    await settle()

    assert first == {"/c/a": b"1"}
    assert values(mirror) == {"/c/b": b"2"}
    assert mirror.synced
    assert mirror.revision == world.server.revision


@in_a_world
async def test_an_image_once_taken_does_not_change(world: World) -> None:
    """Who decides on one keeps one consistent revision."""
    world.put("/c/a", b"1")
    mirror = await mirror_of(world)
    taken = mirror.items
    world.put("/c/a", b"2")
    await settle()

    assert taken["/c/a"].value == b"1"
    assert mirror.items["/c/a"].value == b"2"


@in_a_world
async def test_a_quiet_watch_makes_nothing_fresh_but_a_read_does_from_when_it_was_sent(world: World) -> None:
    """While the store is out of reach the image grows old; its age counts from before the request."""
    mirror = Mirror(world.store, world.clock, "/c/")
    before = mirror.fresh_since()
    world.start(mirror.run())
    await settle()
    began = world.clock.monotonic()
    first = mirror.fresh_since()
    await world.clock.advance(1.0)
    confirmed = mirror.fresh_since()
    world.store.cut()
    await world.clock.advance(1.5)
    still_synced_while_asking = mirror.synced
    await world.clock.advance(10)

    assert before == -math.inf
    assert first == began
    assert confirmed == began + 1.0
    assert still_synced_while_asking
    assert mirror.fresh_since() == confirmed
    assert not mirror.synced


@in_a_world
async def test_it_reads_everything_again_after_an_outage(world: World) -> None:
    """What it held meanwhile stays readable, and what changed meanwhile is there afterwards."""
    world.put("/c/a", b"1")
    mirror = await mirror_of(world)
    with capture_logs() as logs:
        world.store.cut()
        await world.clock.advance(30)
        during = values(mirror)
        world.put("/c/a", b"2")
        world.put("/c/b", b"2")
        world.delete("/c/a")
        world.store.heal()
        await world.clock.advance(1.1)

    assert during == {"/c/a": b"1"}
    assert values(mirror) == {"/c/b": b"2"}
    assert mirror.synced
    assert [entry["event"] for entry in logs] == ["store_unreachable"]


@in_a_world
async def test_a_lost_watch_is_replaced_by_a_read(world: World) -> None:
    """A cancelled watch and a compaction alike."""
    mirror = await mirror_of(world)
    world.store.break_watches()
    world.put("/c/a", b"1")
    world.server.compact()
    await world.clock.advance(0.2)

    assert values(mirror) == {"/c/a": b"1"}
    assert mirror.synced
    assert not mirror.went_backwards


@in_a_world
async def test_a_watch_that_is_deaf_is_found_out_by_the_next_read(world: World) -> None:
    """Its connection looks well; within the period and the lag limit everything is read again."""
    world.put("/c/gone", b"")
    mirror = await mirror_of(world)
    world.store.deafen()
    world.put("/c/a", b"1")
    world.delete("/c/gone")
    await world.clock.advance(0.9)
    deaf = values(mirror)
    await world.clock.advance(0.7)

    assert deaf == {"/c/gone": b""}
    assert values(mirror) == {"/c/a": b"1"}


@in_a_world
async def test_a_deletion_alone_that_the_watch_does_not_bring_is_found_out(world: World) -> None:
    """It makes nothing newer under the prefix, only the number of keys smaller."""
    world.put("/c/a", b"1")
    world.put("/c/b", b"1")
    mirror = await mirror_of(world)
    world.store.deafen()
    world.delete("/c/a")
    await world.clock.advance(1.2)
    fresh_before_the_image_has_it = mirror.fresh_since()
    await world.clock.advance(0.5)

    assert fresh_before_the_image_has_it < world.clock.monotonic() - 1.5
    assert values(mirror) == {"/c/b": b"1"}


@in_a_world
async def test_writes_elsewhere_in_the_store_do_not_disturb_it(world: World) -> None:
    """The store's revision moves on without it; the confirmation takes the image along."""
    world.put("/c/a", b"1")
    mirror = await mirror_of(world)
    with capture_logs() as logs:
        for _ in range(5):
            world.put("/d/a", b"")
            await world.clock.advance(1.0)

    assert logs == []
    assert mirror.revision == world.server.revision
    assert mirror.fresh_since() == world.clock.monotonic()


@in_a_world
async def test_a_restored_backup_is_told_and_then_followed(world: World) -> None:
    """A revision that goes backwards: the services suspend themselves, but see what is there."""
    world.put("/c/a", b"1")
    backup = world.server.backup()
    world.put("/c/a", b"2")
    mirror = await mirror_of(world)
    before = mirror.went_backwards
    world.server.restore(backup)
    await world.clock.advance(1.1)
    told = mirror.problem
    mirror.clear_problem()
    await world.clock.advance(5)

    assert not before
    assert told == "etcd went back to revision 2, 3 was seen before"
    assert values(mirror) == {"/c/a": b"1"}
    assert mirror.synced
    assert not mirror.went_backwards


@in_a_world
async def test_a_restored_backup_that_has_grown_past_the_image_is_told(world: World) -> None:
    """It was restored while nobody could look, and written to since: no revision goes backwards."""
    world.put("/c/a", b"1")
    backup = world.server.backup()
    world.put("/c/a", b"2")
    mirror = await mirror_of(world)
    world.store.cut()
    await world.clock.advance(3)
    world.server.restore(backup)
    world.put("/c/b", b"new")
    world.put("/c/b", b"newer")
    world.store.heal()
    await world.clock.advance(3)

    assert mirror.problem == "etcd holds /c/a as it was not when revision 3 was seen"
    assert values(mirror) == {"/c/a": b"1", "/c/b": b"newer"}


@in_a_world
async def test_an_image_that_is_doubted_is_read_again(world: World) -> None:
    """A watch that goes on in a restored store mixes two pasts, and no confirmation can see that."""
    world.put("/c/a", b"1")
    backup = world.server.backup()
    world.put("/c/a", b"2")
    mirror = await mirror_of(world)
    world.server.restore(backup)
    world.put("/c/b", b"new")
    world.put("/c/b", b"newer")
    await world.clock.advance(5)
    mixed, noticed = values(mirror), mirror.went_backwards
    mirror.doubt()
    await world.clock.advance(0.3)

    assert mixed == {"/c/a": b"2", "/c/b": b"newer"}
    assert not noticed
    assert values(mirror) == {"/c/a": b"1", "/c/b": b"newer"}
    assert mirror.problem == "etcd holds /c/a as it was not when revision 4 was seen"


@in_a_world
async def test_keys_that_only_another_past_had_are_missed(world: World) -> None:
    """A lease's key, say: who led before the store was restored would seem to lead for ever."""
    backup = world.server.backup()
    world.put("/c/leader", b"s1")
    mirror = await mirror_of(world)
    world.server.restore(backup)
    world.put("/d/beside", b"x")
    world.put("/c/b", b"new")
    await world.clock.advance(3)

    assert mirror.problem is not None
    assert values(mirror) == {"/c/b": b"new"}


@in_a_world
async def test_a_doubt_about_a_true_image_changes_nothing(world: World) -> None:
    """It is read again, and is what it was."""
    world.put("/c/a", b"1")
    mirror = await mirror_of(world)
    mirror.doubt()
    await world.clock.advance(0.3)

    assert mirror.synced
    assert not mirror.went_backwards
    assert values(mirror) == {"/c/a": b"1"}


@in_a_world
async def test_another_cluster_id_is_told_though_its_revision_is_higher(world: World) -> None:
    """A backup restored with its revision raised is another store all the same."""
    mirror = await mirror_of(world)
    backup = world.server.backup()
    world.server.restore(backup, cluster_id=2)
    for _ in range(9):
        world.put("/c/a", b"new")
    await world.clock.advance(1.1)

    assert mirror.problem == "etcd cluster id 2 instead of 1"
    assert mirror.cluster_id == 2


@in_a_world
async def test_every_waiter_wakes_and_none_misses_a_change_between_two_waits(world: World) -> None:
    """A wait that names the version it has seen returns at once when there is a newer one."""
    mirror = await mirror_of(world)
    seen = mirror.version
    waits = [world.start(mirror.wait_changed(5)) for _ in range(3)]
    await settle()
    world.put("/c/a", b"1")
    await settle()
    late = world.start(mirror.wait_changed(5, since=seen))
    quiet = world.start(mirror.wait_changed(5))
    await settle()
    late_is_done = late.done()
    await world.clock.advance(5)

    assert [await wait for wait in waits] == [True] * 3
    assert late_is_done
    assert await late
    assert not await quiet


@in_a_world
async def test_a_slow_answer_makes_the_image_fresh_only_from_when_it_was_asked_for(world: World) -> None:
    """What happened between the request and its answer may be missing in it."""
    mirror = await mirror_of(world)
    began = world.clock.monotonic()
    world.store.cut()
    await world.clock.advance(1.75)
    world.store.heal()
    await settle()

    assert mirror.fresh_since() == began + 1.0
    assert mirror.synced


@in_a_world
async def test_what_came_and_went_before_a_confirmation_is_not_shown_afterwards(world: World) -> None:
    """The image equals the store at the confirmed revision: a late watch must not take it back."""
    mirror = await mirror_of(world)
    version = mirror.version
    world.store.deafen()
    world.put("/c/leader", b"for a moment")
    world.delete("/c/leader")
    await world.clock.advance(1.1)
    confirmed = mirror.revision
    world.store.heal()
    await settle()

    assert confirmed == world.server.revision
    assert mirror.version == version
