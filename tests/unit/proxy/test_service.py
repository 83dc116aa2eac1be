"""What a proxy obeys and reports, on a store in memory and a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from common.errors import PeerUnavailable
from common.model.attestation import Attestation
from common.model.base import Document
from common.model.keys import Keys
from common.model.reasons import Reason
from common.model.reports import ProxyReport
from common.model.spec import ClusterSpec
from common.model.view import Route
from common.runtime.disk import Disk
from common.store.memory import MemoryEtcd, MemoryStore
from common.store.mirror import Mirror
from common.store.port import Put
from common.store.publisher import Publisher
from common.store.session import Session
from proxy.admission import ParkLimits
from proxy.kept import KeptView
from proxy.listener import Figures
from proxy.route import Decision
from proxy.service import ProxyService
from tests.support.aio import run
from tests.support.clock import ManualClock
from tests.support.healthy import TERM, view

KEYS = Keys("demo")
SPEC = ClusterSpec.from_plain({"timings": {"park_timeout": "7s", "park_limit": 12}})


@dataclass
class FakeTraffic:
    """Remembers what it was told."""

    decisions: list[Decision] = field(default_factory=list)
    limits: ParkLimits | None = None
    figures: Figures = field(default_factory=Figures)
    reasons: tuple[Reason, ...] = ()
    settled: int = 0

    def apply(self, decision: Decision) -> None:
        self.decisions.append(decision)

    def set_limits(self, limits: ParkLimits) -> None:
        self.limits = limits

    def settle(self) -> None:
        self.settled += 1


@dataclass
class FakeKeeper:
    """The keeper of the route's primary, as a proxy asks it; says nothing until told to."""

    attests: bool = False
    age_s: float = 0.1
    differs: dict[str, object] = field(default_factory=dict)
    asked: int = 0

    async def ask(self, route: Route, nonce: str, timeout_s: float) -> Attestation:
        self.asked += 1
        if not self.attests:
            raise PeerUnavailable(f"no answer within {timeout_s:g} s")
        right = {
            "nonce": nonce,
            "cluster": KEYS.cluster,
            "uid": route.uid,
            "incarnation": route.incarnation,
            "term": route.term,
            "age_s": self.age_s,
        }
        return Attestation.model_validate(right | self.differs)


class Bench:
    """A proxy service on a store of its own."""

    def __init__(self, clock: ManualClock, kept: KeptView) -> None:
        self.clock = clock
        self.keeper = FakeKeeper()
        self.etcd = MemoryEtcd(self.clock)
        self.store = MemoryStore(self.etcd)
        self.traffic = FakeTraffic()
        self.session = Session(self.store, self.clock, ttl_s=5, is_alive=lambda: True)
        identity = ProxyReport(
            uid="p1", site="sandun", host="10.0.0.1", port=5432, reported_at=self.clock.wall()
        )
        self.service = ProxyService(
            identity=identity,
            keys=KEYS,
            clock=self.clock,
            view=Mirror(self.store, self.clock, KEYS.view),
            spec=Mirror(self.store, self.clock, KEYS.spec, confirm_every_s=10.0),
            store=Mirror(self.store, self.clock, KEYS.store, confirm_every_s=10.0),
            publisher=Publisher(self.store, self.session, self.clock, KEYS.proxy("p1")),
            traffic=self.traffic,
            attestor=self.keeper,
            new_nonce=lambda: "n",
            kept=kept,
            beat=lambda: None,
        )

    def put(self, key: str, document: Document | bytes) -> None:
        """Write as a sentinel or an operator would."""
        value = document if isinstance(document, bytes) else document.to_bytes()
        self.etcd.transact([], [Put(key, value)])

    @property
    def report(self) -> ProxyReport | None:
        """What stands in the store about this proxy."""
        found = self.etcd.items(KEYS.proxy("p1"))
        return ProxyReport.from_bytes(found[0].value) if found else None

    def codes(self) -> list[str]:
        report = self.report
        assert report is not None
        return [reason.code for reason in report.reasons]


@asynccontextmanager
async def bench(*, in_reach: bool = True, disk: Disk | None = None) -> AsyncIterator[Bench]:
    clock = ManualClock()
    kept = KeptView(disk, clock, KEYS.cluster)
    await kept.load()
    there = Bench(clock, kept)
    if not in_reach:
        there.store.cut()
    tasks = [asyncio.create_task(loop) for loop in (*there.service.loops(), there.session.run())]
    try:
        await there.clock.advance(0.1)
        yield there
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended)


def test_a_new_view_is_obeyed_and_reported_at_once() -> None:
    """Without a tick of the clock between the write and the effect."""

    async def story() -> None:
        async with bench() as there:
            there.put(KEYS.view, view())
            await there.clock.advance(0)
            served, report = there.traffic.decisions[-1], there.report
            there.put(KEYS.view, view(term=TERM + 1, generation=18, phase="sealing", route=None))
            await there.clock.advance(0)
            parked = there.traffic.decisions[-1]

            assert served.target is not None
            assert report is not None
            assert (report.route, report.term, report.generation) == ("sandun-1", TERM, 17)
            assert parked.target is None
            assert parked.term == TERM + 1
            assert there.report is not None
            assert (there.report.route, there.report.term, there.report.generation) == ("", 0, 18)

    run(story())


def test_a_proxy_that_starts_before_the_store_serves_as_soon_as_it_is_there() -> None:
    """Until then it parks, and never ends."""

    async def story() -> None:
        async with bench(in_reach=False) as there:
            there.put(KEYS.view, view())
            await there.clock.advance(60)
            before = there.traffic.decisions[-1]
            there.store.heal()
            await there.clock.advance(2)

            assert before.target is None
            assert [reason.code for reason in before.reasons] == ["store_unreachable"]
            assert there.traffic.decisions[-1].target is not None
            assert there.report is not None

    run(story())


def test_without_the_store_an_attested_route_stays_and_the_next_view_is_obeyed_after_it() -> None:
    """However long that takes; the lease is a new one then."""

    async def story() -> None:
        async with bench() as there:
            there.keeper.attests = True
            there.put(KEYS.view, view())
            await there.clock.advance(1)
            there.store.cut()
            first = view().route
            assert first is not None
            moved = first.changed(uid="shiqiao-1", term=TERM + 1)
            there.put(KEYS.view, view("shiqiao-1", term=TERM + 1, generation=20, route=moved))
            await there.clock.advance(60)
            during, gone = there.traffic.decisions[-1], there.report
            there.store.heal()
            await there.clock.advance(3)
            after = there.traffic.decisions[-1]

            assert during.target is not None
            assert during.target.uid == "sandun-1"
            assert [reason.code for reason in during.reasons] == ["store_unreachable"]
            assert gone is None
            assert after.target is not None
            assert after.target.uid == "shiqiao-1"
            assert there.report is not None
            assert there.report.reasons == ()

    run(story())


def test_a_view_that_cannot_be_read_is_named_and_changes_nothing() -> None:
    """A newer release wrote it, or a hand."""

    async def story() -> None:
        async with bench() as there:
            there.put(KEYS.view, view())
            await there.clock.advance(0)
            there.put(KEYS.view, b'{"schema_version": 99}')
            await there.clock.advance(0)

            assert there.traffic.decisions[-1].target is not None
            assert there.codes() == ["view_malformed"]

    run(story())


def test_the_spec_says_how_many_may_be_parked_and_for_how_long() -> None:
    """One that cannot be read leaves the limits as they are."""

    async def story() -> None:
        async with bench() as there:
            before = there.traffic.limits
            there.put(KEYS.spec, SPEC)
            await there.clock.advance(0)
            there.put(KEYS.spec, b"{")
            await there.clock.advance(0)

            assert before is None
            assert there.traffic.limits == ParkLimits(12, 7.0)

    run(story())


def test_at_rest_a_report_is_written_twice_a_minute_at_most() -> None:
    """So that many proxies cost the store nothing; its age still tells that the proxy lives."""

    async def story() -> None:
        async with bench() as there:
            there.put(KEYS.view, view())
            await there.clock.advance(1)
            before = there.etcd.revision
            await there.clock.advance(600)
            writes = there.etcd.revision - before

            assert 19 <= writes <= 21
            assert there.traffic.settled >= 590

    run(story())


def test_slow_figures_are_reported_every_ten_seconds_and_troubles_at_the_next_look() -> None:
    """Sessions come and go all the time; that a dial fails is what somebody acts on."""

    async def story() -> None:
        async with bench() as there:
            there.put(KEYS.view, view())
            await there.clock.advance(1)
            before = there.etcd.revision
            for number in range(30):
                there.traffic.figures = Figures(sessions=number)
                await there.clock.advance(1)
            for_figures = there.etcd.revision - before
            there.traffic.reasons = (Reason(code="dial_failed", severity="warning", text="refused"),)
            await there.clock.advance(1.5)

            assert for_figures <= 4
            assert there.codes() == ["dial_failed"]

    run(story())


def test_another_process_with_the_same_uid_stops_the_reports_but_not_the_service() -> None:
    """When it has gone, as an earlier life of this proxy has within its lease, reports go on."""

    async def story() -> None:
        clock = ManualClock()
        there = Bench(clock, KeptView(None, clock, KEYS.cluster))
        lease = there.etcd.grant(5)
        there.etcd.transact([], [Put(KEYS.proxy("p1"), b"{}", lease.id)])
        tasks = [asyncio.create_task(loop) for loop in (*there.service.loops(), there.session.run())]
        there.put(KEYS.view, view())
        await there.clock.advance(2)
        served, status = there.traffic.decisions[-1], there.service.status()
        await there.clock.advance(6)
        later = there.service.status()
        for task in tasks:
            task.cancel()

        assert served.target is not None
        assert status["store"]["uid_taken"]
        assert not status["store"]["published"]
        assert there.report is not None
        assert not later["store"]["uid_taken"]

    run(story())


def test_the_status_says_what_is_served_and_since_when_the_store_is_known() -> None:
    """Everything of the report, and what only this process knows."""

    async def story() -> None:
        async with bench() as there:
            parked = there.service.status()
            there.traffic.figures = Figures(sessions=3, parked=1, refused=7, failed_dials=2)
            there.put(KEYS.view, view())
            await there.clock.advance(1.5)
            status = there.service.status()

            assert parked["parked_because"] == "the store holds no view, there is no route yet"
            assert (status["route"], status["term"], status["sessions"]) == ("sandun-1", TERM, 3)
            assert (status["parked"], status["refused"], status["failed_dials"]) == (1, 7, 2)
            assert status["store"]["in_contact"]
            assert status["store"]["fresh_s"] <= 1.5

    run(story())
