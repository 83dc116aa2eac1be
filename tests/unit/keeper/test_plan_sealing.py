"""The keeper's next step while nobody is primary."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.plan import plan
from keeper.steps import Facts, Seal, StartStandby, Stop
from tests.support.builders import SANDUN_1, SHIQIAO_1, promotion, sealing_view
from tests.support.facts import (
    as_primary,
    as_standby,
    life_of,
    not_running,
    sealed,
    upstream,
    why_it_waits,
    without_data,
)
from tests.support.healthy import TERM

VIEW = sealing_view()
MAY_START = sealing_view(old_primary_may_start=True)


def test_a_running_standby_seals_once() -> None:
    """Whatever it followed; then it waits to hear who is primary."""
    done = as_standby(SHIQIAO_1, sealed_term=VIEW.term, seal=sealed(VIEW.term, 5), following=None)

    assert plan(VIEW, as_standby(SHIQIAO_1)) == Seal(VIEW.term)
    assert why_it_waits(VIEW, done) == "sealed"


@pytest.mark.parametrize(
    "facts",
    [
        as_standby(SHIQIAO_1, sealed_term=TERM + 1, following=None),
        as_standby(SHIQIAO_1, sealed_term=TERM, seal=sealed(TERM, 5), following=None),
        as_standby(SHIQIAO_1, sealed_term=TERM + 1, seal=sealed(TERM + 1, 5), following=upstream(SHIQIAO_1)),
    ],
    ids=["the promise alone", "the seal of an older term", "a seal that still follows somebody"],
)
def test_half_a_seal_is_made_whole(facts: Facts) -> None:
    """After a restart of the keeper, or of PostgreSQL, it is made again."""
    assert plan(VIEW, facts) == Seal(VIEW.term)


@pytest.mark.parametrize("state", ["down", "stopped", "failed"])
def test_a_standby_that_is_down_is_started_to_seal(state: str) -> None:
    """Following nobody: its data count, new WAL of the old primary does not."""
    step = plan(VIEW, not_running(as_standby(SHIQIAO_1), state, phase_seen_s=0.0))

    assert isinstance(step, StartStandby)
    assert step.upstream is None


@pytest.mark.parametrize("state", ["starting", "cloning", "rewinding"])
def test_what_is_under_way_is_waited_for(state: str) -> None:
    """It seals as soon as it can."""
    assert why_it_waits(VIEW, not_running(as_standby(SHIQIAO_1), state)) == "cannot_seal"


def test_a_life_that_never_came_up_does_not_seal() -> None:
    """It may lack WAL that only its source has."""
    incomplete = life_of(SHIQIAO_1, complete=False)

    assert why_it_waits(VIEW, as_standby(SHIQIAO_1, life=incomplete)) == "not_complete"
    assert why_it_waits(VIEW, not_running(as_standby(SHIQIAO_1), life=incomplete)) == "cannot_seal"


def test_an_empty_directory_has_nothing_to_seal() -> None:
    """A wiped host is cloned later, and counts for nothing now."""
    assert why_it_waits(VIEW, without_data(SHIQIAO_1)) == "cannot_seal"


def test_a_failed_start_has_its_pause() -> None:
    """It is tried again, not hammered."""
    facts = not_running(as_standby(SHIQIAO_1), "failed", retry_in_s=1.0)

    assert why_it_waits(VIEW, facts) == "retry"


# The old primary.


def test_the_old_primary_gives_the_standbys_time_before_it_starts() -> None:
    """It has every commit and is the last resort; at the limit it starts as a standby."""
    old = not_running(as_primary(), phase_seen_s=1.9)

    assert why_it_waits(VIEW, old) == "was_primary"
    step = plan(VIEW, replace(old, phase_seen_s=2.0))
    assert isinstance(step, StartStandby)
    assert step.upstream is None


def test_the_old_primary_starts_at_once_when_the_view_says_so() -> None:
    """Too few standbys live to do without it."""
    assert isinstance(plan(MAY_START, not_running(as_primary(), phase_seen_s=0.0)), StartStandby)


def test_the_old_primary_seals_like_the_rest_once_it_runs_as_a_standby() -> None:
    """With the incarnation that it had as primary."""
    assert plan(VIEW, as_primary(role="standby")) == Seal(VIEW.term)


def test_an_old_primary_that_is_well_waits_to_be_named_again() -> None:
    """It was cut off for a moment; nothing is stopped while nobody else is named."""
    assert why_it_waits(VIEW, as_primary()) == "was_primary"


@pytest.mark.parametrize(
    "facts",
    [
        as_primary(promotion=promotion(finished=False)),
        as_primary(promotion=None),
        as_primary(sealed_term=TERM + 1),
        as_primary(timeline=3),
        as_primary(promotion=promotion(timeline=3)),
    ],
    ids=["unfinished", "unrecorded", "has begun to seal", "other timeline", "other promotion"],
)
def test_an_old_primary_that_cannot_be_named_again_stops_to_seal(facts: Facts) -> None:
    """Its promotion ended too late, say. Running on it would be neither named nor sealed, for ever."""
    assert isinstance(plan(VIEW, facts), Stop)


def test_any_other_primary_stops() -> None:
    """It is of an earlier term, or of another life."""
    assert isinstance(plan(VIEW, as_primary(SHIQIAO_1)), Stop)
    other = replace(life_of(SANDUN_1), incarnation="ffffffff")
    assert isinstance(plan(VIEW, as_primary(life=other)), Stop)
