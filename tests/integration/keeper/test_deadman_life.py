"""The life of a deadman itself: how it is started, taken over, replaced and ended, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time

import pytest

from common.errors import DeadmanUnavailable
from keeper.deadman.client import Deadman
from keeper.deadman.launch import command
from keeper.deadman.main import EXIT_HELD
from keeper.deadman.wire import Request, encode, socket_path
from tests.integration.keeper.stage import MARGIN_S, deadmen, empty_stage
from tests.support.aio import LIMIT_S, eventually, run


def test_one_that_does_not_answer_is_an_error_within_the_time_given() -> None:
    """The keeper has to stop PostgreSQL itself then; it is not left to wait."""

    async def story() -> None:
        async with empty_stage() as place:
            await place.arm(60.0)
            os.kill(place.pid, signal.SIGSTOP)
            with pytest.raises(DeadmanUnavailable, match=r"did not answer within 0\.2 s"):
                await place.deadman.arm(place.clock.monotonic() + 60, limit_s=60, timeout_s=0.2)
            await asyncio.wait_for(place.deadman.wait_gone(), LIMIT_S)
            os.kill(place.pid, signal.SIGCONT)
            found = await place.deadman.ensure()

            assert found.state == "armed"

    run(story())


def test_an_answer_that_came_while_the_keeper_was_paused_counts() -> None:
    """The time for it is over when the keeper runs again, and yet it was given in time."""

    async def story() -> None:
        async with empty_stage() as place:
            await place.deadman.ensure()
            far = place.clock.monotonic() + 60
            arming = asyncio.create_task(place.deadman.arm(far, limit_s=60, timeout_s=0.2))
            await asyncio.sleep(0)
            time.sleep(2.5)  # noqa: ASYNC251 - that is the pause
            answer = await arming

            assert answer.state == "armed"

    run(story())


def test_one_that_was_killed_is_noticed_and_can_be_replaced() -> None:
    """At once, not with the next keepalive."""

    async def story() -> None:
        async with empty_stage() as place:
            await place.arm(60.0)
            first = place.pid
            os.kill(first, signal.SIGKILL)
            await asyncio.wait_for(place.deadman.wait_gone(), LIMIT_S)
            with pytest.raises(DeadmanUnavailable, match="gone"):
                await place.deadman.arm(place.clock.monotonic() + 1, limit_s=1)
            found = await place.deadman.ensure()

            assert found.state == "idle"
            assert found.pid != first
            assert deadmen(place.root) == [found.pid]

    run(story())


def test_a_second_one_ends_at_once() -> None:
    """However many are started, one guards the root, and it goes on."""

    async def story() -> None:
        async with empty_stage() as place:
            await place.arm(60.0)
            second = subprocess.run(  # noqa: ASYNC221 - returns at once
                command(place.root, place.root / "data"), check=False, timeout=60, capture_output=True
            )
            status = await place.deadman.status()

            assert second.returncode == EXIT_HELD
            assert status.state == "armed"
            assert deadmen(place.root) == [status.pid]

    run(story())


def test_keepers_that_start_at_once_share_one() -> None:
    """The newest connection is the keeper's; there is never a second deadman, and never none."""

    async def story() -> None:
        async with empty_stage() as place:
            others = [Deadman(place.root, place.root / "data", place.clock) for _ in range(4)]
            await asyncio.gather(*(other.ensure() for other in others), return_exceptions=True)
            for other in others:
                await other.close()
            found = await place.deadman.ensure()
            await eventually(lambda: deadmen(place.root) == [found.pid], "those that came second have ended")

            assert (await place.deadman.status()).pid == found.pid

    run(story())


def test_an_armed_one_cannot_be_asked_to_end() -> None:
    """A service manager's SIGTERM to everything must not leave PostgreSQL unguarded; once idle it obeys."""

    async def story() -> None:
        async with empty_stage() as place:
            await place.arm(60.0)
            pid = place.pid
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(pid, number)
            await asyncio.sleep(0.3)
            still = await place.deadman.status()
            await place.deadman.disarm()
            await asyncio.wait_for(place.deadman.wait_gone(), LIMIT_S)
            await eventually(lambda: not socket_path(place.root).exists(), "its socket is gone")

            assert still.state == "armed"

    run(story())


def test_nonsense_changes_nothing() -> None:
    """Half lines, long lines, unknown words: the connection ends, the deadline stays."""

    async def story() -> None:
        async with empty_stage() as place:
            await place.arm(60.0)
            before = place.deadman.margin_s
            for line in (b"{]\n", b"x" * 10_000, b'{"id": 1', encode(Request(1, "explode")), b"\xff\n"):
                with socket.socket(socket.AF_UNIX) as stranger:
                    stranger.connect(str(socket_path(place.root)))
                    with contextlib.suppress(OSError):
                        stranger.sendall(line)
            found = await place.deadman.ensure()
            after = place.deadman.margin_s

            assert found.state == "armed"
            assert before is not None
            assert after is not None
            assert before - MARGIN_S < after < before

    run(story())


def test_a_refusal_says_why_and_changes_nothing() -> None:
    """A deadline on another clock is further away than any lease."""

    async def story() -> None:
        async with empty_stage() as place:
            await place.deadman.ensure()
            with pytest.raises(DeadmanUnavailable, match="more than limit_s = 3"):
                await place.deadman.arm(1.7e9, limit_s=3)
            with pytest.raises(DeadmanUnavailable, match="deadline passed"):
                await place.deadman.arm(place.clock.monotonic() - 1, limit_s=3)
            status = await place.deadman.status()

            assert status.state == "idle"
            assert place.deadman.is_there

    run(story())


def test_one_that_cannot_be_started_says_why() -> None:
    """With the end of its log, and no longer than it takes to fail."""

    async def story() -> None:
        async with empty_stage() as place:
            (place.root / "deadman.lock").mkdir()
            with pytest.raises(DeadmanUnavailable, match=r"ended with status 1: (?s:.*)IsADirectoryError"):
                await place.deadman.ensure()

    run(story())
