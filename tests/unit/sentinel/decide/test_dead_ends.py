"""Ways into a cluster that nobody could be named in: each was a trace of the model of whole clusters."""

from __future__ import annotations

from typing import Any

from common.model.view import Primary, SyncState
from sentinel.decide import conditions
from tests.support.builders import (
    LINEAGE,
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    at,
    entry,
    life,
    promotion,
    sealing_view,
    sync_set,
)
from tests.support.healthy import INCARNATIONS, TERM

NEVER_BEGUN = entry(3, 5, SHIQIAO_1, term=TERM + 1)
"""shiqiao-1 was named from 5 and died before its PostgreSQL heard of it."""


def after_a_promotion_that_never_began(*in_force: str, **view: Any) -> Scene:
    """sandun-1 and the candidate are gone; the lineage ends with the candidate's entry."""
    scene = Scene(
        view=sealing_view(
            term=TERM + 2,
            old_primary=Primary(uid=SHIQIAO_1, incarnation=INCARNATIONS[SHIQIAO_1], timeline=3, fork=at(5)),
            lineage=(*LINEAGE, NEVER_BEGUN),
            floor=at(5),
            greatest_timeline=3,
            sync=SyncState(current=sync_set(18, 1, *in_force)),
            **view,
        )
    )
    scene.gone(SANDUN_1, SHIQIAO_1)
    return scene


def test_a_member_past_the_fork_of_a_promotion_that_never_began_is_named() -> None:
    """It holds all that was acknowledged and more, though the lineage left its timeline at 5."""
    scene = after_a_promotion_that_never_began()
    scene.seals(SANDUN_2, 6)
    view = scene.step("primary_named")

    assert view.primary is not None
    assert (view.primary.uid, view.primary.timeline, view.primary.fork) == (SANDUN_2, 4, at(6))
    assert [each.timeline for each in view.lineage] == [1, 2, 4]


def test_who_agrees_with_the_lineage_goes_before_who_went_past_a_fork() -> None:
    """Both hold everything acknowledged; the old site counts less than a rewind."""
    scene = after_a_promotion_that_never_began(SHIQIAO_2)
    scene.seals(SHIQIAO_2, 5)
    scene.seals(SANDUN_2, 6)
    view = scene.step("primary_named")

    assert view.primary is not None
    assert view.primary.uid == SHIQIAO_2


def test_who_went_past_a_fork_is_not_safe_where_something_was_acknowledged_behind_it() -> None:
    """The promotion did begin, and a member of its set has flushed what came of it."""
    scene = after_a_promotion_that_never_began(SHIQIAO_2)
    scene.seals(SANDUN_2, 99)
    scene.seals(SHIQIAO_2, 7, path=((1, 3), (2, 5)), on=3)
    view = scene.step("primary_named")

    assert view.primary is not None
    assert view.primary.uid == SHIQIAO_2


def test_who_must_be_cloned_is_not_counted_on() -> None:
    """A set that names a life which is about to end could never satisfy a later failover."""
    scene = Scene(view=sealing_view())
    scene.gone(SANDUN_1)
    for uid in (SANDUN_2, SHIQIAO_1, SHIQIAO_2):
        scene.seals(uid, 5)
    scene.report(SHIQIAO_2, promotion=promotion(SHIQIAO_2, 3, finished=False))

    assert scene.step("primary_named").sync.current.members == {life(SHIQIAO_1)}


def test_a_life_that_begins_during_the_sealing_is_learnt() -> None:
    """Its seal counts only by the life that the view names, and it may be the one that is needed."""
    scene = Scene(view=sealing_view(sync=SyncState(current=sync_set(15, 1))))
    scene.gone(SANDUN_1, SHIQIAO_1, SHIQIAO_2)
    scene.seals(SANDUN_2, 5)
    scene.report(SANDUN_2, incarnation="0000000f")
    before = scene.now
    view = scene.step("membership")

    member = view.member(SANDUN_2)
    assert member is not None
    assert member.incarnation == "0000000f"
    assert (view.phase, view.term, view.old_primary) == ("sealing", before.term, before.old_primary)
    named = scene.step("primary_named").primary
    assert named is not None
    assert (named.uid, named.incarnation) == (SANDUN_2, "0000000f")


def test_who_is_named_does_not_wait_for_the_members() -> None:
    """A failover comes before everything that changed around it."""
    scene = Scene(view=sealing_view())
    scene.gone(SANDUN_1)
    for uid in (SHIQIAO_1, SHIQIAO_2):
        scene.seals(uid, 5)
    scene.report(SANDUN_2, incarnation="0000000f")

    scene.step("primary_named")


def test_the_old_primary_does_not_leave_the_cluster_while_it_may_be_needed() -> None:
    """It has been gone for long, and it is the last resort."""
    scene = Scene(view=sealing_view())
    scene.gone(SANDUN_1)
    scene.seals(SHIQIAO_1, 5)
    scene.holds(conditions.keeper_gone(SANDUN_1), 1e9)

    assert "sealing" in scene.waits()


def test_a_primary_that_failed_to_start_is_sealed_where_nobody_else_suffices() -> None:
    """Nobody tries it again as a primary; as a standby its keeper does."""
    scene = Scene()
    scene.down(SANDUN_1, "failed")
    scene.gone(SHIQIAO_2)
    view = scene.step("sealing")

    assert view.old_primary_may_start


def test_a_timeline_that_no_view_named_is_remembered_once() -> None:
    """An operator promoted a server by hand; when the next number is given its host may be gone."""
    scene = Scene()
    scene.report(SANDUN_2, greatest_timeline=4)

    assert scene.step("timeline_seen").greatest_timeline == 4
    assert scene.decide().change is None
