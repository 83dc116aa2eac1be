"""Several members of etcd, some of them dead, hung or cut off."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from common.errors import StoreUnavailable, UnknownOutcome
from common.store.etcd import EtcdSettings, EtcdStore, open_store
from common.store.port import Put
from tests.support.aio import LIMIT_S, eventually, run
from tests.support.etcd import EtcdServer, etcd_cluster
from tests.support.forwarder import Forwarder
from tests.support.ports import free_port

PINGS_NOTICE_S = 6.0
"""Sooner than that they notice no dead connection."""


@pytest.fixture(scope="module")
def members() -> Iterator[list[EtcdServer]]:
    with etcd_cluster(3) as servers:
        yield servers


@asynccontextmanager
async def opened(*endpoints: str, timeout_s: float = LIMIT_S) -> AsyncIterator[EtcdStore]:
    store = open_store(EtcdSettings(endpoints=endpoints, timeout_s=timeout_s))
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def forwarded(members: list[EtcdServer]) -> AsyncIterator[list[Forwarder]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Forwarder(member.client_port)) for member in members]


def urls(forwarders: list[Forwarder]) -> tuple[str, ...]:
    return tuple(f"http://127.0.0.1:{forwarder.port}" for forwarder in forwarders)


def test_endpoints_where_nobody_listens_cost_next_to_nothing(members: list[EtcdServer]) -> None:
    """Reads and writes alike go to the first that answers."""

    async def story() -> None:
        dead = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
        times_s = []
        for _ in range(5):
            async with opened(*dead, members[0].url) as store:
                began = time.monotonic()
                await store.transact([], [Put("/dead/a", b"1")])
                (item,) = (await store.read("/dead/")).items
                times_s.append(time.monotonic() - began)
                states = await store.members()

        assert item.value == b"1"
        assert min(times_s) < 0.5
        assert [bool(state.problem) for state in states] == [True, True, False]

    run(story())


def test_a_hung_endpoint_delays_a_read_by_a_fraction_of_the_deadline_and_the_next_not_at_all(
    members: list[EtcdServer],
) -> None:
    """It accepts connections and never answers, like a paused process; it goes to the end of the line."""

    async def story() -> None:
        async with forwarded(members) as forwarders, opened(*urls(forwarders)) as store:
            await store.read("/hung/")
            forwarders[0].freeze()
            times_s = []
            for _ in range(6):
                began = time.monotonic()
                await store.read("/hung/")
                times_s.append(time.monotonic() - began)

        # A busy machine can only add to these times; if it were asked first again, each had at least 0.5 s.
        assert 0.4 < times_s[0] < LIMIT_S / 2
        assert min(times_s[1:]) < 0.4

    run(story())


def test_a_keepalive_gets_around_a_hung_endpoint_before_a_short_lease_ends(members: list[EtcdServer]) -> None:
    """A lease of 3 s is renewed each second: one hung member must not cost it."""

    async def story() -> None:
        async with forwarded(members) as forwarders, opened(*urls(forwarders)) as store:
            lease = await store.grant_lease(3)
            forwarders[0].freeze()
            assert await store.keep_alive(lease.id) == 3
            await store.revoke_lease(lease.id)

    run(story())


def test_a_write_into_a_hung_endpoint_is_unknown_and_the_next_goes_elsewhere(
    members: list[EtcdServer],
) -> None:
    """It is never sent to a second member by itself: the first may still carry it out."""

    async def story() -> None:
        async with forwarded(members) as forwarders, opened(*urls(forwarders), timeout_s=3.0) as store:
            before = await store.transact([], [Put("/unknown/a", b"1")])
            forwarders[0].freeze()
            with pytest.raises(UnknownOutcome):
                await store.transact([], [Put("/unknown/a", b"2")])
            after = await store.transact([], [Put("/unknown/a", b"3")])

        assert after.revision == before.revision + 1

    run(story())


def test_a_watch_on_a_connection_that_died_in_silence_moves_with_the_calls(members: list[EtcdServer]) -> None:
    """No event is lost on the way: another call to the endpoint notices for it."""

    async def story() -> None:
        async with forwarded(members) as forwarders, opened(*urls(forwarders)) as store:
            known = (await store.read("/moving/")).revision
            seen: list[bytes] = []

            async def follow() -> None:
                async for batch in store.watch("/moving/", after_revision=known):
                    seen.extend(event.item.value for event in batch.events)

            task = asyncio.create_task(follow())
            await store.transact([], [Put("/moving/a", b"1")])
            await eventually(lambda: seen == [b"1"], "the first event")
            forwarders[0].freeze()
            await store.read("/moving/")
            await store.transact([], [Put("/moving/a", b"2")])
            await eventually(
                lambda: seen == [b"1", b"2"], "the event after the move", within_s=PINGS_NOTICE_S
            )
            task.cancel()

    run(story())


def test_a_watch_without_other_calls_is_ended_by_pings_when_its_connection_is_dead(
    members: list[EtcdServer],
) -> None:
    """HTTP/2 pings every 6 s with 2 s to answer; etcd takes them without closing the connection."""

    async def story() -> None:
        async with (
            forwarded(members) as forwarders,
            opened(*urls(forwarders)) as store,
            opened(members[1].url) as other,
        ):
            known = (await other.read("/pings/")).revision
            seen: list[bytes] = []

            async def follow() -> None:
                async for batch in store.watch("/pings/", after_revision=known):
                    seen.extend(event.item.value for event in batch.events)

            task = asyncio.create_task(follow())
            await other.transact([], [Put("/pings/a", b"1")])
            await eventually(lambda: seen == [b"1"], "the first event")
            forwarders[0].freeze()
            await other.transact([], [Put("/pings/a", b"2")])
            await eventually(lambda: seen == [b"1", b"2"], "the event after the pings")
            task.cancel()

    run(story())


async def write_until(store: EtcdStore, key: str, last: int) -> None:
    """Write 1, 2, 3 and so on, each again until it is acknowledged."""
    number = 1
    while number <= last:
        with contextlib.suppress(StoreUnavailable):
            await store.transact([], [Put(key, str(number).encode())])
            number += 1


def test_a_paused_leader_of_etcd_is_survived_by_calls_and_watches(members: list[EtcdServer]) -> None:
    """The others elect a new one within a few seconds; the watch has every change once."""

    async def story() -> None:
        async with opened(*(member.url for member in members)) as store:
            states = await store.members()
            leader = next(member for member, state in zip(members, states, strict=True) if state.is_leader)
            known = (await store.read("/paused/")).revision
            seen: list[bytes] = []

            async def follow() -> None:
                async for batch in store.watch("/paused/", after_revision=known):
                    seen.extend(event.item.value for event in batch.events)

            task = asyncio.create_task(follow())
            await asyncio.sleep(0.1)
            leader.pause()
            try:
                async with asyncio.timeout(LIMIT_S):
                    await write_until(store, "/paused/a", 20)
                await eventually(lambda: seen[-1:] == [b"20"], "the last change")
            finally:
                leader.resume()
            task.cancel()

        assert sorted({int(value) for value in seen}) == list(range(1, 21))
        assert [int(value) for value in seen] == sorted(int(value) for value in seen)

    run(story())


def test_a_member_that_lost_the_majority_refuses_and_says_that_it_has_no_leader() -> None:
    """Nothing is answered from what it still knows; with the majority back it serves again."""

    async def story(servers: list[EtcdServer]) -> None:
        async with opened(servers[0].url) as patient, opened(servers[0].url, timeout_s=2.0) as store:
            await patient.transact([], [Put("/minority/a", b"1")])
            for server in servers[1:]:
                server.kill()
            problem = ""
            async with asyncio.timeout(LIMIT_S):
                while problem != "it has no leader":
                    await asyncio.sleep(0.2)
                    [problem] = [each.problem for each in await store.members()]
            with pytest.raises(StoreUnavailable, match="no leader"):
                await store.read("/minority/")
            with pytest.raises(StoreUnavailable) as refused:
                await store.transact([], [Put("/minority/a", b"2")])
            servers[1].launch()
            await asyncio.to_thread(servers[0].wait_ready)
            (item,) = (await patient.read("/minority/")).items

        assert not isinstance(refused.value, UnknownOutcome)
        assert item.value == b"1"

    with etcd_cluster(3) as servers:
        run(story(servers))
