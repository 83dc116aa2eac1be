"""What a keeper finds when it is asked to look, and what it says when it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from common.errors import PostgresUnavailable
from common.model.spec import PostgresSpec
from keeper import examiner
from keeper.examiner import Examiner
from keeper.local import Local
from keeper.postgres.port import Examination, Postgres, Room, SettingSeen
from keeper.state import KeeperState
from tests.support.aio import run, until
from tests.support.builders import SANDUN_1
from tests.support.clock import ManualClock
from tests.support.facts import local_settings

SEEN = Examination(
    {"fsync": SettingSeen("on", None, "sighup", pending_restart=False)},
    {"libc": "2.36", "icu": "153.120"},
    mismatched_databases=("shop",),
    hba_errors=("line 3: no",),
)


@dataclass
class Server:
    """As much of a server as is looked at."""

    rooms: tuple[Room, ...] = (Room("data", "/data", 7, 9),)
    fails: Exception | None = None
    disk: asyncio.Event | None = None
    judging: asyncio.Event | None = None
    asked: list[tuple[str, ...]] = field(default_factory=list)
    looked_at_disks: int = 0

    async def examine(self, names: Sequence[str]) -> Examination:
        self.asked.append(tuple(names))
        if self.fails is not None:
            raise self.fails
        return SEEN

    async def judge(self, spec: PostgresSpec) -> tuple[str, ...]:
        if self.judging is not None:
            await self.judging.wait()
        if self.fails is not None:
            raise self.fails
        return tuple(f"{name}: no" for name in spec.parameters)

    async def room(self) -> tuple[Room, ...]:
        self.looked_at_disks += 1
        if self.disk is not None:
            await self.disk.wait()
        if not self.rooms:
            raise OSError(5, "Input/output error")
        return self.rooms


def examiner_of(server: Server, state: Any = "running") -> Examiner:
    local = Local(local_settings(), KeeperState(keeper_id="k"), "1", "test")
    local.postgres = state
    return Examiner(cast("Postgres", server), local, ManualClock())


def test_everything_is_in_one_answer() -> None:
    """Settings, collations, rules that PostgreSQL refuses, disks, and the host's clock."""
    server = Server()
    found = run(examiner_of(server).examine(["fsync"]))

    assert server.asked == [("fsync",)]
    assert found.uid == SANDUN_1
    assert found.problem == ""
    assert found.settings["fsync"].context == "sighup"
    assert found.collations == {"libc": "2.36", "icu": "153.120"}
    assert found.mismatched_databases == ("shop",)
    assert [(disk.place, disk.free_bytes, disk.size_bytes) for disk in found.disks] == [("data", 7, 9)]
    assert found.received <= found.wall


def test_a_server_that_is_down_or_fails_costs_only_its_own_part() -> None:
    """The disks are still said."""
    down = run(examiner_of(Server(), "down").examine(["fsync"]))
    fails = run(examiner_of(Server(fails=PostgresUnavailable("it broke"))).examine(["fsync"]))

    assert (down.problem, down.settings, len(down.disks)) == ("PostgreSQL is down", {}, 1)
    assert (fails.problem, len(fails.disks)) == ("it broke", 1)


def test_postgresql_judges_a_spec_that_nobody_has_written() -> None:
    """Also while no server runs; that it could not be asked is said, and is no refusal."""
    asked = PostgresSpec(parameters={"work_mem": "much"})
    found = run(examiner_of(Server(), "down").judge(asked))
    problems: list[Exception] = [PostgresUnavailable("it broke"), OSError("the disk is full")]
    fails = [run(examiner_of(Server(fails=each)).judge(asked)) for each in problems]

    assert (found.uid, found.refused, found.problem) == (SANDUN_1, ("work_mem: no",), "")
    assert [(each.refused, each.problem) for each in fails] == [((), "it broke"), ((), "the disk is full")]


def test_a_judgement_that_hangs_is_not_asked_for_again(monkeypatch: Any) -> None:
    """Each would take a thread that the keeper needs; once it has answered, the next one is asked."""
    monkeypatch.setattr(examiner, "JUDGE_LIMIT_S", 0.05)

    async def story() -> None:
        server = Server(judging=asyncio.Event())
        asked, spec = examiner_of(server), PostgresSpec(parameters={"work_mem": "much"})
        first, second = await asked.judge(spec), await asked.judge(spec)
        assert server.judging is not None
        server.judging.set()
        third = await until(lambda: asked.judge(spec), lambda each: each.refused, "another one is asked")

        assert "has not answered" in first.problem
        assert "still judges" in second.problem
        assert third.refused == ("work_mem: no",)

    run(story())


def test_a_disk_that_fails_or_hangs_costs_only_its_own_part(monkeypatch: Any) -> None:
    """One that hangs is not asked again before it has answered."""
    monkeypatch.setattr(examiner, "DISK_LIMIT_S", 0.05)

    async def story() -> None:
        server = Server(disk=asyncio.Event())
        asked = examiner_of(server)
        first, second = await asked.examine(["fsync"]), await asked.examine(["fsync"])
        assert server.disk is not None
        server.disk.set()
        third = await asked.examine(["fsync"])

        assert "a disk has not answered" in first.problem
        assert first.settings
        assert "a disk has not answered" in second.problem
        assert third.disks
        assert server.looked_at_disks == 1

    run(story())
    failed = run(examiner_of(Server(rooms=())).examine([]))
    assert "Input/output error" in failed.problem
