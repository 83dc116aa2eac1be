"""The order of the questions, and the reasons that come with every answer."""

from __future__ import annotations

from common.model.reasons import Reason
from common.model.reports import SyncReport
from common.model.spec import ClusterSpec
from common.model.view import SyncState
from sentinel.decide import conditions
from sentinel.decide.conditions import current_conditions
from tests.support.builders import (
    SANDUN_1,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    life,
    promoting_view,
    running_view,
    sealing_view,
    sync_set,
)
from tests.support.healthy import TERM


def test_a_healthy_cluster_is_left_alone() -> None:
    """No change, and nothing to say."""
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


def test_conditions_name_the_phase_by_its_term() -> None:
    """So that a later phase of the same name starts anew."""
    assert conditions.sealing(TERM + 1) in current_conditions(Scene(view=sealing_view()).observed())
    assert conditions.promoting(TERM) in current_conditions(Scene(view=promoting_view()).observed())
    assert current_conditions(Scene().observed()) == frozenset()
    assert current_conditions(Scene(view=None).observed()) == frozenset()


def test_only_the_primarys_own_evidence_says_that_a_standby_does_not_stream() -> None:
    """Without the primary's word nothing is known about its standbys."""
    scene = Scene()
    scene.report(SANDUN_1, standbys=())
    known = current_conditions(scene.observed())
    scene.gone(SANDUN_1)

    assert known == {
        conditions.not_streaming(life(SHIQIAO_1)),
        conditions.not_streaming(life(SHIQIAO_2)),
        conditions.TOO_FEW,
        conditions.COMMITS_WAIT,
    }
    assert current_conditions(scene.observed()) == {conditions.keeper_gone(SANDUN_1)}


def test_too_few_means_fewer_than_durability_allows_and_asks_for() -> None:
    """One of the other site is too few for two acknowledgements."""
    scene = Scene(spec=ClusterSpec.model_validate({"durability": {"acks": 3}}))

    assert conditions.TOO_FEW in current_conditions(scene.observed())
