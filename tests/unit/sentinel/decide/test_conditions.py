"""The conditions whose duration decides."""

from __future__ import annotations

import pytest

from common.model.spec import ClusterSpec
from common.model.view import SyncState
from sentinel.decide import conditions
from sentinel.decide.conditions import current_conditions
from tests.support.builders import (
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    empty_keeper,
    life,
    promoting_view,
    running_view,
    sealing_view,
    seen,
    sync_set,
)
from tests.support.healthy import TERM, UIDS


def of(scene: Scene) -> frozenset[str]:
    return current_conditions(scene.observed())


def test_a_healthy_cluster_holds_no_condition() -> None:
    """Nothing grows old in it, nor in a store without a view."""
    assert of(Scene()) == frozenset()
    assert of(Scene(view=None)) == frozenset()


def test_a_phase_is_named_by_its_term() -> None:
    """So that a later phase of the same name starts anew."""
    assert conditions.sealing(TERM + 1) in of(Scene(view=sealing_view()))
    assert conditions.promoting(TERM) in of(Scene(view=promoting_view()))


def test_the_beginning_is_named_by_who_is_asked() -> None:
    """The next one has its full time."""
    scene = Scene(view=None, keepers={SHIQIAO_1: empty_keeper(SHIQIAO_1)})
    scene.step("initializing")

    assert of(scene) == {conditions.initializing(SHIQIAO_1)}


def test_only_the_primarys_own_evidence_says_that_a_standby_does_not_stream() -> None:
    """Without the primary's word nothing is known about its standbys."""
    scene = Scene()
    scene.report(SANDUN_1, standbys=())
    known = of(scene)
    scene.gone(SANDUN_1)

    assert known == {
        conditions.not_streaming(life(SHIQIAO_1)),
        conditions.not_streaming(life(SHIQIAO_2)),
        conditions.TOO_FEW,
        conditions.COMMITS_WAIT,
        *(conditions.apart(uid) for uid in UIDS if uid != SANDUN_1),
    }
    assert of(scene) == {conditions.keeper_gone(SANDUN_1)}


def test_what_the_primary_does_not_see_is_a_condition_of_each_set_in_force() -> None:
    """By the life that the set counts, and in this term; who has a live keeper is another question."""
    pending = sync_set(16, 2, SHIQIAO_1, SHIQIAO_2)
    scene = Scene(view=running_view(sync=SyncState(current=sync_set(15, 1, SHIQIAO_1), pending=(pending,))))
    scene.report(SANDUN_1, standbys=(seen(SHIQIAO_1), seen(SHIQIAO_2, term=TERM - 1)))
    scene.gone(SHIQIAO_1)

    assert of(scene) == {
        conditions.keeper_gone(SHIQIAO_1),
        conditions.not_streaming(life(SHIQIAO_2)),
        conditions.pending(16),
        conditions.COMMITS_WAIT,
        conditions.apart(SANDUN_2),
        conditions.apart(SHIQIAO_2),
    }


def test_a_member_that_streams_but_is_behind_counts_as_one_that_does_not() -> None:
    """Commits wait for it just as long."""
    scene = Scene()
    scene.report(SANDUN_1, standbys=(seen(SHIQIAO_1), seen(SHIQIAO_2, caught_up=False)))

    assert of(scene) == {
        conditions.not_streaming(life(SHIQIAO_2)),
        conditions.apart(SANDUN_2),
        conditions.apart(SHIQIAO_2),
    }


def test_too_few_means_fewer_than_durability_allows_and_asks_for() -> None:
    """One of the other site is too few for two acknowledgements."""
    scene = Scene(spec=ClusterSpec.model_validate({"durability": {"acks": 3}}))

    assert conditions.TOO_FEW in of(scene)


@pytest.mark.parametrize(
    ("condition", "outlasts"),
    [
        (conditions.keeper_gone(SHIQIAO_1), True),
        (conditions.not_streaming(life(SHIQIAO_1)), False),
        (conditions.sealing(TERM), False),
        (conditions.promoting(TERM), False),
        (conditions.initializing(SHIQIAO_1), False),
        (conditions.pending(16), False),
        (conditions.apart(SHIQIAO_1), False),
        (conditions.starved(life(SHIQIAO_1)), False),
        (conditions.TOO_FEW, False),
        (conditions.COMMITS_WAIT, False),
    ],
)
def test_only_what_takes_days_outlasts_a_time_in_which_nobody_saw_the_cluster(
    condition: str, outlasts: bool
) -> None:
    """All else has to be seen for its full time again."""
    assert conditions.outlasts_gaps(condition) is outlasts
