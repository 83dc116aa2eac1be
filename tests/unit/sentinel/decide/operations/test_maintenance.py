"""Restart, reload, reinit and remove: one member after the other, each step one write."""

from __future__ import annotations

from typing import Any

import pytest

from common.model.requests import AnyOperation, Reinit, Reload, Remove, Restart
from common.model.view import Primary, SyncState, Word
from sentinel.decide import conditions
from sentinel.decide.operations.restart import LIMIT_S
from tests.support.builders import (
    ASKED_AT,
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    promoting_view,
    running_view,
    seen,
    sync_set,
)
from tests.support.healthy import INCARNATIONS, TERM, UIDS

WORD = Word(by="anna", at=ASKED_AT)


def scene_of(**fields: Any) -> Scene:
    """Each PostgreSQL in a start that has a name; nobody of sandun-2's site acknowledges."""
    scene = Scene(**fields)
    for uid in scene.keepers:
        scene.report(uid, start_id=f"{uid}/1")
    return scene


def streams(scene: Scene, *uids: str) -> None:
    scene.report(SANDUN_1, standbys=tuple(seen(uid) for uid in uids))


def cancelled(scene: Scene) -> None:
    (asked,) = scene.requests
    scene.requests = (asked._replace(request=asked.request.changed(cancel=WORD)),)


def asked_to_restart(scene: Scene) -> list[str]:
    return [
        member.uid
        for member in scene.now.members
        if member.restart is not None and member.restart == scene.keepers[member.uid].start_id
    ]


def test_each_restarts_once_and_only_after_the_one_before_is_back() -> None:
    """Back means streaming; those that acknowledge nothing go first; the start that ends has a name."""
    scene = scene_of()
    asked = scene.ask(Restart(uids=(SHIQIAO_1, SANDUN_2)))
    order = []
    for _ in range(2):
        scene.step("restart")
        (uid,) = asked_to_restart(scene)
        order.append(uid)
        streams(scene, *(other for other in UIDS[1:] if other != uid))
        scene.down(uid, "stopped")
        scene.told()
        scene.report(uid, state="running", role="standby", start_id=f"{uid}/2")
        scene.told()
        streams(scene, *UIDS[1:])
    scene.told()

    assert order == [SANDUN_2, SHIQIAO_1]
    assert scene.request(asked).result == f"restarted: {SANDUN_2}, {SHIQIAO_1}"
    assert asked_to_restart(scene) == []


def test_who_does_not_come_back_ends_the_row() -> None:
    """The others are left alone; what restarted for another cause is done, too."""
    scene = scene_of()
    asked = scene.ask(Restart(uids=(SANDUN_2, SHIQIAO_1)))
    scene.step("restart")
    scene.down(SANDUN_2)
    streams(scene, SHIQIAO_1, SHIQIAO_2)
    scene.told()
    scene.holds(conditions.restarting(SANDUN_2, f"{SANDUN_2}/1"), LIMIT_S)
    scene.told()

    assert scene.request(asked).state == "failed"
    assert f"{SANDUN_2} has not come back" in scene.request(asked).result


def test_a_row_can_be_ended_between_two() -> None:
    """The one under way comes back first."""
    scene = scene_of()
    asked = scene.ask(Restart(uids=(SANDUN_2, SHIQIAO_1)))
    scene.step("restart")
    cancelled(scene)
    scene.told()
    under_way = scene.request(asked).state
    scene.report(SANDUN_2, start_id=f"{SANDUN_2}/2")
    scene.told()

    assert under_way == "running"
    assert scene.request(asked).state == "cancelled"
    assert scene.request(asked).result.endswith(f"restarted: {SANDUN_2}")


def test_the_primary_comes_last_and_by_a_switchover() -> None:
    """A request of its own, made once: whoever leads next finds it."""
    scene = scene_of()
    asked = scene.ask(Restart(uids=(SANDUN_1,)))
    scene.told()
    part = f"{asked}-switchover"
    made = scene.request(part)
    scene.step("switchover_begun")
    scene.down(SANDUN_1, "stopping")
    scene.report(SANDUN_1, start_id=None)
    under_way = scene.decide()
    ended = made.ended("done", "shiqiao-1 is primary", ASKED_AT)
    scene.requests = tuple(
        each._replace(request=ended) if each.request.id == part else each for each in scene.requests
    )
    successor = Primary(uid=SHIQIAO_1, incarnation=INCARNATIONS[SHIQIAO_1], timeline=3)
    scene.view = running_view(generation=scene.now.generation + 1, term=TERM + 1, primary=successor)
    scene.report(SHIQIAO_1, role="primary")
    scene.down(SANDUN_1, "starting")
    scene.told()
    comes_back = scene.request(asked).state
    scene.report(SANDUN_1, state="running", role="standby", start_id=f"{SANDUN_1}/2")
    scene.told()

    assert comes_back == "running"
    assert (made.kind, made.parent, made.by) == ("switchover", asked, "anna")
    assert [each.request.id for each in scene.requests] == [asked, part]
    assert all(each.id == asked for each in under_way.updates)
    assert scene.request(asked).result == f"restarted: {SANDUN_1}"


def test_who_has_become_primary_since_its_restart_is_back() -> None:
    """A primary streams from nobody; that is not waited for."""
    scene = scene_of()
    asked = scene.ask(Restart(uids=(SHIQIAO_1,)))
    scene.step("restart")
    successor = Primary(uid=SHIQIAO_1, incarnation=INCARNATIONS[SHIQIAO_1], timeline=3)
    scene.view = scene.now.changed(term=TERM + 1, primary=successor)
    scene.report(SHIQIAO_1, role="primary", start_id=f"{SHIQIAO_1}/2")
    scene.told()

    assert scene.request(asked).result == f"restarted: {SHIQIAO_1}"


def test_a_switchover_that_fails_ends_the_row() -> None:
    """With its reason."""
    scene = scene_of()
    asked = scene.ask(Restart(uids=(SANDUN_1,)))
    scene.told()
    failed = scene.request(f"{asked}-switchover").ended("failed", "nobody was ready", ASKED_AT)
    scene.requests = tuple(
        each._replace(request=failed) if each.request.id != asked else each for each in scene.requests
    )
    scene.told()

    assert scene.request(asked).state == "failed"
    assert "nobody was ready" in scene.request(asked).result


def test_only_where_a_restart_is_pending() -> None:
    """By the member's own report."""
    scene = scene_of()
    scene.report(SHIQIAO_2, pending_restart=("shared_buffers",))
    scene.ask(Restart(uids=(SHIQIAO_1, SHIQIAO_2), pending=True))
    scene.step("restart")

    assert asked_to_restart(scene) == [SHIQIAO_2]


def test_a_clone_begins_once_nobody_counts_on_the_old_data() -> None:
    """Out of the sync set, then the end of the life that was there; done when the new one streams."""
    scene = scene_of()
    asked = scene.ask(Reinit(uid=SHIQIAO_1, source=SHIQIAO_2))
    scene.told()
    scene.step("sync_set_pending")
    report = scene.keepers[SANDUN_1]
    assert report.sync is not None
    scene.report(SANDUN_1, sync=report.sync.changed(applied=scene.now.sync.target.id))
    scene.step("sync_set_current")
    begun = scene.step("reinit").member(SHIQIAO_1)
    scene.told()
    scene.report(SHIQIAO_1, state="cloning", incarnation="0000000f", role=None)
    streams(scene, SANDUN_2, SHIQIAO_2)
    scene.step("membership")
    scene.report(SHIQIAO_1, progress="clone 41 % of 99 MB")
    scene.told()
    told = scene.request(asked).progress[-1].text
    scene.report(SHIQIAO_1, state="running", role="standby")
    scene.report(
        SANDUN_1, standbys=(seen(SANDUN_2), seen(SHIQIAO_2), seen(SHIQIAO_1, incarnation="0000000f"))
    )
    scene.told()

    assert begun is not None
    assert (begun.rebuild, begun.clone_from) == (begun.incarnation, SHIQIAO_2)
    assert "41 %" in told
    assert scene.request(asked).state == "done"
    assert scene.step("sync_set_pending").sync.target.members != scene.now.sync.current.members


def test_a_member_that_is_gone_leaves_the_sync_set_and_then_the_cluster() -> None:
    """A failover needs it neither before nor after (I4)."""
    scene = scene_of()
    scene.gone(SHIQIAO_1)
    streams(scene, SANDUN_2, SHIQIAO_2)
    asked = scene.ask(Remove(uid=SHIQIAO_1))
    scene.told()
    scene.step("sync_set_pending")
    report = scene.keepers[SANDUN_1]
    assert report.sync is not None
    scene.report(SANDUN_1, sync=report.sync.changed(applied=scene.now.sync.target.id))
    scene.step("sync_set_current")

    assert scene.step("removed").member(SHIQIAO_1) is None
    assert scene.request(asked).state == "done"


def test_a_reload_is_done_when_all_who_run_have_said_so() -> None:
    """Who does not run reads its files when it starts."""
    scene = scene_of()
    scene.down(SHIQIAO_2)
    streams(scene, SANDUN_2, SHIQIAO_1)
    asked = scene.ask(Reload())
    number = scene.step("reload").reload
    for uid in (SANDUN_1, SANDUN_2):
        scene.report(uid, reloaded=number)
    scene.told()
    waiting = scene.request(asked).progress[-1].text
    scene.report(SHIQIAO_1, reloaded=number)
    scene.told()

    assert waiting == f"waiting for {SHIQIAO_1}"
    assert scene.request(asked).result == f"reloaded: {SANDUN_1}, {SANDUN_2}, {SHIQIAO_1}"


ONE_ACKNOWLEDGES = running_view(sync=SyncState(current=sync_set(15, 1, SHIQIAO_1)))


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        (Restart(uids=("nobody",)), "its members are"),
        (Restart(uids=(SHIQIAO_2,)), "no live report"),
        (Reinit(uid="nobody"), "its members are"),
        (Reinit(uid=SANDUN_1), "is the primary"),
        (Reinit(uid=SHIQIAO_1), "too few others could"),
        (Reinit(uid=SHIQIAO_2), "no live report"),
        (Reinit(uid=SANDUN_2, source="nobody"), "--from"),
        (Reinit(uid=SANDUN_2, source=SANDUN_2), "from itself"),
        (Reinit(uid=SANDUN_2, source=SHIQIAO_2), "does not stream"),
        (Remove(uid=SANDUN_1), "is the primary"),
        (Remove(uid=SANDUN_2), "stop it first"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused_with_the_reason(operation: AnyOperation, says: str) -> None:
    """And nothing changes."""
    scene = scene_of(view=ONE_ACKNOWLEDGES)
    scene.gone(SHIQIAO_2)
    streams(scene, SANDUN_2, SHIQIAO_1)
    asked = scene.ask(operation)
    scene.told()

    assert scene.request(asked).state == "failed"
    assert says in scene.request(asked).result


@pytest.mark.parametrize("operation", [Restart(), Reinit(uid=SANDUN_2), Remove(uid=SANDUN_2)], ids=str)
def test_nothing_of_this_begins_during_a_failover(operation: AnyOperation) -> None:
    """The answer is to ask again, not to wait for who knows what."""
    scene = scene_of(view=promoting_view())
    scene.report(SANDUN_1, sync=None)
    asked = scene.ask(operation)
    scene.told()

    assert "the cluster is promoting" in scene.request(asked).result
