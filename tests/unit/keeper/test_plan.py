"""The keeper's next step: before a view, at the beginning, and as the primary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from common.model.view import ClusterView, Primary, SyncSet, SyncState
from keeper.plan import plan
from keeper.steps import Claim, ConfirmPromotion, Initialize, Promote, Seal, Serve, StartWritable, Stop
from tests.support.builders import (
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    at,
    promoting_view,
    promotion,
    running_view,
    sealing_view,
)
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
from tests.support.healthy import INCARNATIONS, TERM

PHASES = (running_view(), promoting_view(), sealing_view())


def named(uid: str, fork: int = 5, **fields: Any) -> ClusterView:
    """A view that has just named a new primary of the next term, on timeline 3."""
    chosen = Primary(uid=uid, incarnation=INCARNATIONS[uid], timeline=3, fork=at(fork))
    return promoting_view(**{"primary": chosen, "term": TERM + 1, "greatest_timeline": 3} | fields)


def beginning(uid: str = SANDUN_1) -> ClusterView:
    """The first view of a cluster."""
    return ClusterView(
        cluster="demo",
        generation=1,
        term=1,
        phase="initializing",
        primary=Primary(uid=uid, timeline=1),
        sync=SyncState(current=SyncSet(id=1, k=1)),
    )


def test_without_a_view_nothing_is_done() -> None:
    """Neither is a running primary stopped nor a stopped one started (I6)."""
    assert why_it_waits(None, as_primary()) == "no_view"
    assert why_it_waits(None, as_standby(SHIQIAO_1)) == "no_view"
    assert why_it_waits(None, not_running(as_primary(), "stopped")) == "no_view"
    assert why_it_waits(None, without_data(SHIQIAO_1)) == "no_view"


@pytest.mark.parametrize("view", PHASES, ids=lambda view: view.phase)
def test_long_work_is_not_disturbed(view: ClusterView) -> None:
    """A clone or rewind ends, or is given up, before anything else begins."""
    assert why_it_waits(view, without_data(SHIQIAO_1, busy="clone")) == "busy"


@pytest.mark.parametrize("view", PHASES, ids=lambda view: view.phase)
def test_data_of_another_cluster_are_left_alone(view: ClusterView) -> None:
    """Whatever the view says of this uid, those data are not what it means."""
    for facts in (as_primary(), as_standby(SHIQIAO_1), not_running(as_standby(SHIQIAO_1))):
        assert why_it_waits(view, replace(facts, system_identifier="1")) == "foreign_data"


@pytest.mark.parametrize("view", PHASES, ids=lambda view: view.phase)
def test_a_directory_in_another_life_is_claimed_before_anything_else(view: ClusterView) -> None:
    """By a keeper that is no member yet too; not before there is a view, which says whose data it may be."""
    outsider = view.changed(members=())
    for facts in (as_primary(), as_standby(SHIQIAO_1), not_running(as_standby(SHIQIAO_1))):
        here = replace(facts, life=None, unclaimed="the data directory lacks its marker")

        assert plan(view, here) == plan(outsider, here) == Claim("the data directory lacks its marker")
        assert why_it_waits(None, here) == "no_view"
        assert why_it_waits(view, replace(here, system_identifier="1")) == "foreign_data"
        assert why_it_waits(view, replace(here, retry_in_s=1.0)) == "retry"


def test_nothing_is_claimed_before_the_cluster_has_data() -> None:
    """Its system identifier is not known yet: no directory can be said to be of it."""
    here = not_running(as_standby(SHIQIAO_1), life=None, unclaimed="the data directory says 0000000a")

    assert why_it_waits(beginning(), here) == "not_named"


def test_a_keeper_that_is_no_member_waits() -> None:
    """The sentinel says first whether it may join."""
    view = running_view(members=())

    assert why_it_waits(view, without_data(SHIQIAO_1)) == "not_a_member"


@pytest.mark.parametrize("view", PHASES, ids=lambda view: view.phase)
def test_a_view_older_than_the_seal_is_not_obeyed(view: ClusterView) -> None:
    """A promise is for ever, whatever a restored store says (I6)."""
    for facts in (as_primary(), as_standby(SHIQIAO_1), not_running(as_primary(), "stopped")):
        assert why_it_waits(view, replace(facts, sealed_term=view.term + 1)) == "view_older_than_seal"


# The beginning.


def test_the_asked_keeper_creates_the_data_once() -> None:
    """Only with an empty directory, and only the one that the view names."""
    assert plan(beginning(), without_data(SANDUN_1)) == Initialize(1)
    assert why_it_waits(beginning(), without_data(SANDUN_2)) == "not_named"
    assert why_it_waits(beginning(), not_running(as_primary(), "stopped")) == "initialized"


def test_the_first_primary_starts_writable() -> None:
    """A freshly created directory counts as promoted in its term; there is nothing to recover."""
    first = running_view(
        term=1,
        phase="promoting",
        route=None,
        primary=Primary(uid=SANDUN_1, incarnation=INCARNATIONS[SANDUN_1], timeline=1),
    )
    created = promotion(timeline=1).changed(term=1)
    facts = not_running(as_primary(), "stopped", promotion=created, sealed_term=1)

    assert plan(first, facts) == StartWritable(1)
    assert why_it_waits(first, replace(facts, promotion=created.changed(finished=False))) == "primary_down"


# As the named primary.


def test_a_sealed_standby_that_is_named_is_promoted() -> None:
    """On the timeline and from the point that the view names."""
    view = named(SHIQIAO_1)
    facts = as_standby(SHIQIAO_1, sealed_term=view.term, seal=sealed(view.term, 5), following=None)

    assert view.primary is not None
    assert plan(view, facts) == Promote(view.term, view.primary)


def test_a_named_standby_that_has_lost_its_seal_seals_again_first() -> None:
    """Its keeper was restarted between seal and promotion: the position is where it was."""
    view = named(SHIQIAO_1)
    restarted = as_standby(SHIQIAO_1, sealed_term=view.term, seal=None, following=None)

    assert plan(view, restarted) == Seal(view.term)
    assert plan(view, replace(restarted, seal=sealed(TERM, 5))) == Seal(view.term)
    assert plan(view, replace(restarted, seal=sealed(view.term, 5), sealed_term=TERM)) == Seal(view.term)
    assert plan(view, replace(restarted, seal=sealed(view.term, 5), following=upstream(SHIQIAO_1))) == Seal(
        view.term
    )


def test_sealing_again_has_its_pauses() -> None:
    """A server that cannot be sealed is not tried a hundred times a second."""
    view = named(SHIQIAO_1)
    facts = as_standby(SHIQIAO_1, sealed_term=view.term, following=None, retry_in_s=0.5)

    assert why_it_waits(view, facts) == "retry"


@pytest.mark.parametrize("end", [4, 6])
def test_nobody_is_promoted_from_another_point_than_named(end: int) -> None:
    """Neither with less than was acknowledged nor with more than the others will follow."""
    view = named(SHIQIAO_1)
    facts = as_standby(SHIQIAO_1, sealed_term=view.term, seal=sealed(view.term, end), following=None)

    assert why_it_waits(view, facts) == "promotion_impossible"


def test_a_promotion_that_ended_while_nobody_watched_is_checked_first() -> None:
    """The keeper died after it had asked PostgreSQL for the promotion."""
    view = named(SHIQIAO_1)
    facts = as_primary(
        SHIQIAO_1, sealed_term=view.term, timeline=3, promotion=promotion(SHIQIAO_1, 3, finished=False)
    )

    assert view.primary is not None
    assert plan(view, facts) == ConfirmPromotion(view.term, view.primary)


def test_a_promotion_on_another_timeline_is_stopped() -> None:
    """Two promotions from one fork must not look the same to pg_rewind."""
    view = named(SHIQIAO_1)
    began = promotion(SHIQIAO_1, 3, finished=False)

    for facts in (
        as_primary(SHIQIAO_1, sealed_term=view.term, timeline=4, promotion=began),
        as_primary(SHIQIAO_1, sealed_term=view.term, timeline=2, promotion=began),
        as_primary(SHIQIAO_1, sealed_term=view.term, timeline=3, promotion=promotion(SHIQIAO_1, 4)),
        as_primary(SHIQIAO_1, sealed_term=view.term, timeline=3, promotion=None),
    ):
        assert isinstance(plan(view, facts), Stop)


def test_the_primary_serves() -> None:
    """Before and after the route is set."""
    assert plan(running_view(), as_primary()) == Serve(TERM)
    assert plan(promoting_view(), as_primary()) == Serve(TERM)


def test_a_primary_that_is_named_again_serves_in_the_new_term_without_a_restart() -> None:
    """On its own timeline, though its promotion was in an earlier term."""
    assert plan(promoting_view(term=TERM + 1), as_primary()) == Serve(TERM + 1)


@pytest.mark.parametrize("state", ["down", "failed", "stopped", "starting"])
@pytest.mark.parametrize("view", [running_view(), promoting_view()], ids=lambda view: view.phase)
def test_a_primary_that_is_down_is_not_started_by_its_keeper(state: str, view: ClusterView) -> None:
    """The sentinel decides who goes on; here the promotion was to another timeline than the view names."""
    facts = not_running(as_primary(), state, promotion=promotion(timeline=1))

    assert why_it_waits(view, facts) == "primary_down"


@pytest.mark.parametrize("state", ["down", "failed"])
def test_a_dead_primary_is_not_started_writable_although_its_promotion_is_finished(state: str) -> None:
    """It may hold commits whose wait was cut short: that is for a new term to judge (I7)."""
    assert why_it_waits(running_view(), not_running(as_primary(), state)) == "primary_down"


def test_another_life_than_the_named_one_is_no_primary() -> None:
    """A wiped or restored directory under the same uid is never promoted and never served."""
    other = replace(life_of(SANDUN_1), incarnation="ffffffff")

    assert isinstance(plan(running_view(), as_primary(life=other)), Stop)
    assert why_it_waits(running_view(), not_running(as_primary(life=other))) == "primary_data_gone"
    assert why_it_waits(running_view(), without_data(SANDUN_1)) == "primary_data_gone"
    stopped = not_running(as_primary(life=other), "stopped")
    assert why_it_waits(running_view(), stopped) == "primary_data_gone"
