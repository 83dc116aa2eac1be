"""The order of the questions, and the reasons that come with every answer."""

from __future__ import annotations

from common.model.reasons import Reason
from common.model.reports import SyncReport
from common.model.view import SyncState
from tests.support.builders import (
    SANDUN_1,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    promoting_view,
    running_view,
    sync_set,
)
from tests.support.healthy import TERM


def test_a_healthy_cluster_is_left_alone() -> None:
    """No change, and nothing to say; the standby of the primary's own site streams, and is not let in."""
    assert Scene().waits() == set()


def test_a_dead_primary_goes_before_everything_else() -> None:
    """Also where the sync set and the members want a change."""
    scene = Scene(view=running_view(sync=SyncState(current=sync_set(15, 1, SHIQIAO_1))))
    scene.report(SHIQIAO_2, port=25000)
    before = scene.decide().change
    scene.down(SANDUN_1)

    assert before is not None
    assert before.kind == "sync_set_pending"
    scene.step("sealing")


def test_one_change_at_a_time_most_urgent_first() -> None:
    """Route, then sync set, then members, each made from the view that the one before has left."""
    scene = Scene(view=promoting_view(sync=SyncState(current=sync_set(15, 1, SHIQIAO_1))))
    scene.report(SHIQIAO_1, port=25000)
    generation = scene.now.generation
    kinds = ["route_set", "sync_set_pending", "sync_set_current", "membership"]
    for kind in kinds:
        if kind == "sync_set_current":
            applied = scene.now.sync.target.id
            scene.report(SANDUN_1, sync=SyncReport(term=TERM, applied=applied, confirmed=(applied,)))
        scene.step(kind)

    assert scene.now.generation == generation + len(kinds)
    assert scene.waits() == set()


def test_reasons_are_given_beside_a_change_worst_first_and_once() -> None:
    """What keepers say themselves included."""
    scene = Scene()
    said = Reason(code="disk_slow", severity="info", text="slow")
    for uid in (SANDUN_1, SHIQIAO_1):
        scene.report(uid, reasons=(said,))
    scene.gone(SHIQIAO_2)
    scene.down(SANDUN_1)
    decision = scene.decide()

    assert [reason.code for reason in decision.reasons][-2:] == ["keeper_missing", "disk_slow"]
    assert [reason.severity for reason in decision.reasons][:-2] == ["critical"] * (len(decision.reasons) - 2)
    assert len(decision.reasons) > 2
