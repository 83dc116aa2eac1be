"""What a keeper does, and leaves, because an operator said so."""

from __future__ import annotations

from typing import Any

import pytest

from common.model.view import ClusterView, Word
from keeper.plan import plan
from keeper.steps import Clone, Facts, Follow, StartStandby, Stop
from tests.support.builders import (
    ASKED_AT,
    SANDUN_1,
    SHIQIAO_1,
    promoting_view,
    running_view,
    sealing_view,
)
from tests.support.facts import as_primary, as_standby, not_running, sealed, upstream, why_it_waits
from tests.support.healthy import INCARNATIONS, TERM

WORD = Word(by="anna", at=ASKED_AT)


def with_member(uid: str, view: ClusterView | None = None, **fields: Any) -> ClusterView:
    view = view or running_view()
    return view.changed(
        members=tuple(member.changed(**fields) if member.uid == uid else member for member in view.members)
    )


@pytest.mark.parametrize("view", [running_view(), promoting_view(), sealing_view()], ids=lambda v: v.phase)
@pytest.mark.parametrize("facts", [as_primary(), as_standby(SANDUN_1)], ids=lambda facts: facts.role)
def test_who_is_kept_down_stops_and_stays_so(view: ClusterView, facts: Facts) -> None:
    """As primary and as standby, in every phase, also after a restart of its keeper: nothing is touched."""
    fenced = with_member(SANDUN_1, view, kept_down=WORD)

    assert isinstance(plan(fenced, facts), Stop)
    for state in ("stopped", "down", "failed", "no_data"):
        assert why_it_waits(fenced, not_running(facts, state)) == "kept_down"


def test_a_restart_ends_exactly_the_start_that_was_meant() -> None:
    """The next one is left alone, whatever the view still says."""
    view = with_member(SHIQIAO_1, restart="100/1")

    assert isinstance(plan(view, as_standby(SHIQIAO_1, start_id="100/1")), Stop)
    assert why_it_waits(view, as_standby(SHIQIAO_1, start_id="200/1")) == "following"
    assert isinstance(plan(view, not_running(as_standby(SHIQIAO_1), "stopped")), StartStandby)


def test_a_primary_is_not_restarted_in_its_term() -> None:
    """A view that asks for it all the same, for it has become primary meanwhile, is no reason to stop."""
    view = with_member(SANDUN_1, restart="100/1")

    assert not isinstance(plan(view, as_primary(start_id="100/1")), Stop)


def test_in_a_pause_what_died_is_not_started_and_what_was_stopped_is() -> None:
    """The one happened by itself, the other is part of something that was asked for."""
    paused = running_view(paused=WORD)
    facts = as_standby(SHIQIAO_1)

    assert why_it_waits(paused, not_running(facts, "down")) == "paused"
    assert why_it_waits(paused, not_running(facts, "failed")) == "paused"
    assert isinstance(plan(paused, not_running(facts, "stopped")), StartStandby)
    assert isinstance(plan(promoting_view(paused=WORD), not_running(facts, "down")), StartStandby)


def test_in_a_pause_nobody_begins_a_new_life_by_itself() -> None:
    """Whom somebody has asked to be cloned does."""
    paused = running_view(paused=WORD)
    diverged = as_standby(SHIQIAO_1, seal=sealed(TERM, 9, (1, 7)), following=None)
    asked = with_member(SHIQIAO_1, paused, rebuild=INCARNATIONS[SHIQIAO_1])
    follows = as_standby(SHIQIAO_1, seal=sealed(TERM, 5), following=None)

    assert why_it_waits(paused, diverged) == "paused"
    assert isinstance(plan(asked, as_standby(SHIQIAO_1)), Clone)
    assert plan(paused, follows) == Follow(upstream(SHIQIAO_1))


@pytest.mark.parametrize("state", ["stopped", "down", "failed"])
def test_who_begins_anew_need_not_start_before(state: str) -> None:
    """Its data may be why it cannot."""
    view = with_member(SHIQIAO_1, rebuild=INCARNATIONS[SHIQIAO_1])

    assert isinstance(plan(view, not_running(as_standby(SHIQIAO_1), state)), Clone)
