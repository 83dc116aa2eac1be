"""When clients may be sent to the primary, and what is done while they may not."""

from __future__ import annotations

from common.model.reports import SyncReport
from common.model.view import SyncState
from sentinel.decide import conditions
from tests.support.builders import (
    LINEAGE,
    SANDUN_1,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    at,
    promoting_view,
    sealing_view,
    sync_set,
)
from tests.support.healthy import TERM


def named() -> Scene:
    """shiqiao-1 has just been named, after both of its site have sealed."""
    scene = Scene(view=sealing_view())
    scene.down(SANDUN_1)
    for uid in (SHIQIAO_1, SHIQIAO_2):
        scene.seals(uid, 5)
    scene.step("primary_named")
    return scene


def unconfirmed(**view: object) -> Scene:
    """The primary is promoted; nobody has flushed what it wrote since."""
    scene = Scene(view=promoting_view(**view))
    scene.report(SANDUN_1, sync=SyncReport(term=TERM, applied=15))
    return scene


def test_the_route_waits_for_the_promotion_and_then_for_the_sync_set() -> None:
    """I7: k members of every set in force must have flushed a record of this start."""
    scene = named()
    before = scene.waits()
    scene.promoted()
    promoted = scene.waits()
    scene.promoted(confirmed=True)

    assert "promoting" in before
    assert "waiting_for_standbys" in promoted
    assert scene.step("route_set").phase == "running"


def test_every_set_in_force_must_have_confirmed_and_one_must_be_applied() -> None:
    """Each set under which a commit may be acknowledged, and the running setting is one of them."""
    sync = SyncState(current=sync_set(15, 1, SHIQIAO_1), pending=(sync_set(16, 1, SHIQIAO_2),))
    scene = Scene(view=promoting_view(sync=sync))
    for applied, confirmed in ((15, (15,)), (15, (16,)), (None, (15, 16)), (9, (15, 16))):
        scene.report(SANDUN_1, sync=SyncReport(term=TERM, applied=applied, confirmed=confirmed))
        assert "waiting_for_standbys" in scene.waits()
    scene.report(SANDUN_1, sync=SyncReport(term=TERM, applied=15, confirmed=(15, 16)))

    scene.step("route_set")


def test_confirmations_of_another_term_do_not_count() -> None:
    """They were made under another view."""
    scene = Scene(view=promoting_view())
    scene.report(SANDUN_1, sync=SyncReport(term=TERM - 1, applied=15, confirmed=(15,)))

    assert "promoting" in scene.waits()


def test_a_candidate_that_is_silent_for_too_long_is_given_up_where_others_suffice() -> None:
    """A new term begins; with nobody else it is waited for, and the reason says what a human can do."""
    scene = named()
    alone = Scene(view=scene.now, keepers=dict(scene.keepers))
    for each in (scene, alone):
        each.holds(conditions.promoting(each.now.term))
    alone.gone(SHIQIAO_2)
    change = scene.decide().change
    reason = next(reason for reason in alone.decide().reasons if reason.code == "promoting")
    early = next(reason for reason in named().decide().reasons if reason.code == "promoting")

    assert change is not None
    assert (change.kind, change.reason) == ("sealing", "promotion_timed_out")
    assert "promoting" in alone.waits()
    assert reason.fix
    assert not early.fix


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
