"""Long work that fails: what is counted, so that the plan goes another way in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from common.errors import PostgresUnavailable
from common.model.spec import ClusterSpec
from keeper.actions import Actions
from keeper.local import Local
from keeper.postgres.port import Postgres
from keeper.state import KeeperState
from keeper.steps import Clone, Rewind
from keeper.work import Work
from tests.support.aio import eventually, run
from tests.support.clock import ManualClock
from tests.support.facts import local_settings
from tests.support.healthy import TERM, view


@dataclass
class FakeActions:
    """Begins no life, for the reasons that it is given; what failed work left is as it was."""

    problems: list[Exception] = field(default_factory=list)

    async def begin_life(self, _: Any) -> str:
        raise self.problems.pop(0)

    async def learn_data(self) -> None:
        """Nothing has changed."""


class Bench:
    """The work of one keeper."""

    def __init__(self, *problems: Exception) -> None:
        self.local = Local(local_settings(), KeeperState(keeper_id="k"), "life", "1")
        self.said: list[Exception | None] = []
        self.work = Work(
            cast("Postgres", None),
            self.local,
            cast("Actions", FakeActions(list(problems))),
            ManualClock(),
            done=self.said.append,
            publish=lambda: None,
        )

    async def does(self, step: Clone | Rewind) -> None:
        before = len(self.said)
        self.work.new_life(step, view(), ClusterSpec(), lambda: None)
        await eventually(lambda: len(self.said) > before, "the work has ended")


REWIND = Rewind("sandun-1", TERM, "it has diverged")


def test_rewinds_that_fail_one_after_the_other_are_counted() -> None:
    """Each is reported with its reason, too."""

    async def story() -> None:
        there = Bench(PostgresUnavailable("a wrong password"), OSError("no space"))
        await there.does(REWIND)
        await there.does(REWIND)

        assert there.local.failed_rewinds == 2
        assert [str(problem) for problem in there.said] == ["a wrong password", "no space"]
        assert there.local.busy == ""

    run(story())


def test_a_clone_that_fails_is_no_failed_rewind() -> None:
    """There is nothing else to go over to."""

    async def story() -> None:
        there = Bench(PostgresUnavailable("no slot"))
        await there.does(Clone("sandun-1", TERM, "no data"))

        assert there.local.failed_rewinds == 0

    run(story())
