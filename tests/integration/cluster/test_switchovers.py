"""Switchovers of a real cluster, asked for as a DBA does, with clients that write all the time."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from common.model.requests import Request
from common.model.spec import ClusterSpec
from common.status.documents import Documents
from tests.support.cluster import SMALL, UNDAMPED, Cluster, cluster
from tests.support.patience import PATIENT
from tests.support.standstill import stopped, wal_receiver

SPEC = ClusterSpec.from_plain(
    {
        "durability": {"survive": "node"},
        "postgres": {"parameters": SMALL},
        "timings": {**UNDAMPED, **PATIENT, "drain_timeout": "200ms"},
    }
)

LOAD = 4

DONE, FAILED = 0, 1


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    """Two members on one site and one on the other."""
    with cluster(spec=SPEC) as made:
        yield made


async def begin(running: Cluster, *arguments: str) -> asyncio.subprocess.Process:
    """Start ``pgha switchover``."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pgha", "switchover", "--yes", "-o", "json", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=running.environment,
    )


async def ended(command: asyncio.subprocess.Process) -> tuple[int | None, dict[str, Any]]:
    """The exit code of a command, and what it wrote."""
    out, err = await command.communicate()
    assert out, err.decode()
    plain: dict[str, Any] = json.loads(out)
    return command.returncode, plain


async def switch(running: Cluster, *arguments: str) -> tuple[int | None, dict[str, Any]]:
    """Ask for a switchover and wait for its end."""
    return await ended(await begin(running, *arguments))


def is_switching(seen: Documents) -> bool:
    return seen.view is not None and seen.view.phase == "switching"


def of(running: Cluster, site: str) -> str:
    """A standby of a site."""
    return next(uid for uid in running.standbys if running.demo.layout.keeper(uid).site == site)


def test_both_directions_lose_nothing_refuse_nobody_and_need_no_rewind(running: Cluster) -> None:
    """New connections wait; the old primary follows in the life that it had."""

    async def story() -> None:
        lives = {uid: running.incarnation(uid) for uid in (running.primary, *running.standbys)}
        term = running.view.term
        passed = []
        async with running.writing(LOAD) as statements:
            for _ in range(4):
                await running.more_writes()
                old = running.primary
                there = running.demo.layout.keeper(old).site
                other = next(place.site for place in running.demo.layout.keepers if place.site != there)
                code, request = await switch(running, "--site", other)
                passed.append(
                    (code, request["state"], running.demo.layout.keeper(running.primary).site == other)
                )
                await running.until_well(term=running.view.term)
        failed = [each for each in statements if not each.connected]

        assert passed == [(DONE, "done", True)] * 4
        assert running.view.term == term + 4
        assert {uid: running.incarnation(uid) for uid in lives} == lives
        assert failed == []

    running.run(story())


def test_the_death_of_the_leading_sentinel_changes_nothing(running: Cluster) -> None:
    """Half-way, without a route: the other one goes on from the view, and the request ends once."""

    async def story() -> None:
        term, target = running.view.term, running.standbys[0]
        leader = running.documents.leader
        assert leader is not None
        async with running.writing():
            await running.more_writes()
            command = await begin(running, "--to", target)
            await running.until(is_switching, "the route has gone")
            await running.kill_service(leader)
            code, request = await ended(command)
            await running.start(leader)
            await running.until_well(term=term + 1)

        assert (code, request["state"], running.primary, running.view.term) == (
            DONE,
            "done",
            target,
            term + 1,
        )

    running.run(story())


def test_the_death_of_the_primarys_keeper_half_way_loses_nothing(running: Cluster) -> None:
    """Whatever becomes of the switchover: somebody is primary, everything acknowledged is there."""

    async def story() -> None:
        old, target = running.primary, running.standbys[0]
        async with running.writing():
            await running.more_writes()
            command = await begin(running, "--to", target)
            await running.until(is_switching, "the route has gone")
            await running.kill_service(old)
            await running.start(old)
            code, request = await ended(command)
            await running.until_well()
            await running.more_writes()

        assert code == (DONE if request["state"] == "done" else FAILED)
        assert (running.primary == target) or request["state"] == "failed"

    running.run(story())


def test_a_target_that_lacks_the_last_wal_leaves_the_primary_in_its_term(running: Cluster) -> None:
    """It was stopped and is started again; the request says why, and clients go on."""

    async def story() -> None:
        term, old, target = running.view.term, running.primary, running.standbys[0]
        async with running.writing():
            await running.more_writes()
            command = await begin(running, "--to", target, "--drain", "3s")
            await running.until(is_switching, "the route has gone")
            with stopped([await wal_receiver(running.postmaster(target))]):
                code, request = await ended(command)
                await running.until(
                    lambda seen: seen.view is not None and seen.view.route is not None, "the route is back"
                )
                await running.more_writes()
            await running.until_well()
        events = [event.kind for event in await running.history()]

        assert (code, request["state"]) == (FAILED, "failed")
        assert "does not have the last WAL" in request["result"]
        assert (running.view.term, running.primary) == (term, old)
        assert events[-1] != "sealing"

    running.run(story())


def test_a_standby_that_is_stuck_holds_nothing_up(running: Cluster) -> None:
    """PostgreSQL itself would wait for it; the other one takes over, and the stuck one follows later."""

    async def story() -> None:
        target, stuck = running.standbys
        async with running.writing():
            await running.more_writes()
            with stopped([await wal_receiver(running.postmaster(stuck))]):
                code, request = await switch(running, "--to", target)
            await running.until_well()

        assert (code, request["state"], running.primary) == (DONE, "done", target)

    running.run(story())


def test_one_that_drains_can_be_taken_back(running: Cluster) -> None:
    """The session that it waited for goes on as if nothing had been."""

    async def story() -> None:
        term, old = running.view.term, running.primary
        port = running.demo.layout.proxies[0].port
        async with await psycopg.AsyncConnection.connect(running.workload.conninfo(port)) as session:
            await session.execute("SELECT 1")
            command = await begin(running, "--drain", "60s")
            await running.until(is_switching, "the route has gone")
            taken_back, _ = await switch(running, "--cancel")
            code, request = await ended(command)
            row = await (await session.execute("SELECT 2")).fetchone()
        await running.until_well()

        assert (taken_back, code, request["state"]) == (DONE, FAILED, "cancelled")
        assert row == (2,)
        assert (running.view.term, running.primary) == (term, old)

    running.run(story())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--to", "nobody"], "is no member"),
        (["--site", "nowhere"], "no member stands on site"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    running: Cluster, arguments: list[str], reason: str
) -> None:
    """With the reason, and nothing is asked of the cluster."""

    async def story() -> None:
        generation = running.view.generation
        code, plan = await switch(running, *arguments)
        held = [each.request for each in running.documents.requests]
        asked = [each for each in held if isinstance(each, Request) and each.is_open]

        assert code == FAILED
        assert reason in plan["refused"]
        assert running.view.generation == generation
        assert asked == []

    running.run(story())


def test_a_dry_run_says_what_would_be_done_and_does_nothing(running: Cluster) -> None:
    """The same rules, no request."""

    async def story() -> None:
        generation, target = running.view.generation, running.standbys[0]
        code, plan = await switch(running, "--to", target, "--dry-run")

        assert code == DONE
        assert any(f"{target} becomes primary" in line for line in plan["will"])
        assert running.view.generation == generation

    running.run(story())
