"""Since when a primary is known to be the only one, and when it must stop itself (protocol, section 7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from common.errors import PostgresUnavailable, UnsafeOperation
from common.model.keys import Keys
from common.model.reports import PostgresRole
from common.model.view import ClusterView, Primary, SyncMember, SyncSet, SyncState
from common.model.wal import ZERO, Lsn
from common.store.memory import MemoryEtcd, MemoryStore
from common.store.mirror import Mirror
from common.store.port import Put
from keeper.contact import Contact, why_fence
from keeper.local import Local
from keeper.postgres.port import Observation, Postgres, SyncSetting
from keeper.settings import KeeperSettings
from keeper.state import KeeperState, LifeRecord
from tests.support.aio import run
from tests.support.clock import ManualClock
from tests.support.healthy import INCARNATIONS, TERM, view

KEYS = Keys("demo")
UID = "sandun-1"


class FakePostgres:
    """Its standbys flush a record after ``takes_s``, or never."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.takes_s: float | None = 0.0
        self.asked: list[list[SyncSetting]] = []

    async def confirm(self, sets: Collection[SyncSetting], timeout_s: float) -> Lsn:
        self.asked.append(list(sets))
        if self.takes_s is None:
            await self.clock.sleep(timeout_s)
            raise PostgresUnavailable(f"confirming a new record took more than {timeout_s:g} s")
        await self.clock.sleep(self.takes_s)
        return ZERO


def primary_local() -> Local:
    """What the keeper of a running primary knows."""
    nowhere = Path("/nowhere")
    settings = KeeperSettings(
        uid=UID,
        site="sandun",
        root=nowhere,
        replication_password_file=nowhere,
        rewind_password_file=nowhere,
    )
    life = LifeRecord(incarnation=INCARNATIONS[UID], term=1, complete=True)
    local = Local(settings, KeeperState(keeper_id="k", life=life), "life", "1")
    be(local, "primary")
    return local


def be(local: Local, role: PostgresRole) -> None:
    """Let PostgreSQL run in a role."""
    local.postgres = "running"
    local.observation = Observation(
        version=150000,
        system_identifier="1",
        start_id="s",
        in_recovery=role == "standby",
        timeline=2,
        lsn=ZERO,
    )


class Bench:
    """A primary's contact, on a store in memory."""

    def __init__(self, shown: ClusterView | None) -> None:
        self.clock = ManualClock()
        etcd = MemoryEtcd(self.clock)
        self.store = MemoryStore(etcd)
        self.postgres = FakePostgres(self.clock)
        self.view = shown
        self.shows_view = True
        if shown is not None:
            etcd.transact([], [Put(KEYS.view, shown.to_bytes())])
        self.local = primary_local()
        self.mirror = Mirror(self.store, self.clock, KEYS.view)
        self.contact = Contact(
            cluster=KEYS.cluster,
            postgres=cast("Postgres", self.postgres),
            local=self.local,
            clock=self.clock,
            view_mirror=self.mirror,
            view=lambda: self.view,
            shows_view=lambda: self.shows_view,
        )


@asynccontextmanager
async def bench(shown: ClusterView | None = None) -> AsyncIterator[Bench]:
    there = Bench(shown or view())
    tasks = [asyncio.create_task(loop) for loop in (*there.contact.loops(), there.mirror.run())]
    try:
        await there.clock.advance(0.1)
        yield there
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ask(there: Bench, count: int = 1) -> list[object]:
    """What comes of attestations that are asked for at one time."""
    asked = [asyncio.create_task(there.contact.attestation(f"n{number}")) for number in range(count)]
    await there.clock.advance(3)
    return list(await asyncio.gather(*asked, return_exceptions=True))


def test_while_the_store_shows_the_view_nothing_is_attested_and_nothing_is_unproven() -> None:
    """Its linearizable reads prove enough."""

    async def story() -> None:
        async with bench() as there:
            await there.clock.advance(30)

            assert there.postgres.asked == []
            assert there.contact.unproven_s <= 2.0

    run(story())


def test_without_the_store_a_record_a_second_proves_it_for_as_long_as_standbys_flush() -> None:
    """Then the time without proof begins to grow."""

    async def story() -> None:
        async with bench() as there:
            there.store.cut()
            await there.clock.advance(60)
            attested = there.contact.unproven_s
            there.postgres.takes_s = None
            await there.clock.advance(20)

            assert attested <= 2.0
            assert 19 <= there.contact.unproven_s <= 23

    run(story())


def test_a_view_that_cannot_be_read_any_more_leaves_the_last_proof_its_age() -> None:
    """Nothing falls off a cliff: there is time to attest."""

    async def story() -> None:
        async with bench() as there:
            await there.clock.advance(2)
            before = there.contact.unproven_s
            there.shows_view = False

            assert there.contact.unproven_s == before
            await there.clock.advance(10)
            assert there.contact.unproven_s <= 2.0
            assert there.postgres.asked

    run(story())


def test_an_attestation_says_for_what_it_is_and_how_old_its_record_is() -> None:
    """Counted from before the record was written."""

    async def story() -> None:
        async with bench() as there:
            there.postgres.takes_s = 0.5
            task = asyncio.create_task(there.contact.attestation("mine"))
            await there.clock.advance(0.6)
            found = await task

            route = view().route
            assert route is not None
            assert found.is_for("demo", route, "mine")
            assert found.age_s == pytest.approx(0.5)

    run(story())


def test_every_set_in_force_must_flush_the_record() -> None:
    """A pending set too: a failover must satisfy it."""

    async def story() -> None:
        current = SyncSet(id=15, k=1, members=frozenset({SyncMember("shiqiao-1", INCARNATIONS["shiqiao-1"])}))
        pending = SyncSet(id=16, k=1, members=frozenset({SyncMember("sandun-2", INCARNATIONS["sandun-2"])}))
        async with bench(view(sync=SyncState(current=current, pending=(pending,)))) as there:
            await ask(there)

            names = [sorted(each.names) for each in there.postgres.asked[0]]
            assert names == [[f"shiqiao_1_00000003_{TERM}"], [f"sandun_2_00000002_{TERM}"]]

    run(story())


def test_many_who_ask_at_one_time_cost_one_record() -> None:
    """And one failure, so that nobody waits in a queue of failures."""

    async def story() -> None:
        async with bench() as there:
            there.postgres.takes_s = 0.1
            good = await ask(there, 20)
            records = len(there.postgres.asked)
            there.postgres.takes_s = None
            bad = await ask(there, 20)

            assert not [each for each in good if isinstance(each, Exception)]
            assert records == 1
            assert all(isinstance(each, PostgresUnavailable) for each in bad)
            assert len(there.postgres.asked) == records + 1

    run(story())


def cut_off_view() -> ClusterView:
    alone = SyncSet(id=15, k=0, members=frozenset())
    return view(sync=SyncState(current=alone))


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda there: setattr(there, "view", None), "knows no view"),
        (lambda there: setattr(there, "view", view("sandun-2")), "is not the primary"),
        (lambda there: setattr(there, "view", view(primary=None, route=None)), "is not the primary"),
        (lambda there: be(there.local, "standby"), "does not run as a primary"),
        (lambda there: setattr(there, "view", cut_off_view()), "only the lease says"),
    ],
    ids=["no view", "another primary", "nobody", "a standby", "k = 0"],
)
def test_who_may_not_attest_says_why_and_asks_no_standby(
    prepare: Callable[[Bench], None], words: str
) -> None:
    """A superseded primary, a standby, one whose commits no standby need flush."""

    async def story() -> None:
        async with bench() as there:
            prepare(there)
            (found,) = await ask(there)

            assert isinstance(found, UnsafeOperation)
            assert words in str(found)
            assert there.postgres.asked == []

    run(story())


def test_what_another_life_or_term_has_proven_counts_for_nothing() -> None:
    """A rewound directory, or a promotion, begins anew; so does a new process, from its start."""

    async def story() -> None:
        async with bench() as there:
            there.store.cut()
            await there.clock.advance(30)
            there.view = view(term=TERM + 1, generation=30)
            there.postgres.takes_s = None

            assert there.contact.unproven_s >= 30

    run(story())


@pytest.mark.parametrize(("uid", "proven"), [(UID, True), ("sandun-2", False)])
def test_a_primary_whose_term_was_given_up_goes_on_while_the_store_shows_that_nobody_has_the_next_one(
    uid: str, *, proven: bool
) -> None:
    """Or it could never be named again without a restart; what is said of another's term proves nothing."""
    old = Primary(uid=uid, incarnation=INCARNATIONS[uid], timeline=2, fork=ZERO)
    sealing = view(phase="sealing", primary=None, old_primary=old, route=None)

    async def story() -> None:
        async with bench(sealing) as there:
            await there.clock.advance(30)

            assert (there.contact.unproven_s <= 2.0) is proven

    run(story())


def test_only_a_primary_without_proof_for_longer_than_fence_after_stops_itself() -> None:
    """The reason says what is missing."""
    reason = why_fence(UID, "primary", unproven_s=10.1, fence_after_s=10.0)

    assert reason is not None
    assert reason.code == "fenced_itself"
    assert why_fence(UID, "primary", unproven_s=10.0, fence_after_s=10.0) is None
    assert why_fence(UID, "standby", unproven_s=99.0, fence_after_s=10.0) is None
    assert why_fence(UID, None, unproven_s=99.0, fence_after_s=10.0) is None
