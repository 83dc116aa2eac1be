"""The smallest cluster that can fail over: a primary and one standby, each the other's only witness."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Iterator

import psycopg
import pytest

from common.model.spec import ClusterSpec
from common.status.documents import Documents
from tests.support.aio import until
from tests.support.cluster import SMALL, Cluster, cluster, small_layout
from tests.support.ports import free_port

STRICT = ClusterSpec.from_plain({"durability": {"mode": "strict"}, "postgres": {"parameters": SMALL}})
"""The one that is left waits for the other: with ``degrade`` it would go on alone."""

LONG_ENOUGH_S = 3.0
"""More than the sentinel's patience with a primary that has no route."""


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(small_layout((1, 1)), STRICT) as made:
        yield made


def named_after(term: int, seen: Documents) -> bool:
    return seen.view is not None and seen.view.term > term and seen.view.primary is not None


def routed_after(term: int, seen: Documents) -> bool:
    return named_after(term, seen) and seen.view is not None and seen.view.route is not None


async def count(running: Cluster) -> int:
    """How many rows a client of the proxy sees; it waits while there is no route."""
    port = running.demo.layout.proxies[0].port
    return len(await running.workload.present(port))


def move_to_another_port(running: Cluster, uid: str) -> int:
    """Have a keeper that is not running start with another port of PostgreSQL, and the test know it."""
    demo, port = running.demo, free_port()
    command = list(demo.services[uid].command)
    command[command.index("--port") + 1] = str(port)
    demo.services[uid].command = command
    keepers = tuple(
        dataclasses.replace(place, port=port) if place.uid == uid else place for place in demo.layout.keepers
    )
    demo.layout = dataclasses.replace(demo.layout, keepers=keepers)
    return port


def test_an_old_primary_goes_on_when_the_one_that_was_named_after_it_dies(running: Cluster) -> None:
    """It holds all that was acknowledged, since the other never had a route; nothing is lost."""

    async def story() -> None:
        term, old, [candidate] = running.view.term, running.primary, running.standbys
        async with running.writing():
            await running.more_writes()
            await running.power_cut(old)
            await running.until(lambda seen: named_after(term, seen), "the other one is named")
            named, named_in_term = running.primary, running.view.term
            had_a_route = running.view.route is not None
            await running.power_cut(candidate)
            await running.start(old)
            await running.until(lambda seen: named_after(named_in_term, seen), "the old one is named")
            named_again = running.primary
            await running.start(candidate)
            await running.until_well(term=named_in_term + 1)

        assert named == candidate
        assert not had_a_route
        assert named_again == old

    running.run(story())


def test_a_commit_that_was_not_acknowledged_is_shown_to_nobody_before_a_standby_has_it(
    running: Cluster,
) -> None:
    """The primary crashes while a commit waits: it stands in its WAL, but no client gets to see it (I7)."""

    async def story() -> None:
        term, primary, [standby] = running.view.term, running.primary, running.standbys
        await running.workload.create_table(running.demo.layout.proxies[0].port)
        await running.value(primary, "CREATE TABLE waiting (id int)")
        before = await count(running)
        await running.power_cut(standby)
        commit = asyncio.create_task(running.value(primary, "INSERT INTO waiting VALUES (1)"))
        await running.until(lambda _: "commits_wait " in running.reasons(), "it is said that commits wait")
        hung = not commit.done()
        await running.crash(primary)
        await asyncio.wait([commit])
        await running.until(
            lambda _: f"waiting_for_standbys {primary}" in running.reasons(),
            "it is writable, without a route",
        )
        client = asyncio.create_task(count(running))
        await asyncio.sleep(LONG_ENOUGH_S)
        in_its_wal = await running.value(primary, "SELECT count(*) FROM waiting")
        shown_too_early, route_too_early = client.done(), running.view.route
        await running.start(standby)
        seen = await client
        await running.until_well(term=term + 1)
        rows = functools.partial(running.value, standby, "SELECT count(*) FROM waiting")
        await until(rows, lambda found: found == 1, "the standby has the row")

        assert hung
        assert isinstance(commit.exception(), psycopg.OperationalError)
        assert in_its_wal == 1
        assert not shown_too_early
        assert route_too_early is None
        assert seen == before

    running.run(story())


def test_a_primary_whose_host_comes_back_at_another_address_is_followed_and_routed_there(
    running: Cluster,
) -> None:
    """First as a standby of the one that took over; when that one dies, clients get to it where it is now."""

    async def story() -> None:
        term, moved, [other] = running.view.term, running.primary, running.standbys
        async with running.writing():
            await running.more_writes()
            await running.power_cut(moved)
            port = move_to_another_port(running, moved)
            await running.start(moved)
            await running.until_well(term=term + 1)
            member = running.view.member(moved)
            took_over = running.primary
            await running.crash(other)
            await running.until(lambda seen: routed_after(term + 1, seen), "a route in a further term")
            route = running.view.route
            await running.more_writes()
            await running.until_well()

        assert took_over == other
        assert member is not None
        assert member.port == port
        assert route is not None
        assert (route.uid, route.port) == (moved, port)

    running.run(story())
