"""What the demo's watch notes, and when."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from common.model.keys import Keys
from common.model.reports import PromotionReport
from common.runtime.clock import SystemClock
from common.store.memory import MemoryEtcd, MemoryStore
from common.store.port import Delete, Put
from pgha.demo.observer import Observer
from tests.support.aio import LIMIT_S, eventually, run
from tests.support.healthy import INCARNATIONS, TERM, documents, keeper, stored, view

KEYS = Keys("demo")


@contextlib.asynccontextmanager
async def watching() -> AsyncIterator[tuple[Observer, MemoryStore]]:
    clock = SystemClock()
    etcd = MemoryEtcd(clock)
    store, writer = MemoryStore(etcd), MemoryStore(etcd)
    await put(writer, stored(documents()))
    observer = Observer(store, KEYS, clock)
    task = asyncio.create_task(observer.follow())
    try:
        yield observer, writer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def put(store: MemoryStore, values: dict[str, bytes]) -> None:
    await store.transact([], [Put(key, value) for key, value in values.items()])


def test_each_step_of_a_failover_is_noted_once_in_its_order() -> None:
    """Sealing view, promoting view, the new primary's report; said again they are no news."""

    async def fail_over() -> list[tuple[str, int]]:
        new = PromotionReport(term=TERM + 1, timeline=3, incarnation=INCARNATIONS["shiqiao-1"], finished=True)
        sealing = view(term=TERM + 1, phase="sealing", route=None, primary=None)
        promoting = view("shiqiao-1", term=TERM + 1, phase="promoting", route=None)
        report = keeper("shiqiao-1", promotion=new)
        async with watching() as (observer, writer):
            await observer.wait_for(lambda seen: seen.view is not None, LIMIT_S)
            for document in (sealing, sealing, promoting, promoting):
                await put(writer, {KEYS.view: document.to_bytes()})
            await put(writer, {KEYS.keeper("shiqiao-1"): report.to_bytes()})
            await eventually(lambda: len(observer.milestones) >= 3, "three milestones")
            assert sorted(each.at_s for each in observer.milestones) == [
                each.at_s for each in observer.milestones
            ]
            return [(each.kind, each.term) for each in observer.milestones]

    assert run(fail_over()) == [("sealing", TERM + 1), ("promoting", TERM + 1), ("promoted", TERM + 1)]


def test_a_standby_that_went_away_streams_anew_since_it_came_back() -> None:
    """Its earlier streaming does not count."""

    async def go_and_return() -> tuple[float, float]:
        whole = keeper("sandun-1")
        without = whole.changed(standbys=whole.standbys[:1])
        async with watching() as (observer, writer):
            await eventually(lambda: "shiqiao-2" in observer.streaming_since_s, "the first streaming")
            first = observer.streaming_since_s["shiqiao-2"]
            await put(writer, {KEYS.keeper("sandun-1"): without.to_bytes()})
            await eventually(lambda: "shiqiao-2" not in observer.streaming_since_s, "its going")
            await put(writer, {KEYS.keeper("sandun-1"): whole.to_bytes()})
            await eventually(lambda: "shiqiao-2" in observer.streaming_since_s, "its return")
            return first, observer.streaming_since_s["shiqiao-2"]

    first, again = run(go_and_return())

    assert again > first


def test_a_report_whose_lease_ended_is_gone() -> None:
    """Health must not rest on the last words of the dead."""

    async def lose_one() -> bool:
        async with watching() as (observer, writer):
            await observer.wait_for(lambda seen: "sandun-2" in seen.keepers, LIMIT_S)
            await writer.transact([], [Delete(KEYS.keeper("sandun-2"))])
            return await observer.wait_for(lambda seen: "sandun-2" not in seen.keepers, LIMIT_S)

    assert run(lose_one())


def test_waiting_ends_at_its_limit() -> None:
    """And says that what was waited for did not come."""

    async def wait() -> bool:
        async with watching() as (observer, _):
            return await observer.wait_for(lambda _: False, 0.05)

    assert run(wait()) is False
