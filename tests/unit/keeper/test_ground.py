"""A running PostgreSQL whose data directory has gone: what the keeper does, and when it does nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from common.errors import PostgresUnavailable
from common.runtime.clock import SystemClock
from keeper.actions import Actions
from keeper.ground import Ground
from keeper.local import Local
from keeper.postgres.port import Killed, Postgres
from keeper.state import KeeperState
from tests.support.aio import run
from tests.support.facts import local_settings

KNOWN = KeeperState(keeper_id="k").born("0000000a", 1).completed()


@dataclass
class Server:
    """A server that runs, and a diary of what is done to it and to the keeper's memory."""

    why: str = ""
    start_id: str | None = "one"
    unreadable: bool = False
    ends_meanwhile: bool = False
    full: bool = False
    diary: list[str] = field(default_factory=list)

    def keeper(self) -> tuple[Ground, Local]:
        """A keeper that holds this server as running."""
        local = Local(settings=local_settings(), state=KNOWN, life_id="1", version="0")
        local.postgres, local.start_id = "running", "one"
        self.local = local
        actions = Actions(cast("Postgres", self), cast("Any", self), local, lambda: "0000ffff", 1.0)
        return Ground(cast("Postgres", self), local, actions, SystemClock(), self.learn), local

    async def why_lost(self) -> str:
        if self.unreadable:
            raise PostgresUnavailable("Input/output error")
        if self.ends_meanwhile:
            self.local.forget_start("down")
        return self.why

    async def kill(self) -> Killed:
        self.diary.append(f"killed while {self.local.postgres}")
        return Killed(3)

    async def write(self, name: str, value: dict[str, Any]) -> None:
        del name
        self.diary.append(f"remembers {value['life']}")

    async def set_remains_aside(self) -> None:
        if self.full:
            raise OSError("Device or resource busy")
        self.diary.append("set aside")

    async def learn(self) -> None:
        self.diary.append("learned")


def test_a_server_on_its_directory_is_left_alone() -> None:
    """And so is one that does not run, or of which nothing can be seen just now."""
    for server in (Server(), Server("gone", start_id=None), Server("gone", unreadable=True)):
        ground, local = server.keeper()

        assert not run(ground.look())
        assert server.diary == []
        assert local.postgres == "running"


def test_a_server_that_lost_its_directory_is_killed_before_its_life_is_forgotten() -> None:
    """Nobody begins a step meanwhile; what lies there is learned last."""
    server = Server("/srv/data is gone")
    ground, local = server.keeper()

    assert run(ground.look())
    assert server.diary == ["killed while stopping", "remembers None", "set aside", "learned"]
    assert local.state.life is None
    assert local.postgres == "failed"


def test_a_server_that_ended_by_itself_meanwhile_is_left_to_its_watch() -> None:
    """What was seen may be of its end."""
    server = Server("/srv/data is gone", ends_meanwhile=True)
    ground, local = server.keeper()

    assert not run(ground.look())
    assert server.diary == []
    assert local.state.life is not None


def test_remains_that_cannot_be_set_aside_are_left_for_the_operator() -> None:
    """What is learned then says that they are in the way."""
    server = Server("/srv/data has lost its global/pg_control", full=True)
    ground, _ = server.keeper()

    assert run(ground.look())
    assert server.diary[-1] == "learned"
