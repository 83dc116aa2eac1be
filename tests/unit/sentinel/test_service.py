"""One sentinel on the store in memory: it leads or it follows, and only a leader writes."""

from __future__ import annotations

from typing import Any

from common.model.base import Document
from common.model.keys import Keys
from common.model.reasons import ReasonsDocument
from common.model.view import ClusterView
from common.store.mirror import Mirror
from common.store.publisher import Publisher
from common.store.session import Session
from sentinel.leadership import LeaderWriter
from sentinel.prober import PrimaryProbe
from sentinel.service import SentinelService
from tests.support import healthy
from tests.support.builders import SANDUN_1, SANDUN_2, keeper, running_view
from tests.unit.common.store.builders import World, in_a_world

KEYS = Keys("demo")


class Sentinel:
    """A whole sentinel with its loops running."""

    def __init__(self, world: World, uid: str = "s1") -> None:
        store, clock = world.store, world.clock
        self.mirror = Mirror(store, clock, KEYS.prefix)
        self.session = Session(store, clock, ttl_s=3, is_alive=lambda: True)
        publisher = Publisher(store, self.session, clock, KEYS.sentinel(uid), may_replace=lambda _: True)
        self.writer = LeaderWriter(store, KEYS, uid)
        self.service = SentinelService(
            uid=uid, site="witness", version="1", api_url="", keys=KEYS, clock=clock, mirror=self.mirror,
            session=self.session, publisher=publisher, writer=self.writer,
            probe=PrimaryProbe(self._answers, clock), store_id=f"store-of-{uid}", beat=lambda: None,
        )  # fmt: skip
        loops = (self.mirror.run(), self.session.run(), publisher.run(), *self.service.loops())
        self.tasks = [world.start(loop) for loop in loops]

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


@in_a_world
async def test_a_malformed_view_is_named_and_not_written_over(world: World) -> None:
    """It is no cluster that is to be begun anew."""
    put(world)
    world.put(KEYS.view, b"{")
    Sentinel(world)
    await world.clock.advance(5)
    said = document(world, KEYS.reasons, ReasonsDocument)

    assert world.values()[KEYS.view] == b"{"
    assert (KEYS.view, "malformed_document") in {(reason.subject, reason.code) for reason in said.reasons}


@in_a_world
async def test_a_malformed_report_is_named_and_stops_nobody(world: World) -> None:
    """The failover goes on without it."""
    put(world)
    world.put(KEYS.keeper(SANDUN_2), b"{")
    Sentinel(world)
    await world.clock.advance(5)
    said = document(world, KEYS.reasons, ReasonsDocument)
    primary_dies(world)
    await world.clock.advance(2)

    assert KEYS.keeper(SANDUN_2) in {reason.subject for reason in said.reasons}
    assert document(world, KEYS.view, ClusterView).phase == "sealing"
