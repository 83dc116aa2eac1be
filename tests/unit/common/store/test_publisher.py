"""The publisher: at once what others act on, seldom the rest, never over another's key."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from common.store.memory import MemoryStore
from common.store.port import KeyValue
from common.store.publisher import KeyHeld, Publisher
from common.store.session import Session
from tests.support.clock import settle
from tests.unit.common.store.builders import World, in_a_world

KEY = "/keepers/one"


class Service:
    """A process with a session and one document."""

    def __init__(self, world: World, may_replace: Callable[[KeyValue], bool] | None = None) -> None:
        self.store = MemoryStore(world.server)
        self.session = Session(self.store, world.clock, ttl_s=3, is_alive=lambda: True)
        self.publisher = Publisher(
            self.store, self.session, world.clock, KEY, may_replace=may_replace or (lambda _: False)
        )
        world.start(self.session.run())
        self.running = world.start(self.publisher.run())


async def publishing(
    world: World, document: bytes, may_replace: Callable[[KeyValue], bool] | None = None
) -> Service:
    service = Service(world, may_replace)
    service.publisher.offer(document, acts_on=document)
    await settle()
    return service


@in_a_world
async def test_a_document_hangs_on_the_lease_of_its_session(world: World) -> None:
    """It is there with the first lease, whichever came first."""
    service = await publishing(world, b"1")
    (item,) = world.server.items(KEY)

    assert (item.value, item.lease_id) == (b"1", service.session.lease_id)
    assert service.publisher.is_published
    assert await service.publisher.wait_published(0)


@in_a_world
async def test_what_an_observer_acts_on_is_written_at_once_and_the_rest_every_ten_seconds(
    world: World,
) -> None:
    """A log position that moves all the time must not make a write each second."""
    service = await publishing(world, b"start")
    revisions = []
    for second in range(25):
        service.publisher.offer(f"lsn {second}".encode(), acts_on=b"start")
        await world.clock.advance(1)
        revisions.append(world.server.revision)
    slow_writes = revisions[-1] - revisions[0]
    service.publisher.offer(b"stopping", acts_on=b"stopping")
    await settle()

    assert slow_writes == 2
    assert world.values()[KEY] == b"stopping"


@in_a_world
async def test_an_unchanged_document_is_not_written_again(world: World) -> None:
    """At rest nothing is written at all."""
    service = await publishing(world, b"1")
    before = world.server.revision
    for _ in range(30):
        service.publisher.offer(b"1", acts_on=b"1")
        await world.clock.advance(1)

    assert world.server.revision == before


@in_a_world
async def test_it_is_published_again_after_the_lease_was_lost(world: World) -> None:
    """Under the new lease, without being offered again."""
    service = await publishing(world, b"1")
    first = service.session.lease_id
    service.store.cut()
    await world.clock.advance(10)
    during = world.values()
    service.store.heal()
    await world.clock.advance(2)
    (item,) = world.server.items(KEY)

    assert during == {}
    assert item.lease_id == service.session.lease_id != first


@in_a_world
async def test_a_second_process_with_the_name_is_refused_and_told_who_holds_it(world: World) -> None:
    """And what the first one published stays."""
    await publishing(world, b"the first")
    second = await publishing(world, b"the second")

    with pytest.raises(KeyHeld, match=r"/keepers/one is held by another process \(lease 1\): the first"):
        await second.running
    assert world.values()[KEY] == b"the first"


@in_a_world
async def test_a_process_may_replace_what_its_earlier_life_left(world: World) -> None:
    """It says itself what is its own; the old lease's end then takes nothing away."""

    def is_mine(item: KeyValue) -> bool:
        return item.value.startswith(b"mine")

    old = world.server.grant(3).id
    world.put(KEY, b"mine, long ago", old)
    service = await publishing(world, b"mine, now", may_replace=is_mine)
    await world.clock.advance(5)
    (item,) = world.server.items(KEY)

    assert (item.value, item.lease_id) == (b"mine, now", service.session.lease_id)


@in_a_world
async def test_a_name_that_became_free_may_be_taken(world: World) -> None:
    """The holder's lease ended before."""
    world.put(KEY, b"old", world.server.grant(3).id)
    await world.clock.advance(3.1)
    await publishing(world, b"new")

    assert world.values()[KEY] == b"new"


@pytest.mark.parametrize("applied", [True, False])
def test_after_an_unknown_outcome_it_reads_before_it_writes_again(applied: bool) -> None:
    """Done or not done, the document is there in the end and is recognised by its lease."""

    @in_a_world
    async def story(world: World) -> None:
        service = await publishing(world, b"1")
        service.store.lose_answer(applied=applied)
        service.publisher.offer(b"2", acts_on=b"2")
        await world.clock.advance(3)

        assert service.publisher.is_published
        assert world.values()[KEY] == b"2"
        assert not service.running.done()

    story()


@in_a_world
async def test_it_waits_for_an_outage_to_end(world: World) -> None:
    """wait_published says that it did not come about in time, and later that it did."""
    service = Service(world)
    service.store.cut()
    service.publisher.offer(b"1", acts_on=1)
    waiting = world.start(service.publisher.wait_published(5))
    await world.clock.advance(6)
    service.store.heal()
    await world.clock.advance(2)

    assert not await waiting
    assert service.publisher.is_published


@in_a_world
async def test_slow_figures_offered_at_rest_are_written_when_they_are_due(world: World) -> None:
    """Also when nothing had been offered for long, and nobody waited for a time."""
    service = await publishing(world, b"lsn 1")
    service.publisher.offer(b"lsn 1", acts_on=b"lsn 1")
    await world.clock.advance(60)
    service.publisher.offer(b"lsn 2", acts_on=b"lsn 1")
    await settle()

    assert world.values()[KEY] == b"lsn 2"


@in_a_world
async def test_the_newest_of_the_slow_figures_is_written(world: World) -> None:
    """Those offered while a time was known wake nobody, and are not forgotten either."""
    service = await publishing(world, b"start")
    for second in range(1, 10):
        service.publisher.offer(f"lsn {second}".encode(), acts_on=b"start")
        await world.clock.advance(1)
    before = world.values()[KEY]
    await world.clock.advance(1)

    assert before == b"start"
    assert world.values()[KEY] == b"lsn 9"


@pytest.mark.parametrize("applied", [True, False])
def test_an_offer_that_is_taken_back_while_it_is_written_is_written_over(applied: bool) -> None:
    """Until then nobody may take what was there before for what stands there now."""

    @in_a_world
    async def story(world: World) -> None:
        service = await publishing(world, b"1")
        service.store.lose_answer(applied=applied)
        service.publisher.offer(b"2", acts_on=b"2")
        await settle()
        service.publisher.offer(b"1", acts_on=b"1")
        in_doubt = service.publisher.is_published
        published = world.start(service.publisher.wait_published(60))
        await world.clock.advance(3)

        assert not in_doubt
        assert published.result() is True
        assert world.values()[KEY] == b"1"

    story()
