"""Outages of the store longer than every timeout: the primary goes on while standbys attest, not longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from common.model.spec import ClusterSpec
from tests.support.cluster import SMALL, Cluster, cluster

FENCE_AFTER_S = 7.0
AWAY_S = FENCE_AFTER_S + 3.0

SHORT = ClusterSpec.from_plain(
    {
        "durability": {"survive": "node"},
        "timings": {"proxy_timeout": "5s", "fence_after": f"{FENCE_AFTER_S:g}s"},
        "postgres": {"parameters": SMALL},
    }
)


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(spec=SHORT) as made:
        yield made


@asynccontextmanager
async def without_store(running: Cluster) -> AsyncIterator[None]:
    """Long enough that only attestations still count, then back."""
    [etcd] = running.demo.layout.etcd
    await running.kill_service(etcd.uid)
    try:
        await asyncio.sleep(AWAY_S)
        yield
    finally:
        await running.start(etcd.uid)


def test_a_long_outage_fails_no_statement_and_nothing_fails_over_after_it(running: Cluster) -> None:
    """The standbys flush a record a second; that is enough for keeper and proxy."""

    async def story() -> None:
        term, primary = running.view.term, running.primary
        async with running.writing() as statements:
            await running.more_writes()
            async with without_store(running):
                await running.more_writes()
            await running.until_well(term=term)
            await running.more_writes()

        assert (running.view.term, running.primary) == (term, primary)
        assert [each for each in statements if each.result != "ok"] == []

    running.run(story())


def test_proxy_and_keeper_may_be_restarted_while_the_store_is_away(running: Cluster) -> None:
    """Each goes on from the view that it kept on disk, once that is attested; PostgreSQL notices nothing."""

    async def story() -> None:
        term, primary = running.view.term, running.primary
        [proxy] = running.demo.layout.proxies
        postmaster = running.postmaster(primary)
        async with running.writing():
            async with without_store(running):
                for name in (proxy.uid, primary):
                    await running.kill_service(name)
                    await running.start(name)
                    await running.more_writes()
                await asyncio.sleep(AWAY_S)
                await running.more_writes()
            await running.until_well(term=term)

        assert (running.view.term, running.primary) == (term, primary)
        assert running.postmaster(primary) == postmaster

    running.run(story())


def test_a_primary_without_store_and_standbys_stops_itself_and_says_why(running: Cluster) -> None:
    """Nobody can know any more whether it was replaced. When all is back nothing acknowledged is missing."""

    async def story() -> None:
        term, primary, standbys = running.view.term, running.primary, running.standbys
        async with running.writing():
            await running.more_writes()
            await running.power_cut(*standbys)
            async with without_store(running):
                await running.until_true(
                    lambda: not (running.data(primary) / "postmaster.pid").exists(), "it has stopped"
                )
                assert "fenced_itself" in running.log(primary)
            await running.start(*standbys)
            await running.until_well(term=term + 1)
            await running.more_writes()

    running.run(story())
