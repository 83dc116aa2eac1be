"""Mirror, session and publisher together on a real etcd that is killed and started again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from common.runtime.clock import SystemClock
from common.store.etcd import EtcdSettings, open_store
from common.store.mirror import Mirror
from common.store.publisher import Publisher
from common.store.session import Session
from tests.support.aio import LIMIT_S, eventually, run
from tests.support.etcd import EtcdServer


class Service:
    """What every service of pgha has."""

    def __init__(self, server: EtcdServer, uid: str, ttl_s: int) -> None:
        clock = SystemClock()
        self.clock = clock
        self.key = f"/pgha/main/keepers/{uid}"
        self.store = open_store(EtcdSettings(endpoints=(server.url,), timeout_s=1))
        self.mirror = Mirror(self.store, clock, "/pgha/main/")
        self.session = Session(self.store, clock, ttl_s=ttl_s, is_alive=lambda: True)
        self.publisher = Publisher(self.store, self.session, clock, self.key)

    def sees(self, key: str) -> bytes | None:
        item = self.mirror.items.get(key)
        return item.value if item else None

    @property
    def age_s(self) -> float:
        return self.clock.monotonic() - self.mirror.fresh_since()


@asynccontextmanager
async def services(server: EtcdServer, *uids: str, ttl_s: int = 3) -> AsyncIterator[list[Service]]:
    running = [Service(server, uid, ttl_s) for uid in uids]
    tasks = [
        asyncio.create_task(part.run())
        for service in running
        for part in (service.mirror, service.session, service.publisher)
    ]
    try:
        yield running
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for service in running:
            await service.store.close()


def test_services_find_each_other_again_after_etcd_was_killed() -> None:
    """The image ages while etcd is away, and all is published, seen and fresh soon after it is back."""

    async def story(server: EtcdServer) -> None:
        async with services(server, "one", "two") as (one, two):
            one.publisher.offer(b"1", acts_on=1)
            two.publisher.offer(b"2", acts_on=2)
            await eventually(lambda: one.sees(two.key) == b"2", "the report of the other")
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(3.5)
            valid_during = one.session.is_valid
            image_during = one.sees(two.key)
            age_during_s = one.age_s
            synced_during = one.mirror.synced
            one.publisher.offer(b"3", acts_on=3)
            await asyncio.to_thread(server.start)
            await eventually(lambda: two.sees(one.key) == b"3", "the new report")
            await eventually(lambda: one.mirror.synced and two.mirror.synced, "both in sync")
            await eventually(lambda: one.session.is_valid and two.session.is_valid, "leases")

            assert not valid_during
            assert image_during == b"2"
            assert age_during_s > 3
            assert not synced_during
            await eventually(lambda: one.age_s < 2, "the image is fresh")
            assert not one.mirror.went_backwards

    with EtcdServer() as server:
        run(story(server))


def test_a_service_that_resigns_is_gone_for_the_others_within_a_moment() -> None:
    """Long before its lease would have ended."""

    async def story(server: EtcdServer) -> None:
        async with (
            services(server, "staying") as (staying,),
            services(server, "going", ttl_s=10 * int(LIMIT_S)) as (going,),
        ):
            going.publisher.offer(b"1", acts_on=1)
            await eventually(lambda: staying.sees(going.key) == b"1", "the report")
            await going.session.resign()
            await eventually(lambda: staying.sees(going.key) is None, "its absence")

    with EtcdServer() as server:
        run(story(server))


def test_an_etcd_whose_data_was_replaced_by_an_older_state_is_noticed() -> None:
    """Its revision starts low again: the services are told, whatever the documents say."""

    async def story(server: EtcdServer) -> None:
        async with services(server, "one") as (one,):
            one.publisher.offer(b"0", acts_on=0)
            for number in range(1, 6):
                one.publisher.offer(str(number).encode(), acts_on=number)
                assert await one.publisher.wait_published(LIMIT_S)
            await eventually(lambda: one.sees(one.key) == b"5", "the last report")
            await asyncio.to_thread(server.kill)
            server.forget_data()
            await asyncio.to_thread(server.start)
            await eventually(lambda: one.mirror.went_backwards, "the problem")
            await eventually(lambda: one.sees(one.key) == b"5", "the report again")

            assert "revision" in (one.mirror.problem or "")

    with EtcdServer() as server:
        run(story(server))


def test_at_rest_a_service_uses_less_than_one_hundredth_of_a_core() -> None:
    """Mirror, session and publisher with two documents that do not change; others can only add to it."""

    async def story(server: EtcdServer) -> None:
        seconds = 5
        async with services(server, "one") as (one,):
            one.publisher.offer(b"1", acts_on=1)
            await eventually(lambda: one.sees(one.key) == b"1", "the report")
            used: list[float] = []
            while len(used) < 3 and min(used, default=1) >= 0.01:
                before = time.process_time()
                await asyncio.sleep(seconds)
                used.append((time.process_time() - before) / seconds)

            assert min(used) < 0.01

    with EtcdServer() as server:
        run(story(server))
