"""The simulated etcd beyond the contract of stores: elections, outages, late writes, restored backups."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

import pytest

from common.errors import LeaseExpired, StoreUnavailable, UnknownOutcome, WatchLost
from common.store.mirror import Mirror
from common.store.port import Compare, Put, WatchBatch
from common.store.session import Session
from tests.sim.clock import SimClock
from tests.sim.etcd import OnElection, SimEtcd
from tests.sim.loop import SimLoop, simulate
from tests.sim.network import Network
from tests.sim.store import SimStore
from tests.support.aio import eventually

MEMBERS = ("e1", "e2", "e3")


class Stage:
    """Three members on sites of their own, and a client beside the first."""

    def __init__(self, seed: int = 1) -> None:
        self.loop = SimLoop(chance=random.Random(seed))
        self.network = Network(random.Random(seed))
        for host, site in (("e1", "a"), ("e2", "b"), ("e3", "w"), ("c", "a"), ("d", "b")):
            self.network.add_host(host, site)
        self.etcd = SimEtcd(self.loop, self.network, random.Random(seed), MEMBERS)
        self.process = self.network.start("c", "client")
        self.store = SimStore(self.etcd, self.process)
        self.other = SimStore(self.etcd, self.network.start("d", "other"), order=("e2", "e3", "e1"))

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        simulate(story, self.loop)

    async def value(self, key: str = "/k") -> bytes | None:
        items = (await self.other.read(key)).items
        return items[0].value if items else None


def test_a_leader_that_is_cut_off_is_replaced_and_both_sides_find_the_majority() -> None:
    """Calls fail or wait for the election at most; a client on the minority's side reaches the others."""
    stage = Stage()

    async def story() -> None:
        await stage.store.transact([], [Put("/k", b"1")])
        stage.network.isolate("e1")
        stage.network.heal("c", "e1")
        with pytest.raises(UnknownOutcome):
            await stage.store.transact([], [Put("/k", b"lost")])
        await asyncio.sleep(1)
        assert stage.etcd.leader in {"e2", "e3"}
        assert await stage.value() == b"1"
        await stage.store.transact([], [Put("/k", b"2")])
        assert await stage.value() == b"2"

    stage.run(story())


@pytest.mark.parametrize(("mode", "lives"), [("extend", True), ("keep", False), ("revoke", False)])
def test_an_election_extends_leases_or_ends_those_that_ran_out_or_all(mode: OnElection, lives: bool) -> None:
    """Nobody could renew while the leader was stopped for longer than the lease."""
    stage = Stage()
    stage.etcd.on_election = mode

    async def story() -> None:
        lease = await stage.store.grant_lease(2)
        await stage.store.transact([], [Put("/k", b"1", lease.id)])
        leader = stage.etcd.leader
        assert leader is not None
        stage.etcd.process(leader).pause()
        for other in MEMBERS:
            if other != leader:
                stage.etcd.process(other).pause()
        await asyncio.sleep(5)
        for other in MEMBERS:
            if other != leader:
                stage.etcd.process(other).resume()
        await eventually(lambda: stage.etcd.elections == 1, "an election", within_s=5)
        await asyncio.sleep(0.7)

        assert (await stage.value() == b"1") == lives

    stage.run(story())


def test_a_lease_does_not_end_while_there_is_no_leader() -> None:
    """And runs anew when there is one: evidence decides, not leases alone."""
    stage = Stage()

    async def story() -> None:
        lease = await stage.store.grant_lease(3)
        await stage.store.transact([], [Put("/k", b"1", lease.id)])
        stage.etcd.stop()
        await asyncio.sleep(30)
        with pytest.raises(StoreUnavailable):
            await stage.store.keep_alive(lease.id)
        stage.etcd.start()
        await asyncio.sleep(3)
        assert await stage.store.keep_alive(lease.id) == 3
        await asyncio.sleep(4)
        with pytest.raises(LeaseExpired):
            await stage.store.keep_alive(lease.id)
        assert await stage.value() is None

    stage.run(story())


def test_a_write_may_take_effect_long_after_its_client_has_given_up() -> None:
    """The client's kernel still sends it when the network is back; the compare is what protects."""
    done = set()
    for seed in range(12):
        stage = Stage(seed)

        async def story(stage: Stage = stage) -> None:
            first = await stage.store.transact([], [Put("/k", b"1")])
            stage.network.isolate("c")
            with pytest.raises(UnknownOutcome):
                await stage.store.transact([Compare("/k", "mod_revision", first.revision)], [Put("/k", b"2")])
            assert await stage.value() == b"1"
            stage.network.heal_all()
            await asyncio.sleep(10)
            done.add(await stage.value())

        stage.run(story())

    assert done == {b"1", b"2"}


def test_an_answer_that_is_lost_leaves_an_unknown_outcome_and_the_write_done() -> None:
    """By chance, as the share says."""
    stage = Stage()
    stage.etcd.lost_answers = 1.0

    async def story() -> None:
        with pytest.raises(UnknownOutcome):
            await stage.store.transact([], [Put("/k", b"1")])
        stage.etcd.lost_answers = 0.0
        assert await stage.value() == b"1"

    stage.run(story())


def test_a_client_that_dies_or_stops_after_it_has_asked_is_served_all_the_same() -> None:
    """What a kernel has sent needs no process; a stopped one finds the answer when it goes on."""
    stage = Stage()
    stage.etcd.late_share = 1.0

    async def story() -> None:
        asking = stage.process.spawn(stage.store.transact([], [Put("/k", b"1")]))
        await eventually(lambda: bool(stage.store._connected), "the connection")
        stage.process.pause()
        await asyncio.sleep(60)
        assert await stage.value() == b"1"
        assert not asking.done()
        stage.process.resume()
        assert (await asking).succeeded

        stage.process.spawn(stage.store.transact([], [Put("/k", b"2")]))
        await asyncio.sleep(0.000_1)
        stage.process.kill()
        await asyncio.sleep(1)
        assert await stage.value() == b"2"

    stage.run(story())


def test_watches_lag_go_deaf_break_and_are_cancelled() -> None:
    """Nothing is lost or repeated but with WatchLost."""
    stage = Stage()
    batches: list[WatchBatch] = []
    errors: list[Exception] = []

    async def follow() -> None:
        try:
            async with aclosing(stage.store.watch("/k", after_revision=1)) as changes:
                async for batch in changes:
                    batches.append(batch)  # noqa: PERF401 - one by one, as they come
        except WatchLost as error:
            errors.append(error)

    async def story() -> None:
        stage.process.spawn(follow())
        stage.etcd.watch_lag_s = 1.0
        await stage.other.transact([], [Put("/k", b"1")])
        await asyncio.sleep(0.9)
        assert not batches
        await asyncio.sleep(0.2)
        assert len(batches) == 1

        stage.etcd.watch_lag_s = 0.0
        stage.etcd.deaf["c"] = None
        await stage.other.transact([], [Put("/k", b"2")])
        assert (await stage.store.read("/k")).items[0].value == b"2"
        await asyncio.sleep(5)
        assert len(batches) == 1
        del stage.etcd.deaf["c"]
        stage.etcd.end_streams()
        for number in range(3, 30):
            await stage.other.transact([], [Put("/k", b"%d" % number)])
        await asyncio.sleep(2)
        assert [batch.events[0].item.value for batch in batches] == [
            b"%d" % number for number in range(1, 30)
        ]

        stage.etcd.end_streams(WatchLost("etcd cancelled the watch"))
        await asyncio.sleep(1)
        assert len(errors) == 1

    stage.run(story())


@pytest.mark.parametrize(
    ("cluster_id", "bump", "writes", "seen"),
    [(7, 0, 10, True), (None, 0, 10, True), (None, 1000, 10, True), (None, 1000, 0, False)],
)
def test_a_restored_backup_is_what_a_mirror_must_notice(
    cluster_id: int | None, bump: int, writes: int, seen: bool
) -> None:
    """By the id, a revision that went back, or a key that is older than it was; else nothing was lost."""
    stage = Stage()

    async def story() -> None:
        mirror = Mirror(stage.store, SimClock(stage.loop), "/", confirm_every_s=1.0)
        stage.process.spawn(mirror.run())
        await stage.other.transact([], [Put("/k", b"old")])
        backup = stage.etcd.data.snapshot()
        for _ in range(writes):
            await stage.other.transact([], [Put("/k", b"new")])
        await asyncio.sleep(1)
        assert mirror.items["/k"].value == (b"new" if writes else b"old")
        stage.etcd.restore(backup, cluster_id=cluster_id, bump_revision=bump)
        await asyncio.sleep(20)

        assert mirror.items["/k"].value == b"old"
        assert mirror.went_backwards == seen

    stage.run(story())


def test_a_session_keeps_its_lease_over_elections_and_loses_it_in_silence() -> None:
    """And takes another when the store is back; is_valid never says yes too long."""
    stage = Stage()

    async def story() -> None:
        session = Session(stage.store, SimClock(stage.loop), ttl_s=3, is_alive=lambda: True)
        stage.process.spawn(session.run())
        await asyncio.sleep(10)
        first = session.lease_id
        assert session.is_valid
        leader = stage.etcd.leader
        assert leader is not None
        stage.etcd.process(leader).kill()
        await asyncio.sleep(10)
        assert stage.etcd.elections == 1
        assert (session.lease_id, session.is_valid) == (first, True)

        stage.network.isolate("c")
        await asyncio.sleep(5)
        assert not session.is_valid
        stage.network.heal_all()
        await asyncio.sleep(5)
        assert session.is_valid
        assert session.lease_id != first

    stage.run(story())


def test_a_lease_that_has_run_out_is_not_renewed_though_its_keys_still_stand() -> None:
    """The leader looks twice a second; until then a reader sees what is about to go."""
    stage = Stage()

    async def story() -> None:
        lease = await stage.store.grant_lease(2)
        await stage.store.transact([], [Put("/k", b"1", lease.id)])
        await asyncio.sleep(2.2 - stage.loop.time())
        with pytest.raises(LeaseExpired):
            await stage.store.keep_alive(lease.id)
        assert await stage.value() == b"1"
        await asyncio.sleep(0.5)
        assert await stage.value() is None

    stage.run(story())


def test_what_a_cut_takes_from_a_watch_on_its_way_comes_again() -> None:
    """In order, with what was written behind it."""
    stage = Stage()
    seen: list[bytes] = []

    async def follow() -> None:
        async for batch in stage.store.watch("/k", after_revision=1):
            seen.extend(event.item.value for event in batch.events)

    async def story() -> None:
        stage.process.spawn(follow())
        await asyncio.sleep(0.1)
        stage.etcd.watch_lag_s = 1.0
        for number in range(4):
            await stage.other.transact([], [Put("/k", b"%d" % number)])
            await asyncio.sleep(0.1)
        stage.network.isolate("c")
        await asyncio.sleep(1.05)
        stage.network.heal_all()
        await asyncio.sleep(5)
        assert seen == [b"0", b"1", b"2", b"3"]

    stage.run(story())


def test_a_transaction_whose_answer_was_lost_and_that_is_tried_again_takes_effect_once() -> None:
    """The first one had: so the compares of the second do not hold, and it says so."""
    stage = Stage()

    async def story() -> None:
        stage.etcd.lost_answers = 1.0
        create = [Compare("/k", "create_revision", 0)], [Put("/k", b"1")]
        with pytest.raises(UnknownOutcome):
            await stage.store.transact(*create)
        stage.etcd.lost_answers = 0.0
        again = await stage.store.transact(*create)

        assert not again.succeeded
        assert await stage.value() == b"1"

    stage.run(story())
