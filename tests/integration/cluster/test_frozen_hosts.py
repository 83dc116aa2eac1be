"""Hosts that stand still for longer than a lease and then go on, as paused virtual machines do."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator

import psycopg
import pytest

from common.status.documents import Documents
from keeper.processes import find
from pgha.demo.layout import SITES, ProxyPlace
from tests.support.cluster import STEP_LIMIT_S, Cluster, cluster, small_layout
from tests.support.ports import free_port
from tests.support.standstill import stopped

SECOND = "proxy-2"


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    """Three members and a proxy on each site."""
    layout = small_layout()
    second = ProxyPlace(SECOND, SITES[1], free_port(), free_port())
    with cluster(dataclasses.replace(layout, proxies=(*layout.proxies, second))) as made:
        yield made


def routed_after(term: int, seen: Documents) -> bool:
    return seen.view is not None and seen.view.term > term and seen.view.route is not None


def test_a_primary_that_wakes_after_its_successor_acknowledges_nothing(running: Cluster) -> None:
    """A commit that was sent to it meanwhile fails; it becomes a standby and has what the new one wrote."""

    async def story() -> None:
        term, old = running.view.term, running.primary
        await running.value(old, "CREATE TABLE sent_to_the_sleeper (id int)")
        async with running.writing():
            await running.more_writes()
            connection = await psycopg.AsyncConnection.connect(
                host=str(running.root(old) / "socket"),
                port=running.demo.layout.keeper(old).port,
                user="postgres",
                dbname="postgres",
                autocommit=True,
            )
            with stopped([running.pid(old), *find(running.data(old))]):
                commit = asyncio.create_task(connection.execute("INSERT INTO sent_to_the_sleeper VALUES (1)"))
                await running.until(lambda seen: routed_after(term, seen), "a route in a new term")
                successor = running.primary
                await running.more_writes()
            await asyncio.wait([commit], timeout=STEP_LIMIT_S)
            await running.until_well(term=term + 1)

        assert successor != old
        assert isinstance(commit.exception(), psycopg.OperationalError)
        assert running.view.term == term + 1
        assert await running.value(old, "SELECT count(*) FROM sent_to_the_sleeper") == 0

    running.run(story())


def test_a_proxy_that_sleeps_through_a_failover_holds_nobody_up_and_cuts_when_it_wakes(
    running: Cluster,
) -> None:
    """The other one serves the new primary meanwhile; no session of the old term outlives the awakening."""

    async def story() -> None:
        term, old, service = running.view.term, running.primary, running.demo.services[SECOND]
        port = next(place.port for place in running.demo.layout.proxies if place.uid == SECOND)
        async with running.writing():
            await running.more_writes()
            connection = await psycopg.AsyncConnection.connect(
                running.workload.conninfo(port), autocommit=True
            )
            pid = service.pid
            assert pid is not None
            with stopped([pid]):
                await running.crash(old)
                await running.until(lambda seen: routed_after(term, seen), "a route in a new term")
                await running.more_writes()
                asleep = running.documents.proxies.get(SECOND)
            with pytest.raises(psycopg.OperationalError):
                await connection.execute("SELECT 1")
            await running.until_well(term=term + 1)
            awake = running.documents.proxies[SECOND]

        assert service.pid == pid
        assert asleep is None or asleep.term == term
        assert (awake.route, awake.term) == (running.primary, term + 1)

    running.run(story())
