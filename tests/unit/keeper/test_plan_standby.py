"""The keeper's next step under somebody else's term: follow, or begin a new life."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.model.view import ClusterView
from keeper.plan import SETTLE_S, plan
from keeper.steps import Clone, Facts, Follow, Rewind, Seal, StartStandby, Stop
from tests.support.builders import (
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    entry,
    promoting_view,
    promotion,
    running_view,
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
from tests.support.healthy import TERM

BOTH = pytest.mark.parametrize("view", [promoting_view(), running_view()], ids=lambda view: view.phase)


def entered(end: int = 5, *path: tuple[int, int], uid: str = SHIQIAO_1) -> Facts:
    """A standby that has sealed for the view's term and follows nobody yet."""
    return as_standby(uid, seal=sealed(TERM, end, *path), following=None)


@BOTH
def test_a_sealed_member_on_the_lineage_follows(view: ClusterView) -> None:
    """At once, also while the promotion is under way: it crosses the switch by itself."""
    assert plan(view, entered(5)) == Follow(upstream(SHIQIAO_1))


@BOTH
def test_a_member_enters_the_term_before_it_follows(view: ClusterView) -> None:
    """A flush counts only for those who have let go of every older primary."""
    for facts in (
        as_standby(SHIQIAO_1, following=upstream(SHIQIAO_1, term=TERM - 1), sealed_term=TERM - 1),
        as_standby(SHIQIAO_1, following=None),
        replace(entered(), seal=sealed(TERM - 1, 5)),
    ):
        assert plan(view, facts) == Seal(TERM)


@BOTH
def test_who_follows_is_left_alone(view: ClusterView) -> None:
    """A restart of the keeper does not touch it."""
    assert why_it_waits(view, as_standby(SHIQIAO_1)) == "following"


def test_a_life_whose_next_wal_is_gone_is_replaced_by_a_clone() -> None:
    """The life that the view names, and no later one; and only while there is a route."""
    facts = as_standby(SHIQIAO_1)

    def asks(incarnation: str, view: ClusterView) -> ClusterView:
        changed = [m.changed(rebuild=incarnation) if m.uid == SHIQIAO_1 else m for m in view.members]
        return view.changed(members=tuple(changed))

    assert facts.life is not None
    assert isinstance(plan(asks(facts.life.incarnation, running_view()), facts), Clone)
    assert why_it_waits(asks(facts.life.incarnation, promoting_view()), facts) == "diverged"
    assert why_it_waits(asks("an-earlier", running_view()), facts) == "following"


def test_a_primary_with_a_new_address_is_followed_there() -> None:
    """In the same term and under the same name: no seal is needed."""
    moved = [m.changed(port=5999) if m.uid == SANDUN_1 else m for m in running_view().members]
    step = plan(running_view(members=tuple(moved)), as_standby(SHIQIAO_1))

    assert isinstance(step, Follow)
    assert step.upstream.port == 5999


@BOTH
def test_an_empty_directory_is_cloned(view: ClusterView) -> None:
    """Also one that was wiped under a known uid."""
    step = plan(view, without_data(SHIQIAO_1))

    assert isinstance(step, Clone)
    assert (step.upstream_uid, step.term) == (SANDUN_1, TERM)


def test_a_failed_clone_has_its_pause() -> None:
    """A full disk is not filled again at once."""
    assert why_it_waits(running_view(), without_data(SHIQIAO_1, retry_in_s=1.0)) == "retry"


@BOTH
def test_a_superseded_primary_stops(view: ClusterView) -> None:
    """It cannot acknowledge any more, and must not serve stale reads."""
    assert isinstance(plan(view, as_primary(SHIQIAO_1)), Stop)


def test_a_member_that_is_down_starts_once_clients_are_back() -> None:
    """Not in the way of a promotion on a small host; without a route not for ever, for it may be needed."""
    down = not_running(as_standby(SANDUN_2))

    assert why_it_waits(promoting_view(), replace(down, phase_seen_s=1.9)) == "after_route"
    assert isinstance(plan(promoting_view(), replace(down, phase_seen_s=2.0)), StartStandby)
    assert why_it_waits(running_view(), replace(down, phase_seen_s=SETTLE_S / 2)) == "after_route"
    step = plan(running_view(), replace(down, phase_seen_s=SETTLE_S))
    assert isinstance(step, StartStandby)
    assert step.upstream is None


def test_what_is_under_way_is_waited_for() -> None:
    """A standby that starts is not started again."""
    assert why_it_waits(running_view(), not_running(as_standby(SHIQIAO_1), "starting")) == "in_between"


# Divergence.

AHEAD = sealed(TERM, 5, (1, 4))
"""Forked from timeline 1 at 4, where the lineage left it at 3."""


@pytest.mark.parametrize(
    "facts",
    [entered(5, (1, 4)), entered(5, (1, 2)), replace(entered(), seal=AHEAD.changed(timeline=9))],
    ids=["later fork", "earlier fork", "timeline of its own"],
)
def test_a_diverged_member_is_rewound_once_there_is_a_route(facts: Facts) -> None:
    """The route proves that others hold the new history: this copy is no longer needed (I3)."""
    step = plan(running_view(), facts)

    assert isinstance(step, Rewind)
    assert (step.upstream_uid, step.term) == (SANDUN_1, TERM)


def test_a_diverged_member_whose_rewinds_fail_is_cloned() -> None:
    """A wrong password of the rewind role would otherwise keep it away for ever (protocol, section 9)."""
    facts = entered(6, (1, 1))

    assert isinstance(plan(running_view(), replace(facts, failed_rewinds=2)), Rewind)
    assert isinstance(plan(running_view(), replace(facts, failed_rewinds=3)), Clone)


def test_a_diverged_member_waits_for_the_route() -> None:
    """Until then it may be the last copy of something acknowledged."""
    assert why_it_waits(promoting_view(), entered(5, (1, 4))) == "diverged"


def test_a_diverged_member_is_cloned_beside_its_data_when_the_primary_lacks_standbys() -> None:
    """A clone leaves the old directory until it runs; a rewind would not."""
    assert isinstance(plan(promoting_view(rebuild_beside=True), entered(5, (1, 4))), Clone)


@pytest.mark.parametrize("finished", [False, True])
def test_a_promotion_that_came_to_nothing_is_cloned(finished: bool) -> None:
    """Its position may agree with the lineage: what PostgreSQL had written by then, nobody knows."""
    began = replace(entered(), promotion=promotion(SHIQIAO_1, 4, finished=finished))

    assert isinstance(plan(running_view(), began), Clone)
    assert isinstance(plan(promoting_view(rebuild_beside=True), began), Clone)
    assert why_it_waits(promoting_view(), began) == "diverged"


def test_a_promotion_that_is_part_of_the_lineage_is_no_divergence() -> None:
    """An old primary that has nothing beyond the fork just follows."""
    lineage = (entry(1, 0, SHIQIAO_1, term=1), entry(2, 3))
    old = replace(entered(), promotion=promotion(SHIQIAO_1, 1))

    assert isinstance(plan(running_view(lineage=lineage), old), Follow)


def test_a_promotion_of_an_earlier_life_is_forgotten() -> None:
    """The clone has nothing of it."""
    cloned = replace(entered(), promotion=promotion(SHIQIAO_1, 4).changed(incarnation="ffffffff"))

    assert isinstance(plan(running_view(), cloned), Follow)


def test_the_same_number_under_another_life_is_not_our_promotion() -> None:
    """Timeline 2 of the lineage is sandun-1's: who began one of that number has gone another way."""
    began = replace(entered(), promotion=promotion(SHIQIAO_1, 2))

    assert isinstance(plan(running_view(), began), Clone)


def test_a_failed_rewind_has_its_pause() -> None:
    """It is not begun again at once."""
    assert why_it_waits(running_view(), replace(entered(5, (1, 4)), retry_in_s=1.0)) == "retry"


# New lives.


def incomplete(state: str, term: int = TERM) -> Facts:
    return not_running(
        as_standby(SHIQIAO_1), state, life=life_of(SHIQIAO_1, term=term, complete=False), phase_seen_s=0.0
    )


@pytest.mark.parametrize("state", ["stopped", "down"])
def test_a_new_life_starts_following_its_source(state: str) -> None:
    """It may need WAL that only the source has before it can accept a connection."""
    step = plan(running_view(), incomplete(state))

    assert isinstance(step, StartStandby)
    assert step.upstream == upstream(SHIQIAO_1)


def test_a_new_life_that_starts_is_waited_for() -> None:
    """It is not cloned anew while it catches up."""
    assert why_it_waits(running_view(), incomplete("starting")) == "starting"
    running = as_standby(SHIQIAO_1, life=life_of(SHIQIAO_1, term=TERM, complete=False))
    assert why_it_waits(running_view(), running) == "starting"


@pytest.mark.parametrize("state", ["stopped", "down", "starting", "failed"])
def test_a_new_life_of_an_older_term_is_cloned_anew(state: str) -> None:
    """Its source is not primary any more; what it still needs may exist nowhere."""
    assert isinstance(plan(running_view(), incomplete(state, term=TERM - 1)), Clone)


def test_an_interrupted_rewind_is_cloned() -> None:
    """Half rewound data are of no timeline."""
    assert isinstance(plan(running_view(), incomplete("failed")), Clone)
