"""A member kept down: out of the sync set first, never promoted, and let begin again."""

from __future__ import annotations

import pytest

from common.model.reports import SyncReport
from common.model.requests import Fence, Unfence
from common.model.spec import ClusterSpec, Durability
from common.model.view import SyncSet, SyncState, Word
from tests.support.builders import (
    ASKED_AT,
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    hears,
    running_view,
    seen,
    sync_set,
)
from tests.support.healthy import TERM, UIDS

WORD = Word(by="anna", at=ASKED_AT)


def applied(scene: Scene) -> None:
    """The primary says that it has applied the last set."""
    report = scene.keepers[SANDUN_1]
    assert report.sync is not None
    scene.report(SANDUN_1, sync=report.sync.changed(applied=scene.now.sync.target.id))


def kept_down(*uids: str, scene: Scene | None = None) -> Scene:
    """A cluster in which these are kept down, and in no sync set."""
    scene = scene or Scene()
    members = tuple(m.changed(kept_down=WORD) if m.uid in uids else m for m in scene.now.members)
    left = [uid for uid in (SHIQIAO_1, SHIQIAO_2) if uid not in uids]
    scene.view = scene.now.changed(members=members, sync=SyncState(current=sync_set(15, 1, *left)))
    for uid in uids:
        scene.down(uid, "stopped")
    scene.report(SANDUN_1, standbys=tuple(seen(uid) for uid in UIDS[1:] if uid not in uids))
    return scene


def test_a_standby_leaves_the_sync_set_before_it_is_kept_down() -> None:
    """Each step is one write: whoever leads after it goes on from there."""
    scene = Scene()
    asked = scene.ask(Fence(uid=SHIQIAO_1))
    scene.told()
    pending = scene.step("sync_set_pending")
    waits = scene.waits()
    applied(scene)
    scene.step("sync_set_current")
    fenced = scene.step("fenced_member").member(SHIQIAO_1)
    scene.told()
    under_way = scene.request(asked)
    scene.down(SHIQIAO_1, "stopped")
    scene.report(SANDUN_1, standbys=(seen(SANDUN_2), seen(SHIQIAO_2)))
    scene.told()

    assert {member.uid for member in pending.sync.target.members} == {SHIQIAO_2}
    assert "request" in waits
    assert fenced is not None
    assert fenced.kept_down is not None
    assert fenced.kept_down.request == asked
    assert under_way.state == "running"
    assert scene.request(asked).state == "done"
    assert "kept_down" in scene.waits()


def test_where_nobody_can_take_its_place_it_is_said_before() -> None:
    """``degrade`` goes on without it, as with any other that is missing; ``strict`` refuses."""
    view = running_view(sync=SyncState(current=sync_set(15, 1, SHIQIAO_1)))
    scene = Scene(view=view)
    scene.gone(SHIQIAO_2)
    scene.report(SANDUN_1, standbys=(seen(SANDUN_2), seen(SHIQIAO_1)))
    scene.ask(Fence(uid=SHIQIAO_1))
    degrades = scene.step("fenced_member")
    strict = Scene(view=view, keepers=scene.keepers, spec=ClusterSpec(durability=Durability(mode="strict")))
    asked = strict.ask(Fence(uid=SHIQIAO_1))
    strict.told()

    assert degrades.out == {SHIQIAO_1}
    assert strict.request(asked).state == "failed"
    assert "must acknowledge" in strict.request(asked).result


def test_from_a_primary_a_failover_begins_in_the_same_write() -> None:
    """It is not named again, though it is up and well, and nobody waits for it."""
    scene = Scene()
    asked = scene.ask(Fence(uid=SANDUN_1))
    sealing = scene.step("sealing")
    scene.report(SANDUN_1, generation=sealing.generation)
    waits = scene.waits()
    scene.down(SANDUN_1, "stopped")
    for uid in (SHIQIAO_1, SHIQIAO_2):
        scene.seals(uid, 5)
    named = scene.step("primary_named")

    assert (sealing.term, sealing.out) == (TERM + 1, frozenset({SANDUN_1}))
    assert scene.request(asked).state == "running"
    assert "sealing" in waits
    assert named.primary is not None
    assert named.primary.uid in {SHIQIAO_1, SHIQIAO_2}


def test_a_primary_that_nobody_could_follow_is_left_alone() -> None:
    """Too few live; or no standby acknowledges, and it alone is sure to have every commit."""
    too_few = Scene()
    too_few.gone(SHIQIAO_1, SHIQIAO_2)
    first = too_few.ask(Fence(uid=SANDUN_1))
    too_few.decide()
    alone = Scene(
        view=running_view(sync=SyncState(current=SyncSet(id=15, k=0))),
        spec=ClusterSpec(durability=Durability(mode="async")),
    )
    second = alone.ask(Fence(uid=SANDUN_1))
    too_few.told()
    alone.told()

    assert "too few others live" in too_few.request(first).result
    assert "only sandun-1 is sure" in alone.request(second).result


@pytest.mark.parametrize("furthest", [SHIQIAO_1, SHIQIAO_2])
def test_who_is_kept_down_is_never_promoted(furthest: str) -> None:
    """Sealed or not, furthest or not: its seal counts, it is not eligible."""
    scene = Scene()
    members = tuple(m.changed(kept_down=WORD) if m.uid == SHIQIAO_1 else m for m in scene.now.members)
    scene.view = scene.now.changed(members=members)
    scene.down(SANDUN_1)
    scene.step("sealing")
    scene.seals(SHIQIAO_1, 6 if furthest == SHIQIAO_1 else 5)
    scene.seals(SHIQIAO_2, 6)
    named = scene.step("primary_named")

    assert named.primary is not None
    assert named.primary.uid == SHIQIAO_2


def test_who_is_kept_down_counts_for_no_quorum_before_it_has_sealed() -> None:
    """It will not seal: no sealing begins that only it could complete; the reason says what would help."""
    scene = kept_down(SHIQIAO_1)
    scene.view = scene.now.changed(sync=SyncState(current=sync_set(15, 1, SHIQIAO_1)))
    scene.gone(SANDUN_1)
    scene.reaches_primary = False
    for uid in (SANDUN_2, SHIQIAO_2):
        scene.report(uid, upstream=hears(SANDUN_1, reachable=False, receiving=False))
    reasons = {reason.code: reason.fix for reason in scene.decide().reasons}

    assert "too_few_to_seal" in scene.waits()
    assert "pgha unfence" in reasons["too_few_to_seal"]


def test_who_is_kept_down_is_no_standby_that_is_missing() -> None:
    """It is said once, with who did it, and never cloned anew."""
    scene = kept_down(SHIQIAO_1)
    scene.holds(f"apart:{SHIQIAO_1}")
    waits = scene.waits()

    assert "kept_down" in waits
    assert "standby_not_streaming" not in waits


def test_it_may_begin_again_and_is_waited_for() -> None:
    """Until it streams; then it may acknowledge again."""
    scene = kept_down(SHIQIAO_1)
    asked = scene.ask(Unfence(uid=SHIQIAO_1))
    begun = scene.step("unfenced_member")
    scene.told()
    scene.report(SHIQIAO_1, state="running", role="standby")
    scene.report(SANDUN_1, standbys=tuple(seen(uid) for uid in UIDS[1:]))
    scene.step("sync_set_pending")
    scene.told()

    assert begun.out == frozenset()
    assert scene.request(asked).progress[-1].text == f"PostgreSQL of {SHIQIAO_1} is stopped"
    assert scene.request(asked).state == "done"


def test_letting_it_begin_again_ends_the_wish_to_keep_it_down() -> None:
    """Though its PostgreSQL had not stopped yet: otherwise it would be stopped again."""
    scene = Scene()
    fence = scene.ask(Fence(uid=SANDUN_2))
    scene.step("fenced_member")
    scene.told()
    still_runs = scene.request(fence).state
    unfence = scene.ask(Unfence(uid=SANDUN_2))
    scene.step("unfenced_member")
    scene.told()

    assert still_runs == "running"
    assert scene.request(fence).state == "cancelled"
    assert "may begin again" in scene.request(fence).result
    assert scene.request(unfence).state == "done"
    assert scene.now.out == frozenset()


def test_who_shall_leave_confirms_a_promotion_first_where_nobody_else_does() -> None:
    """The request waits for the route; the route must not wait for its end."""
    scene = Scene()
    scene.ask(Fence(uid=SHIQIAO_1))
    scene.told()
    scene.view = running_view(phase="promoting", route=None, sync=SyncState(current=sync_set(15, 1)))
    scene.report(SANDUN_1, standbys=(seen(SHIQIAO_1),), sync=SyncReport(term=TERM, applied=15))
    scene.gone(SANDUN_2, SHIQIAO_2)
    pending = scene.step("sync_set_pending")

    assert {member.uid for member in pending.sync.target.members} == {SHIQIAO_1}


def test_taking_it_back_half_way_leaves_the_member_as_it_is() -> None:
    """While it only leaves the sync set; it enters again."""
    scene = Scene()
    asked = scene.ask(Fence(uid=SHIQIAO_1))
    scene.told()
    scene.step("sync_set_pending")
    running = scene.requests[0]
    scene.requests = (running._replace(request=running.request.changed(cancel=WORD)),)
    scene.told()

    assert scene.request(asked).state == "cancelled"
    assert scene.now.out == frozenset()


@pytest.mark.parametrize(
    ("operation", "state", "says"),
    [
        (Fence(uid="nobody"), "failed", "its members are"),
        (Unfence(uid="nobody"), "failed", "its members are"),
        (Unfence(uid=SHIQIAO_1), "done", "not kept down"),
    ],
    ids=str,
)
def test_what_cannot_be_done_says_why(operation: Fence | Unfence, state: str, says: str) -> None:
    """And changes nothing."""
    scene = Scene()
    asked = scene.ask(operation)
    scene.told()

    assert scene.request(asked).state == state
    assert says in scene.request(asked).result
