"""etcd killed under load, and etcd out of space."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import StoreUnavailable, UnknownOutcome
from common.store.etcd import EtcdSettings, EtcdStore, open_store
from common.store.etcd.api import grpc, rpc
from common.store.port import Compare, Delete, KeyValue, Put
from tests.support.aio import LIMIT_S, eventually, run
from tests.support.etcd import EtcdServer, compact

KEY = "/count/a"


class Counter:
    """Counts up in the store by compare-and-swap; keeps what was acknowledged and what is unknown."""

    def __init__(self, store: EtcdStore) -> None:
        self.store = store
        self.acknowledged: set[int] = set()
        self.unknown: set[int] = set()

    async def count_until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._count_once()
            except StoreUnavailable:
                await asyncio.sleep(0.01)

    async def _count_once(self) -> None:
        items = (await self.store.read(KEY)).items
        number, revision = (int(items[0].value), items[0].mod_revision) if items else (0, 0)
        compares = [Compare(KEY, "mod_revision", revision)]
        try:
            outcome = await self.store.transact(compares, [Put(KEY, str(number + 1).encode())])
        except UnknownOutcome:
            self.unknown.add(number + 1)
            raise
        if outcome.succeeded:
            self.acknowledged.add(number + 1)


def test_etcd_killed_under_load_loses_nothing_acknowledged_and_the_watch_sees_each_change_once() -> None:
    """A write that was reported as failed, and not as unknown, did not happen."""

    async def story(server: EtcdServer) -> None:
        limits_s = (LIMIT_S, 1, 1, 1)
        stores = [open_store(EtcdSettings(endpoints=(server.url,), timeout_s=each)) for each in limits_s]
        counters = [Counter(store) for store in stores[1:]]
        seen: list[int] = []

        async def follow() -> None:
            async for batch in stores[0].watch("/count/", after_revision=1):
                seen.extend(int(event.item.value) for event in batch.events)

        stop = asyncio.Event()
        following = asyncio.create_task(follow())
        counting = [asyncio.create_task(counter.count_until(stop)) for counter in counters]
        for restarted in range(3):
            if restarted:
                await asyncio.to_thread(server.restart)
            wanted = sum(len(counter.acknowledged) for counter in counters) + 40
            await eventually(
                lambda wanted=wanted: sum(len(counter.acknowledged) for counter in counters) >= wanted,  # type: ignore[misc]
                "more is counted",
            )
        stop.set()
        await asyncio.gather(*counting)
        (last,) = (await stores[0].read(KEY)).items
        await eventually(lambda: seen[-1:] == [int(last.value)], "the last change")
        following.cancel()
        for store in stores:
            await store.close()

        acknowledged = [number for counter in counters for number in counter.acknowledged]
        unknown = set().union(*(counter.unknown for counter in counters))
        assert len(acknowledged) > 100
        assert seen == list(range(1, int(last.value) + 1))
        assert len(acknowledged) == len(set(acknowledged))
        assert set(acknowledged) <= set(seen) <= set(acknowledged) | unknown

    with EtcdServer() as server:
        run(story(server))


async def fill(store: EtcdStore) -> None:
    for number in range(100):
        await store.transact([], [Put(f"/big/{number}", bytes(100_000))])


async def make_space(server: EtcdServer) -> None:
    """What the error tells the operator to do."""
    await compact(server)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.client_port}") as channel:
        maintenance = rpc.MaintenanceStub(channel)
        await maintenance.Defragment(rpc.DefragmentRequest())
        for alarm in (await maintenance.Alarm(rpc.AlarmRequest())).alarms:
            disarm = rpc.AlarmRequest(action=2, memberID=alarm.memberID, alarm=alarm.alarm)
            await maintenance.Alarm(disarm)


def test_etcd_without_space_counts_as_unavailable_for_writes_and_says_what_to_do() -> None:
    """Reads and keepalives go on, so leases do not end; after a disarm writes go on."""

    async def story(server: EtcdServer) -> None:
        store = open_store(EtcdSettings(endpoints=(server.url,), timeout_s=LIMIT_S))
        lease = await store.grant_lease(60)
        with pytest.raises(StoreUnavailable, match="alarm NOSPACE") as refused:
            await fill(store)
        kept: tuple[KeyValue, ...] = (await store.read("/big/")).items
        assert await store.keep_alive(lease.id) == 60
        with pytest.raises(StoreUnavailable, match="alarm NOSPACE"):
            await store.grant_lease(60)
        (state,) = await store.members()
        await store.transact([], [Delete(item.key) for item in kept])
        await make_space(server)
        await store.transact([], [Put("/big/again", b"")])
        (well,) = await store.members()
        await store.close()

        assert not isinstance(refused.value, UnknownOutcome)
        assert "etcdctl alarm disarm" in str(refused.value)
        assert any("NOSPACE" in alarm for alarm in state.alarms)
        assert well.alarms == ()

    with EtcdServer(arguments=(f"--quota-backend-bytes={1024 * 1024}",)) as server:
        run(story(server))
