"""A primary that hangs while its keeper lives: its postmaster, all of it, or the disk beneath it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from common.model.spec import ClusterSpec
from common.status.documents import Documents
from keeper.processes import find
from tests.support.cluster import SMALL, UNDAMPED, Cluster, cluster
from tests.support.disks import frozen, real_disk
from tests.support.standstill import stopped

SPEC = ClusterSpec.from_plain(
    {
        "durability": {"survive": "node"},
        "postgres": {"parameters": SMALL},
        "timings": {**UNDAMPED, "hang_timeout": "4s"},
    }
)


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    """Three members."""
    with cluster(spec=SPEC) as made:
        yield made


def routed_after(term: int) -> Callable[[Documents], bool]:
    return lambda seen: seen.view is not None and seen.view.term > term and seen.view.route is not None


async def why_sealed(running: Cluster) -> str:
    """The code of the reason for the last failover."""
    return [event for event in await running.history() if event.kind == "sealing"][-1].reason


def only_the_postmaster(running: Cluster, uid: str) -> list[int]:
    return [running.postmaster(uid)]


def all_of_it(running: Cluster, uid: str) -> list[int]:
    return find(running.data(uid))


@pytest.mark.parametrize("what", [only_the_postmaster, all_of_it])
def test_a_primary_that_is_stopped_is_replaced_and_ended(
    running: Cluster, what: Callable[[Cluster, str], list[int]]
) -> None:
    """Sessions that go on without a postmaster too; its keeper kills it, and it comes back as a standby."""

    async def story() -> None:
        term, old = running.view.term, running.primary
        async with running.writing():
            await running.more_writes()
            with stopped(what(running, old)):
                await running.until(routed_after(term), "a route in a new term")
                await running.more_writes()
                await running.until_well(term=term + 1)

        assert running.primary != old
        assert running.view.term == term + 1
        assert await why_sealed(running) == "primary_hung"
        assert "hanging_killed" in running.log(old)

    running.run(story())


def test_a_standby_that_is_stopped_is_a_warning_and_no_failover(running: Cluster) -> None:
    """It is named with what hangs, and forgotten when it goes on."""

    async def story() -> None:
        term, uid = running.view.term, running.standbys[0]
        with stopped([running.postmaster(uid)]):
            await running.until(lambda _: f"standby_hangs {uid}" in running.reasons(), "it is named")
            text = running.reasons()[f"standby_hangs {uid}"]
        await running.until(lambda _: f"standby_hangs {uid}" not in running.reasons(), "it is forgotten")
        await running.until_well()

        assert "SELECT 1 over a new local connection" in text
        assert running.view.term == term

    running.run(story())


def test_clients_who_use_up_all_connections_are_not_taken_for_a_dead_server(running: Cluster) -> None:
    """The keeper's probes use those that are reserved."""

    async def story() -> None:
        term, primary = running.view.term, running.primary
        conninfo = running.workload.conninfo(running.demo.layout.keeper(primary).port)
        refused = ""
        async with contextlib.AsyncExitStack() as clients:
            while not refused:
                try:
                    connection = await psycopg.AsyncConnection.connect(conninfo)
                except psycopg.OperationalError as error:
                    refused = str(error)
                else:
                    await clients.enter_async_context(connection)
            await running.clock.sleep(8)
            report = running.report(primary)

        assert "connection slots" in refused
        assert report is not None
        assert report.hanging == ""
        assert running.view.term == term

    running.run(story())


@pytest.fixture
def on_disks(tmp_path: Path) -> Iterator[Cluster]:
    """Three members, each with everything of its own on a disk of its own."""
    with contextlib.ExitStack() as disks, cluster(spec=SPEC, started=False) as made:
        for place in made.demo.layout.keepers:
            disks.enter_context(real_disk(made.root(place.uid), tmp_path / f"{place.uid}.image", 400))
        made.run(made.demo.start())
        yield made
        made.run(made.end())


def test_a_primary_whose_disk_hangs_is_replaced(on_disks: Cluster) -> None:
    """Its keeper's memory lies on the same disk, and it says so all the same; thawed, it comes back."""
    running = on_disks

    async def story() -> None:
        term, old = running.view.term, running.primary
        async with running.writing():
            await running.more_writes()
            with frozen(running.root(old)):
                await running.until(routed_after(term), "a route in a new term")
                await running.more_writes()
                await running.until(
                    lambda seen: old not in seen.keepers or not seen.keepers[old].writable,
                    "its keeper says that it is not primary any more",
                )
            await running.until_well(term=term + 1)

        assert running.primary != old
        assert running.view.term == term + 1
        assert await why_sealed(running) == "primary_hung"
        assert "a write to the disk of the data directory" in running.log(old)

    running.run(story())
