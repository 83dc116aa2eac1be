"""The keeper's own probes: what hangs, since when, and what does not count as hanging."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from common.errors import PostgresSilent, PostgresUnavailable
from keeper.local import Local
from keeper.postgres.port import DiskPlace, Postgres
from keeper.state import KeeperState
from keeper.vitals import Vitals
from tests.support.aio import run
from tests.support.clock import ManualClock
from tests.support.facts import local_settings

HANG_TIMEOUT_S = 5.0


class Seen:
    """What a look at the server would say of its role."""

    def __init__(self, *, in_recovery: bool) -> None:
        self.in_recovery = in_recovery


@dataclass
class Host:
    """A server and its disks; ``hanging`` names what does not come back."""

    clock: ManualClock = field(default_factory=ManualClock)
    hanging: set[str] = field(default_factory=set)
    error: Exception | None = None
    tries: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    excused: int = 0

    def __post_init__(self) -> None:
        self.local = Local(
            settings=local_settings(), state=KeeperState(keeper_id="k"), life_id="1", version="0"
        )
        self.runs()

    def runs(self, *, in_recovery: bool = False, start_id: str = "one") -> None:
        self.local.postgres, self.local.start_id = "running", start_id
        self.local.observation = Seen(in_recovery=in_recovery)  # type: ignore[assignment]

    async def probe(self, timeout_s: float) -> None:
        self.tries.append("sql")
        if "sql" in self.hanging:
            await self.clock.sleep(timeout_s)
            raise PostgresSilent("no answer")
        if self.error is not None:
            raise self.error

    async def write_through(self, place: DiskPlace) -> None:
        self.tries.append(place)
        if place in self.hanging:
            await asyncio.Event().wait()
        if isinstance(self.error, OSError):
            raise self.error

    def excuse(self) -> None:
        self.excused += 1

    def vitals(self) -> Vitals:
        return Vitals(
            cast("Postgres", self),
            self.local,
            self.clock,
            hang_timeout_s=lambda: HANG_TIMEOUT_S,
            changed=lambda: self.told.append(self.local.hanging),
            excuse=self.excuse,
        )


@asynccontextmanager
async def watched(host: Host) -> AsyncIterator[Host]:
    task = asyncio.create_task(host.vitals().run())
    try:
        yield host
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def with_a_host(story: Callable[[Host], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        async with watched(Host()) as host:
            await story(host)

    run(main())


def test_a_server_that_answers_is_asked_each_second_and_nothing_is_said() -> None:
    """By a new connection, and by a write to each of its disks."""

    async def story(host: Host) -> None:
        await host.clock.advance(10)

        assert {what: host.tries.count(what) for what in ("sql", "data", "wal")} == {
            "sql": 11, "data": 11, "wal": 11,
        }  # fmt: skip
        assert host.told == []

    with_a_host(story)


@pytest.mark.parametrize(
    ("what", "words"),
    [("sql", "SELECT 1"), ("data", "the disk of the data directory"), ("wal", "the disk of the WAL")],
)
def test_what_has_not_finished_for_hang_timeout_hangs(what: str, words: str) -> None:
    """It is told once, with what it is and since when; and that it is over, at once when it is."""

    async def story(host: Host) -> None:
        await host.clock.advance(3)
        host.hanging.add(what)
        await host.clock.advance(HANG_TIMEOUT_S)
        before = list(host.told)
        await host.clock.advance(20)

        assert before == []
        assert len(host.told) == 1
        assert words in host.told[0]
        assert "begun at 00:16:44 UTC" in host.told[0]
        assert host.excused >= 18

    with_a_host(story)


def test_nothing_is_begun_again_while_it_hangs() -> None:
    """A thread for each second would use up the process."""

    async def story(host: Host) -> None:
        host.hanging.add("data")
        await host.clock.advance(60)

        assert host.tries.count("data") == 1
        assert host.tries.count("wal") == 61

    with_a_host(story)


def test_a_server_that_answers_again_hangs_no_more() -> None:
    """The report says so."""

    async def story(host: Host) -> None:
        host.hanging.add("sql")
        await host.clock.advance(8)
        host.hanging.clear()
        await host.clock.advance(8)

        assert len(host.told) == 2
        assert host.told[1] == ""

    with_a_host(story)


@pytest.mark.parametrize("error", [PostgresUnavailable("too many connections"), OSError("disk full")])
def test_an_error_is_an_answer(error: Exception) -> None:
    """A server that refuses, or a disk that is full, is not one that hangs."""

    async def story(host: Host) -> None:
        host.error = error
        await host.clock.advance(30)

        assert host.told == []

    with_a_host(story)


def test_a_standby_that_hangs_is_a_warning() -> None:
    """Nobody fails over for it."""

    async def story(host: Host) -> None:
        host.runs(in_recovery=True)
        host.hanging.add("data")
        await host.clock.advance(10)

        assert host.local.hanging == ""
        assert host.local.reasons["hanging"].code == "standby_hangs"
        assert host.local.reasons["hanging"].severity == "warning"

    with_a_host(story)


def test_a_standby_is_asked_seldom_and_a_promoted_one_each_second_from_then_on() -> None:
    """Only a primary that hangs costs clients anything."""

    async def story(host: Host) -> None:
        host.runs(in_recovery=True)
        await host.clock.advance(0.1)
        host.tries.clear()
        await host.clock.advance(20)
        as_standby = host.tries.count("sql")
        host.runs()
        host.tries.clear()
        await host.clock.advance(20)

        assert 3 <= as_standby <= 5
        assert 19 <= host.tries.count("sql") <= 21

    with_a_host(story)


@pytest.mark.parametrize("state", ["starting", "stopping", "down", "stopped", "cloning"])
def test_only_a_running_server_is_asked(state: str) -> None:
    """And what hung of an earlier start says nothing of the next one."""

    async def story(host: Host) -> None:
        host.hanging.add("sql")
        await host.clock.advance(4)
        host.local.postgres = state  # type: ignore[assignment]
        await host.clock.advance(4)
        asked = len(host.tries)
        await host.clock.advance(4)
        host.runs(start_id="two")
        await host.clock.advance(4)

        assert len(host.tries) > asked
        assert host.told == []

    with_a_host(story)


def test_a_time_in_which_the_keeper_itself_stood_still_does_not_count() -> None:
    """A host that was paused wakes with probes that were sent long ago: their answers are on the way."""

    async def main() -> None:
        host = Host(hanging={"sql", "data"})
        vitals = host.vitals()
        vitals.look()
        await host.clock.advance(0)
        host.clock._now += 60.0
        vitals.look()
        after_the_pause = list(host.told)
        for _ in range(6):
            await host.clock.advance(1)
            vitals.look()

        assert after_the_pause == []
        assert len(host.told) == 1

    run(main())
