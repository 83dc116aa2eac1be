"""The end of PostgreSQL, heard of at once, and once only."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest

from keeper.local import Local
from keeper.postgres.port import Killed, Postgres
from keeper.postmaster import PAUSE_S, PostmasterWatch
from keeper.state import KeeperState
from tests.support.aio import run
from tests.support.clock import ManualClock
from tests.support.facts import local_settings


@dataclass
class Server:
    """A server that runs in the start ``start_id``, until that is None."""

    start_id: str | None = None
    down: asyncio.Event = field(default_factory=asyncio.Event)
    kills: int = 0

    async def wait_until_down(self) -> None:
        await self.down.wait()

    async def kill(self) -> Killed:
        self.kills += 1
        return Killed(0)


def keeper(state: str, start_id: str | None) -> Local:
    local = Local(settings=local_settings(), state=KeeperState(keeper_id="k"), life_id="1", version="0")
    local.postgres, local.start_id = state, start_id  # type: ignore[assignment]
    return local


async def watched(server: Server, local: Local, *, dies: bool = False) -> int:
    """How often the end is told while two looks pass, the server dying between them."""
    told: list[str] = []
    clock = ManualClock()
    watch = PostmasterWatch(cast("Postgres", server), local, clock, ended=lambda: told.append("ended"))
    task = asyncio.create_task(watch.run())
    await clock.advance(PAUSE_S)
    if dies:
        server.start_id = None
        server.down.set()
    await clock.advance(2 * PAUSE_S)
    task.cancel()
    return len(told)


def test_the_end_of_a_start_is_told_once_nothing_is_left() -> None:
    """What is left is killed before."""
    server, local = Server("one"), keeper("running", "one")

    assert run(watched(server, local, dies=True)) == 1
    assert server.kills == 1
    assert (local.postgres, local.start_id) == ("down", None)


@pytest.mark.parametrize(("state", "then"), [("running", "down"), ("starting", "failed")])
def test_a_start_that_began_and_ended_between_two_looks_is_told_too(state: str, then: str) -> None:
    """Nobody saw its postmaster; who believed it to run would do so for ever."""
    server, local = Server(None), keeper(state, "one")

    assert run(watched(server, local)) == 1
    assert (local.postgres, local.start_id) == (then, None)


@pytest.mark.parametrize(("state", "start_id"), [("stopping", "one"), ("starting", None), ("running", None)])
def test_what_another_loop_ends_or_begins_is_left_to_it(state: str, start_id: str | None) -> None:
    """A stop on purpose, a start of which nothing runs yet, and a restart to follow somebody."""
    server, local = Server(None), keeper(state, start_id)

    assert run(watched(server, local)) == 0
    assert server.kills == 0
    assert local.postgres == state
