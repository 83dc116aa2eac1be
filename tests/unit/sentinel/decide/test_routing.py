"""When clients may be sent to the primary, and what is done while they may not."""

from __future__ import annotations

from common.model.reports import SyncReport
from common.model.view import SyncState
from sentinel.decide import conditions
from sentinel.decide.conditions import current_conditions
from tests.support.builders import (
    LINEAGE,
    SANDUN_1,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    at,
    life,
    promoting_view,
    running_view,
    seen,
    sync_set,
)
from tests.support.healthy import TERM


def unconfirmed(**view: object) -> Scene:
    """The primary is promoted; nobody has flushed what it wrote since."""
    scene = Scene(view=promoting_view(**view))
    scene.report(SANDUN_1, sync=SyncReport(term=TERM, applied=15))
    return scene


def test_the_route_says_where_and_in_which_term() -> None:
    """And the floor rises to the fork: what the new primary began with is now what counts."""
    scene = Scene(view=promoting_view(floor=at(1)))
    scene.report(SANDUN_1, api_url="http://127.0.0.1:1")
    view = scene.step("route_set")
    member = view.member(SANDUN_1)

    assert view.route is not None
    assert member is not None
    assert (view.route.uid, view.route.term, view.route.incarnation) == (SANDUN_1, TERM, member.incarnation)
    assert (view.route.host, view.route.port) == (member.host, member.port)
    assert view.route.api_url == "http://127.0.0.1:1"
    assert view.floor == at(3)


def test_the_floor_does_not_fall_to_an_older_fork() -> None:
    """A primary that is named again keeps the fork of its own promotion."""
    scene = Scene(view=promoting_view(floor=at(4)))

    assert scene.step("route_set").floor == at(4)


def test_a_primary_that_lacks_standbys_for_long_lets_diverged_ones_rebuild() -> None:
    """By a clone beside their data; once said it stays said until the route."""
    scene = unconfirmed()

    assert "waiting_for_standbys" in scene.waits()
    scene.holds(conditions.promoting(TERM), 2.0)
    assert scene.step("rebuild_beside").rebuild_beside
    assert "waiting_for_standbys" in scene.waits()
    scene.promoted(confirmed=True)
    assert not scene.step("route_set").rebuild_beside


def test_in_a_new_cluster_nobody_can_have_diverged() -> None:
    """Its standbys are still being cloned: nothing is written for them."""
    scene = unconfirmed(lineage=LINEAGE[:1])
    scene.holds(conditions.promoting(TERM), 2.0)

    assert "waiting_for_standbys" in scene.waits()


def test_what_the_route_waits_for_is_said_in_words() -> None:
    """Each set that has not confirmed, with its members."""
    sets = SyncState(current=sync_set(15, 1, SHIQIAO_1), pending=(sync_set(16, 2, SHIQIAO_1, SHIQIAO_2),))
    scene = unconfirmed(sync=sets)
    reason = next(r for r in scene.decide().reasons if r.code == "waiting_for_standbys")

    assert "1 of shiqiao-1 and by 2 of shiqiao-1, shiqiao-2" in reason.text


# The conditions whose duration decides.


def test_a_healthy_cluster_holds_no_condition() -> None:
    """Nothing grows old in it."""
    assert current_conditions(Scene().observed()) == frozenset()
    assert current_conditions(Scene(view=None).observed()) == frozenset()


def test_what_the_primary_does_not_see_is_a_condition_of_each_set_in_force() -> None:
    """By the life that the set counts, and in this term; who has a live keeper is another question."""
    pending = sync_set(16, 2, SHIQIAO_1, SHIQIAO_2)
    scene = Scene(view=running_view(sync=SyncState(current=sync_set(15, 1, SHIQIAO_1), pending=(pending,))))
    scene.report(SANDUN_1, standbys=(seen(SHIQIAO_1), seen(SHIQIAO_2, term=TERM - 1)))
    scene.gone(SHIQIAO_1)

    assert current_conditions(scene.observed()) == {
        conditions.keeper_gone(SHIQIAO_1),
        conditions.not_streaming(life(SHIQIAO_2)),
        conditions.pending(16),
        conditions.COMMITS_WAIT,
    }
