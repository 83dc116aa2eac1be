"""What load balancers are told while a real cluster goes through its troubles."""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp
import pytest

from tests.support.aio import until
from tests.support.cluster import Cluster, cluster
from tests.support.standstill import stopped


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


async def code(running: Cluster, uid: str, path: str) -> int:
    url = f"http://127.0.0.1:{running.demo.layout.keeper(uid).api_port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status


async def who(running: Cluster, path: str) -> set[str]:
    """The members that answer 200."""
    uids = [place.uid for place in running.demo.layout.keepers]
    return {uid for uid in uids if await code(running, uid, path) == 200}


def test_each_member_is_offered_as_what_it_is(running: Cluster) -> None:
    """One primary, its standbys, those in the sync set; all live and ready."""

    async def story() -> None:
        everybody = {running.primary, *running.standbys}
        await until(lambda: who(running, "/sync"), set(running.standbys).__eq__, "all standbys are in sync")

        assert await who(running, "/primary") == {running.primary}
        assert await who(running, "/replica?lag=16MB") == set(running.standbys)
        assert await who(running, "/read-only") == everybody
        assert await who(running, "/async") == set()
        assert await who(running, "/standby-leader") == set()
        for path in ("/health", "/readyz", "/livez"):
            assert await who(running, path) == everybody

    running.run(story())


def test_after_a_failover_only_the_new_primary_is_one(running: Cluster) -> None:
    """And the documents for people know of both timelines."""

    async def story() -> None:
        old, term = running.primary, running.view.term
        await running.crash(old)
        await running.until(
            lambda seen: seen.view and seen.view.term > term and seen.view.route, "a route in a new term"
        )
        await until(
            lambda: who(running, "/primary"), {running.primary}.__eq__, "the new primary alone is one"
        )
        await running.until_well()
        url = f"http://127.0.0.1:{running.demo.layout.keeper(old).api_port}"
        async with aiohttp.ClientSession() as session:
            members = await (await session.get(f"{url}/cluster")).json()
            history = await (await session.get(f"{url}/history")).json()

        assert old != running.primary
        roles = {member["name"]: member["role"] for member in members["members"]}
        assert roles[running.primary] == "leader"
        assert history[-1][0] == 1
        assert history[-1][4] == running.primary
        assert await code(running, old, "/replica?lag=nonsense") == 400

    running.run(story())


def test_without_etcd_the_standbys_word_keeps_a_primary_one_and_without_both_nothing_does(
    running: Cluster,
) -> None:
    """Attested: 200. Neither store nor standbys: 503, before it has even stopped itself."""

    async def story() -> None:
        primary = running.primary
        etcd = [running.pid(place.uid) for place in running.demo.layout.etcd]
        standbys = [running.postmaster(uid) for uid in running.standbys]
        receivers = [
            await running.value(uid, "SELECT pid FROM pg_stat_wal_receiver") for uid in running.standbys
        ]
        with stopped(etcd):
            await running.until_true(lambda: '"attests"' in running.log(primary), "the primary attests")
            assert await code(running, primary, "/primary") == 200
            assert await code(running, primary, "/cluster") == 503
            with stopped([*standbys, *receivers]):
                await until(
                    lambda: code(running, primary, "/primary"), (503).__eq__, "it is a primary no more"
                )
        await running.until_well()
        await until(lambda: who(running, "/primary"), {running.primary}.__eq__, "there is one again")

    running.run(story())


def test_a_standby_that_does_not_stream_is_not_ready_and_has_no_lag(running: Cluster) -> None:
    """It is a replica still; whoever asks for a lag is told no."""

    async def story() -> None:
        [standby, *_] = running.standbys
        receiver = await running.value(standby, "SELECT pid FROM pg_stat_wal_receiver")
        with stopped([receiver]):
            await until(lambda: code(running, standby, "/readyz"), (503).__eq__, "it is not ready")
            assert await code(running, standby, "/replica") == 200
            assert await code(running, standby, "/replica?lag=1TB") == 503
        await running.until_well()

    running.run(story())
