"""What is done on a running PostgreSQL when it is due, and done again when it failed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from common.errors import InvalidSpec, PostgresUnavailable
from common.model.spec import ClusterSpec, PostgresSpec
from common.model.wal import Lsn
from keeper.actions import Actions
from keeper.local import Local
from keeper.postgres.port import Postgres
from keeper.upkeep import Upkeep
from tests.support.aio import run
from tests.support.clock import ManualClock
from tests.support.healthy import view
from tests.unit.keeper.test_contact import primary_local


@dataclass
class FakePostgres:
    """Answers a spec with what is put there for it."""

    answers: list[tuple[str, ...] | Exception] = field(default_factory=list)
    configured: list[PostgresSpec] = field(default_factory=list)
    reloads: int = 0

    async def configure(self, spec: PostgresSpec) -> tuple[str, ...]:
        self.configured.append(spec)
        answer = self.answers.pop(0) if self.answers else ()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def reload(self) -> None:
        self.reloads += 1

    async def oldest_wal(self) -> Lsn:
        return Lsn(1 << 24)

    async def ensure_roles(self) -> None:
        """Nothing to see."""

    async def checkpoint(self, timeout_s: float) -> None:
        """Nothing to see."""


class FakeActions:
    """Keeps no slots."""

    async def keep_slots(self, *_: Any) -> None:
        """Nothing to see."""


class Bench:
    """The upkeep of a primary that has a route and whose clients are back."""

    def __init__(self) -> None:
        self.postgres = FakePostgres()
        self.local: Local = primary_local()
        self.asked: dict[str, Any] = {}
        self.spec = ClusterSpec.from_plain({"postgres": {"parameters": {"work_mem": "7MB"}}})
        self.upkeep = Upkeep(
            cast("Postgres", self.postgres), self.local, cast("Actions", FakeActions()), ManualClock()
        )

    async def turn(self) -> None:
        await self.upkeep.primary(view(**self.asked), self.spec, settled=True)
        await asyncio.sleep(0)

    @property
    def reasons(self) -> Mapping[str, str]:
        return {name: reason.code for name, reason in self.local.reasons.items()}


def test_a_spec_that_could_not_be_carried_out_is_tried_again() -> None:
    """PostgreSQL did not answer for a moment: the change must not be lost."""

    async def story() -> None:
        there = Bench()
        there.postgres.answers = [PostgresUnavailable("no answer")]
        with pytest.raises(PostgresUnavailable):
            await there.turn()
        await there.turn()
        await there.turn()

        assert len(there.postgres.configured) == 2

    run(story())


def test_a_spec_that_postgres_refuses_is_said_once_and_not_tried_for_ever() -> None:
    """Until the operator writes another one."""

    async def story() -> None:
        there = Bench()
        there.postgres.answers = [InvalidSpec("postgres.parameters: no")]
        await there.turn()
        await there.turn()
        refused = dict(there.reasons)
        there.spec = ClusterSpec()
        await there.turn()

        assert refused == {"parameters": "parameters_refused"}
        assert len(there.postgres.configured) == 2
        assert there.reasons == {}

    run(story())


def test_a_primary_knows_where_its_oldest_wal_begins() -> None:
    """So that a standby that needs older can be told apart from one that is only slow."""

    async def story() -> None:
        there = Bench()
        await there.turn()

        assert there.local.oldest_wal == Lsn(1 << 24)

    run(story())


def test_parameters_that_wait_for_a_restart_are_named() -> None:
    """They are in force on no server until then."""

    async def story() -> None:
        there = Bench()
        there.postgres.answers = [("max_connections",)]
        await there.turn()

        assert there.reasons == {"parameters": "restart_pending"}
        assert "max_connections" in there.local.reasons["parameters"].text

    run(story())


def test_each_reload_that_was_asked_for_is_made_once() -> None:
    """And reported, so that whoever asked sees the end of it."""

    async def story() -> None:
        there = Bench()
        counts = []
        for asked in ("", "r-1", "r-1", "r-2"):
            there.asked = {"reload": asked}
            await there.turn()
            counts.append(there.postgres.reloads)

        assert counts == [0, 1, 1, 2]
        assert there.local.reloaded == "r-2"

    run(story())
