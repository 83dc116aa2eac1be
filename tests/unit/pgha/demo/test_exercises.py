"""What an exercise waits for, and when it is no success."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import cast

import pytest

from common.model.requests import AnyOperation, Asked, Request, State
from common.status.documents import Documents
from pgha.demo.accounting import Milestone, Outcome, Statement
from pgha.demo.cluster import DemoCluster
from pgha.demo.exercises import Exercises, NotWell
from pgha.demo.layout import plan_layout
from pgha.demo.output import Output
from pgha.demo.run import exercise
from pgha.demo.workload import Workload
from pgha.exits import Exit
from tests.support.aio import run
from tests.support.clock import ManualClock
from tests.support.healthy import TERM, UIDS, documents, keeper, proxy, view

AT = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


class HurriedClock(ManualClock):
    """Whoever sleeps wakes at once, and the time has passed."""

    async def sleep(self, seconds: float) -> None:
        self._now += seconds


class Stage:
    """A cluster and its clients, as far as exercises look: a restart of all, or of all but some."""

    def __init__(self, *, left_out: str = "", state: State = "done", present: set[int] | None = None) -> None:
        self.layout = plan_layout([2, 2], 1, 24800)
        self.documents = documents(
            view=view(term=TERM - 1), keepers={uid: keeper(uid, start_id="before") for uid in UIDS}
        )
        self.milestones: list[Milestone] = []
        self.streaming_since_s: dict[str, float] = {}
        self.acked = {1, 2, 3}
        self.said: list[str] = []
        self._left_out = left_out
        self._state: State = state
        self._present = self.acked if present is None else present

    @property
    def observer(self) -> Stage:
        return self

    def tell(self, text: str) -> None:
        self.said.append(text)

    async def ask(self, operation: AnyOperation) -> Request:
        """The other site has the primary afterwards."""
        request = Request(id="rolling", by="demo", at=AT, term=TERM - 1, operation=operation)
        ended = request.ended(self._state, "sandun-2 has not come back", AT)
        new = "shiqiao-1"
        starts = {uid: "before" if uid == self._left_out else "after" for uid in UIDS}
        self.documents = documents(
            view=view(new),
            keepers={uid: keeper(uid, new, start_id=starts[uid]) for uid in UIDS},
            proxies={f"proxy-{site}": proxy(site, new) for site in ("sandun", "shiqiao")},
            requests=(Asked(ended, 1),),
        )
        return request

    async def wait_for(self, holds: Callable[[Documents], bool], limit_s: float) -> bool:
        del limit_s
        return holds(self.documents)

    @contextlib.asynccontextmanager
    async def running(self, load: int) -> AsyncIterator[list[Statement]]:
        assert load > 0
        yield []

    async def present(self, port: int) -> set[int]:
        assert port == self.layout.keeper("shiqiao-1").port
        return self._present


def on(stage: Stage) -> Exercises:
    return Exercises(cast("DemoCluster", stage), cast("Workload", stage), HurriedClock())


def restart_all(stage: Stage) -> Outcome:
    return run(on(stage).run("rolling-restart"))


def test_a_rolling_restart_ends_with_another_primary_and_all_members_in_a_new_start() -> None:
    """The clients are under more load meanwhile."""
    outcome = restart_all(Stage())

    assert (outcome.old_primary, outcome.new_primary) == ("sandun-1", "shiqiao-1")
    assert (outcome.lost, outcome.failovers) == ((), 1)
    assert outcome.took_s is not None


def test_a_restart_that_failed_is_no_success() -> None:
    """Its result says why."""
    with pytest.raises(NotWell, match=r"restart rolling is failed: sandun-2 has not come back"):
        restart_all(Stage(state="failed"))


def test_a_member_that_was_passed_over_is_named() -> None:
    """Though the cluster is well and the request says that it is done."""
    with pytest.raises(NotWell, match=r"^not restarted: shiqiao-2$"):
        restart_all(Stage(left_out="shiqiao-2"))


def test_a_lost_row_is_the_end_with_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    """Counted in the object of the exercise."""
    output = Output(HurriedClock(), as_json=True)

    code = run(exercise(["rolling-restart"], on(Stage(present={1, 3})), output))

    said = capsys.readouterr()
    assert code == Exit.FAILED
    assert '"lost": 1' in said.out
    assert "pgha: 1 acknowledged rows are missing" in said.err
