"""A deadman beside a real PostgreSQL: what becomes of the server when its keeper hangs, dies or comes back.

The keeper is a stand-in: a process of its own that arms the deadman and re-arms it, as a keeper does with
each keepalive that was confirmed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess

from keeper.processes import attached, find, postmaster_pid, shared_memory
from tests.integration.keeper.stage import MARGIN_S, deadmen, is_dead, stage
from tests.support.aio import LIMIT_S, eventually, run, until


def test_a_keeper_that_is_stopped_loses_its_postgres() -> None:
    """SIGSTOP of the keeper: nothing is left of PostgreSQL once the deadline has passed, not before."""

    async def story() -> None:
        async with stage() as (place, primary):
            keeper = await place.keeper(4.0)
            segment = shared_memory(primary.data)
            keeper.signal(signal.SIGSTOP)
            alive_at_first = bool(find(primary.data))
            await is_dead(primary, within_s=4.0 + MARGIN_S)
            await eventually(lambda: bool(place.said("deadman_killed")), "the deadman says so")

            assert alive_at_first
            assert attached(segment) == 0
            assert place.said("deadman_fired")[0]["late_s"] < MARGIN_S
            assert place.said("deadman_killed")[0]["killed"] > 0

    run(story())


def test_a_keeper_that_confirms_in_time_keeps_its_postgres() -> None:
    """For longer than one deadline."""

    async def story() -> None:
        async with stage() as (place, primary):
            await place.keeper(6.0)
            start_id = primary.server.start_id
            await asyncio.sleep(7.5)

            assert primary.server.start_id == start_id
            assert await primary.value("SELECT 1") == 1
            assert not place.said("deadman_fired")

    run(story())


def test_a_keeper_that_was_killed_and_comes_back_in_time_keeps_its_postgres() -> None:
    """The new life takes the same deadman over, with the deadline that was armed, and moves it."""

    async def story() -> None:
        async with stage() as (place, primary):
            keeper = await place.keeper(5.0)
            first = place.pid
            keeper.signal(signal.SIGKILL)
            found = await place.deadman.ensure()
            margin_s = place.deadman.margin_s
            await place.arm(30.0)
            await asyncio.sleep(5.5)

            assert found.state == "armed"
            assert margin_s is not None
            assert 0 < margin_s <= 5.0
            assert deadmen(primary.root) == [first]
            assert await primary.value("SELECT 1") == 1
            assert not place.said("deadman_fired")

    run(story())


def test_a_keeper_that_was_killed_and_stays_away_loses_its_postgres() -> None:
    """Neither its end nor a signal to its whole process group disarms anything."""

    async def story() -> None:
        async with stage() as (place, primary):
            keeper = await place.keeper(4.0)
            keeper.signal(signal.SIGKILL)
            await eventually(lambda: bool(place.said("deadman_lost_keeper")), "the deadman has noticed")
            alive_then = bool(find(primary.data))
            await is_dead(primary, within_s=4.0 + MARGIN_S)

            assert alive_then
            assert place.said("deadman_lost_keeper")[0]["state"] == "armed"

    run(story())


def test_what_a_killed_postmaster_left_dies_as_well() -> None:
    """A backend that goes on without its postmaster, and one that is stopped; a DBA's shell lives."""

    async def story() -> None:
        async with stage() as (place, primary):
            connection = await primary.connect()
            sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(100)"))
            shell = subprocess.Popen(["sleep", "60"], cwd=primary.data)  # noqa: ASYNC220 - returns at once
            try:
                await place.arm(4.0)
                postmaster = postmaster_pid(primary.data)
                assert postmaster is not None
                backend = connection.info.backend_pid
                os.kill(backend, signal.SIGSTOP)
                os.kill(postmaster, signal.SIGKILL)
                await eventually(lambda: postmaster not in find(primary.data), "the postmaster is gone")
                left = find(primary.data)
                await is_dead(primary, within_s=4.0 + MARGIN_S)

                assert backend in left
                assert shell.poll() is None
            finally:
                shell.kill()
                shell.wait()
                await asyncio.gather(sleeping, return_exceptions=True)
                await connection.close()

    run(story())


def test_a_disarmed_one_leaves_postgres_alone() -> None:
    """For ``k >= 1`` is in force: the deadline is forgotten."""

    async def story() -> None:
        async with stage() as (place, primary):
            await place.arm(3.0)
            await place.deadman.disarm(timeout_s=LIMIT_S)
            await asyncio.sleep(3.5)

            assert place.deadman.margin_s is None
            assert await primary.value("SELECT 1") == 1

    run(story())


def test_an_expired_one_kills_whatever_is_started_late() -> None:
    """A keeper that was paused between the arm and its start cannot start one that nobody watches."""

    async def story() -> None:
        async with stage() as (place, primary):
            await place.arm(0.5)
            await eventually(
                lambda: bool(place.said("deadman_killed")), "the first is dead", within_s=MARGIN_S
            )

            async def start_late() -> bool:
                with contextlib.suppress(Exception):
                    await primary.start()
                return len(place.said("deadman_killed")) > 1

            await until(start_late, bool, "it has killed again")
            await is_dead(primary, within_s=MARGIN_S)
            # It may look for what another lock file tells of first, and refuses for as long as that takes.
            await until(place.disarmed, bool, "it can be disarmed")
            await primary.start()

            assert await primary.value("SELECT 1") == 1

    run(story())


def test_a_rearm_that_it_finds_after_the_deadline_saves_nothing() -> None:
    """Stopped itself over its deadline, it acts before it reads what was sent meanwhile."""

    async def story() -> None:
        async with stage() as (place, primary):
            await place.arm(3.0)
            pid = place.pid
            os.kill(pid, signal.SIGSTOP)
            late = asyncio.create_task(
                place.deadman.arm(place.clock.monotonic() + 60, limit_s=60, timeout_s=30)
            )
            await asyncio.sleep(3.5)
            alive_while_stopped = bool(find(primary.data))
            os.kill(pid, signal.SIGCONT)
            await is_dead(primary, within_s=MARGIN_S)
            await asyncio.gather(late, return_exceptions=True)

            assert alive_while_stopped
            assert place.said("deadman_fired")

    run(story())
