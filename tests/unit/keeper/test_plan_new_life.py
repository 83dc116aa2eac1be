"""The plan for a life that a clone or rewind has begun and that has never come up."""

from __future__ import annotations

import pytest

from common.model.reports import PostgresState
from keeper.plan import plan
from keeper.steps import Clone, Facts, Life, StartStandby, Step, Wait
from tests.support.healthy import INCARNATIONS, SYSTEM, TERM, view

UID = "shiqiao-1"


def planned(state: PostgresState, *, born_in: int = TERM) -> Step:
    life = Life(INCARNATIONS[UID], born_in, complete=False)
    return plan(view(), Facts(UID, state, life=life, system_identifier=SYSTEM, sealed_term=TERM))


@pytest.mark.parametrize("state", ["starting", "running"])
def test_a_clone_that_is_coming_up_is_waited_for(state: PostgresState) -> None:
    """Cloned again while it starts, it would never get anywhere."""
    step = planned(state)

    assert isinstance(step, Wait)
    assert step.reason.code == "starting"


def test_a_clone_that_is_done_is_started_towards_its_source() -> None:
    """It needs more WAL than it has before it accepts a connection."""
    step = planned("stopped")

    assert isinstance(step, StartStandby)
    assert step.upstream is not None
    assert step.upstream.uid == "sandun-1"


def test_a_clone_that_did_not_come_up_is_made_again() -> None:
    """Also when its source is not the primary any more."""
    assert isinstance(planned("failed"), Clone)
    assert isinstance(planned("stopped", born_in=TERM - 1), Clone)
