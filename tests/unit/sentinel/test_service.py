"""One sentinel on the store in memory: it leads or it follows, and only a leader writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from common.model.base import Document
from common.model.keys import Keys
from common.model.reasons import ReasonsDocument
from common.model.spec import ClusterSpec
from common.model.view import ClusterView
from common.store.mirror import Mirror
from common.store.publisher import Publisher
from common.store.session import Session
from sentinel.leadership import LeaderWriter
from sentinel.prober import PrimaryProbe
from sentinel.service import SentinelService
from tests.support import healthy
from tests.support.builders import SANDUN_1, SANDUN_2, SHIQIAO_1, empty_keeper, keeper, running_view, seen
from tests.unit.common.store.builders import World, in_a_world

KEYS = Keys("demo")


class Sentinel:
    """A whole sentinel with its loops running."""

    def __init__(self, world: World, uid: str = "s1") -> None:
        store, clock = world.store, world.clock
        self.rounds = 0
        self.mirror = Mirror(store, clock, KEYS.prefix)
        self.session = Session(store, clock, ttl_s=3, is_alive=lambda: True)
        publisher = Publisher(store, self.session, clock, KEYS.sentinel(uid), may_replace=lambda _: True)
        self.writer = LeaderWriter(store, KEYS, uid)
        self.service = SentinelService(
            uid=uid, site="witness", version="1", api_url="", keys=KEYS, clock=clock, mirror=self.mirror,
            session=self.session, publisher=publisher, writer=self.writer,
            probe=PrimaryProbe(self._answers, clock), store_id=f"store-of-{uid}", beat=self._count,
        )  # fmt: skip
        loops = (self.mirror.run(), self.session.run(), publisher.run(), *self.service.loops())
        self.tasks = [world.start(loop) for loop in loops]

    def _count(self) -> None:
        self.rounds += 1

    async def _answers(self, host: str, port: int) -> bool:
        assert host
        return port > 0


def put(world: World, **documents: Any) -> None:
    """What operators and keepers have put into the store: the healthy cluster, with some of it replaced."""
    cluster = healthy.documents(
        view=running_view(),
        keepers={uid: keeper(uid) for uid in healthy.UIDS},
        leader=None,
        **documents,
    )
    for key, value in healthy.stored(cluster).items():
        world.put(key, value)


def document(world: World, key: str, kind: type[Document]) -> Any:
    return kind.from_bytes(world.values()[key])


def primary_dies(world: World) -> None:
    down = keeper(SANDUN_1, state="down", role=None, sync=None, standbys=())
    world.put(KEYS.keeper(SANDUN_1), down.to_bytes())


@in_a_world
async def test_it_takes_the_leadership_that_nobody_has(world: World) -> None:
    """Gives the store its id, and says so in its report."""
    put(world)
    Sentinel(world)
    await world.clock.advance(2)
    values = world.values()

    assert values[KEYS.leader] == b"s1"
    assert values[KEYS.store_id] == b"store-of-s1"
    assert b'"leader":true' in values[KEYS.sentinel("s1")]


@in_a_world
async def test_a_leader_writes_the_next_view_and_its_event(world: World) -> None:
    """Once: the same evidence makes no second generation."""
    put(world)
    Sentinel(world)
    await world.clock.advance(2)
    primary_dies(world)
    await world.clock.advance(1)
    view = document(world, KEYS.view, ClusterView)

    assert (view.phase, view.term, view.generation) == ("sealing", 5, 18)
    assert list(world.values(KEYS.history)) == [KEYS.event(18)]


@in_a_world
async def test_a_leader_looks_twice_a_second_only_while_it_counts_a_duration(world: World) -> None:
    """At rest a decision can change by what is written or answered alone, and both wake it."""
    put(world)
    sentinel = Sentinel(world)
    await world.clock.advance(10)
    before = sentinel.rounds
    await world.clock.advance(10)
    at_rest = sentinel.rounds - before
    world.delete(KEYS.keeper(SHIQIAO_1))
    await world.clock.advance(0)
    at_once = sentinel.rounds - before - at_rest
    await world.clock.advance(10)
    counting = sentinel.rounds - before - at_rest

    assert 10 <= at_rest <= 13
    assert at_once >= 1
    assert counting >= 20


@in_a_world
async def test_a_follower_writes_nothing_but_its_own_report(world: World) -> None:
    """Whatever it sees; it takes over when the leader is gone."""
    put(world)
    lease = world.server.grant(60)
    world.put(KEYS.leader, b"s0", lease.id)
    before = set(world.values())
    Sentinel(world)
    primary_dies(world)
    await world.clock.advance(5)
    following = document(world, KEYS.view, ClusterView)
    written = set(world.values()) - before
    world.server.revoke(lease.id)
    await world.clock.advance(2)

    assert following == running_view()
    assert written == {KEYS.sentinel("s1")}
    assert document(world, KEYS.view, ClusterView).phase == "sealing"


@in_a_world
async def test_a_leader_whose_token_is_gone_writes_nothing(world: World) -> None:
    """Deposed between its decision and its write, it is refused and goes on as a follower."""
    put(world)
    sentinel = Sentinel(world)
    await world.clock.advance(2)
    refused = []
    write = sentinel.writer.write

    async def deposed_on_the_way(*args: Any, **fenced: Any) -> int:
        world.server.revoke(sentinel.session.lease_id or 0)
        world.put(KEYS.leader, b"s0", world.server.grant(60).id)
        refused.append(fenced["token"])
        return await write(*args, **fenced)

    sentinel.writer.write = deposed_on_the_way  # type: ignore[method-assign]
    primary_dies(world)
    await world.clock.advance(5)

    assert len(refused) == 1
    assert document(world, KEYS.view, ClusterView) == running_view()
    assert world.values(KEYS.history) == {}
    assert world.values()[KEYS.leader] == b"s0"
    assert all(not task.done() for task in sentinel.tasks)


def said(world: World) -> set[tuple[str, str]]:
    """Code and subject of each reason that the leader has written."""
    document_ = document(world, KEYS.reasons, ReasonsDocument)
    return {(reason.code, reason.subject) for reason in document_.reasons}


NEWER = running_view().to_bytes().replace(b'"schema_version":1', b'"schema_version":99')


def with_a_view_that_nobody_can_read(raw: bytes) -> Callable[[], None]:
    @in_a_world
    async def story(world: World) -> None:
        put(world)
        world.put(KEYS.view, raw)
        world.put(KEYS.proxy("ghost"), b"{")
        Sentinel(world)
        primary_dies(world)
        await world.clock.advance(5)

        assert world.values()[KEYS.view] == raw
        assert world.values(KEYS.history) == {}
        assert said(world) == {
            ("malformed_document", KEYS.view),
            ("malformed_document", KEYS.proxy("ghost")),
        }

    return story


@pytest.mark.parametrize("raw", [b"{", b"", NEWER], ids=["broken", "empty", "newer"])
def test_with_a_view_that_cannot_be_read_nothing_is_decided_and_nothing_else_is_said(raw: bytes) -> None:
    """Above all nobody is told to empty directories: the members hold the data of the cluster."""
    with_a_view_that_nobody_can_read(raw)()


@in_a_world
async def test_once_the_view_is_put_back_all_goes_on(world: World) -> None:
    """As if nothing had been."""
    put(world)
    world.put(KEYS.view, b"{")
    Sentinel(world)
    await world.clock.advance(3)
    primary_dies(world)
    world.put(KEYS.view, running_view().to_bytes())
    await world.clock.advance(2)

    assert document(world, KEYS.view, ClusterView).phase == "sealing"
    assert ("malformed_document", KEYS.view) not in said(world)


@in_a_world
async def test_a_sentinel_that_begins_beside_a_bad_spec_names_it(world: World) -> None:
    """It decides nothing, and says why; with the spec put right it goes to work."""
    put(world)
    good = world.values()[KEYS.spec]
    world.put(KEYS.spec, b"{")
    Sentinel(world)
    primary_dies(world)
    await world.clock.advance(3)
    before, view = said(world), document(world, KEYS.view, ClusterView)
    world.put(KEYS.spec, good)
    await world.clock.advance(2)

    assert before == {("malformed_document", KEYS.spec)}
    assert view == running_view()
    assert document(world, KEYS.view, ClusterView).phase == "sealing"


@in_a_world
async def test_a_cluster_does_not_begin_beside_a_report_that_cannot_be_read(world: World) -> None:
    """Until it can, or is gone."""
    world.put(KEYS.spec, ClusterSpec().to_bytes())
    world.put(KEYS.keeper(SANDUN_1), empty_keeper(SANDUN_1).to_bytes())
    world.put(KEYS.keeper(SANDUN_2), b"{")
    Sentinel(world)
    await world.clock.advance(3)
    before = said(world)
    begun = KEYS.view in world.values()
    world.delete(KEYS.keeper(SANDUN_2))
    await world.clock.advance(2)

    assert ("keeper_not_understood", SANDUN_2) in before
    assert not begun
    assert document(world, KEYS.view, ClusterView).phase == "initializing"


@in_a_world
async def test_without_a_spec_it_says_so(world: World) -> None:
    """An operator who has forgotten it is told."""
    Sentinel(world)
    await world.clock.advance(3)

    assert ("no_spec", "") in said(world)
    assert KEYS.view not in world.values()


def standby_stops_streaming(world: World) -> None:
    """One of the two members of the sync set; it leaves the set after ``degrade_after``, 2 s."""
    streaming = keeper(SANDUN_1, standbys=(seen(SANDUN_2), seen(SHIQIAO_1)))
    world.put(KEYS.keeper(SANDUN_1), streaming.to_bytes())


def has_left(world: World) -> bool:
    return bool(document(world, KEYS.view, ClusterView).sync.pending)


@in_a_world
async def test_what_nobody_saw_during_an_outage_of_the_store_does_not_count(world: World) -> None:
    """After it each condition has to hold for its full time again."""
    put(world)
    Sentinel(world)
    await world.clock.advance(2)
    standby_stops_streaming(world)
    await world.clock.advance(1.5)
    world.store.cut()
    await world.clock.advance(20)
    world.store.heal()
    await world.clock.advance(1.5)
    soon = has_left(world)
    await world.clock.advance(4)

    assert not soon
    assert has_left(world)


@in_a_world
async def test_a_short_outage_is_a_gap_too(world: World) -> None:
    """What was true before a lost watch and after it need not have been true in between."""
    put(world)
    Sentinel(world)
    await world.clock.advance(2)
    standby_stops_streaming(world)
    await world.clock.advance(1.5)
    world.store.cut()
    world.store.break_watches()
    await world.clock.advance(0.3)
    world.store.heal()
    await world.clock.advance(1.2)
    soon = has_left(world)
    await world.clock.advance(3)

    assert not soon
    assert has_left(world)


@in_a_world
async def test_a_follower_that_takes_over_knows_since_when_conditions_hold(world: World) -> None:
    """A change of the leader costs no further waiting."""
    put(world)
    lease = world.server.grant(60)
    world.put(KEYS.leader, b"s0", lease.id)
    Sentinel(world)
    standby_stops_streaming(world)
    await world.clock.advance(10)
    before = has_left(world)
    world.server.revoke(lease.id)
    await world.clock.advance(1)

    assert not before
    assert has_left(world)


@in_a_world
async def test_a_malformed_report_is_named_and_stops_nobody(world: World) -> None:
    """The failover goes on without it."""
    put(world)
    world.put(KEYS.keeper(SANDUN_2), b"{")
    Sentinel(world)
    await world.clock.advance(5)
    named = said(world)
    primary_dies(world)
    await world.clock.advance(2)

    assert ("malformed_document", KEYS.keeper(SANDUN_2)) in named
    assert document(world, KEYS.view, ClusterView).phase == "sealing"
