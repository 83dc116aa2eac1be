"""How a cluster begins."""

from __future__ import annotations

import pytest

from common.model.spec import ClusterSpec
from sentinel.decide import conditions
from sentinel.decide.bootstrap import INITIALIZE_TIMEOUT_S
from tests.support.builders import SANDUN_1, SANDUN_2, SHIQIAO_1, Scene, empty_keeper, keeper, promotion


def nothing_yet(*uids: str, **spec: object) -> Scene:
    """A store without a view, and keepers with empty directories."""
    scene = Scene(view=None, keepers={uid: empty_keeper(uid) for uid in uids})
    scene.spec = ClusterSpec.model_validate(spec)
    return scene


def asked(scene: Scene) -> str:
    """Who is asked to create the data."""
    primary = scene.step("initializing").primary
    assert primary is not None
    return primary.uid


def created(scene: Scene, uid: str) -> None:
    """A keeper reports that it has created the first data directory."""
    scene.keepers[uid] = keeper(uid, state="stopped", role=None, promotion=promotion(uid, 1), timeline=1)


def test_one_keeper_is_asked_to_create_the_data() -> None:
    """The first by uid, as the only member, in term 1 and without a route."""
    scene = nothing_yet(SHIQIAO_1, SANDUN_2, SANDUN_1)
    view = scene.step("initializing")

    assert (view.generation, view.term, view.phase) == (1, 1, "initializing")
    assert view.primary is not None
    assert (view.primary.uid, view.primary.incarnation, view.primary.timeline) == (SANDUN_1, None, 1)
    assert [member.uid for member in view.members] == [SANDUN_1]
    assert view.route is None


def test_nobody_acknowledges_in_a_new_cluster() -> None:
    """Its first set has no members and asks for as many as the spec does: commits wait for the others."""
    scene = nothing_yet(SANDUN_1, durability={"acks": 2})
    current = scene.step("initializing").sync.current

    assert (current.members, current.k) == (frozenset(), 2)


def test_priority_goes_before_uid_and_no_failover_comes_last() -> None:
    """Who may not be promoted creates the data only when there is nobody else."""
    members = [{"uid": SANDUN_1, "priority": 9, "no_failover": True}, {"uid": SHIQIAO_1, "priority": 1}]
    keepers = ((SANDUN_1, SANDUN_2, SHIQIAO_1), (SANDUN_1, SANDUN_2), (SANDUN_1,))

    assert [asked(nothing_yet(*uids, members=members)) for uids in keepers] == [
        SHIQIAO_1,
        SANDUN_2,
        SANDUN_1,
    ]


def test_a_keeper_whose_directory_holds_something_else_is_not_asked() -> None:
    """It could only let the time for creating the data pass."""
    scene = nothing_yet(SANDUN_1, SHIQIAO_1)
    scene.report(SANDUN_1, state="failed")

    assert asked(scene) == SHIQIAO_1


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"sites": [{"name": "shiqiao"}]}, "unknown_site"),
        ({"members": [{"uid": SANDUN_1, "site": "shiqiao"}]}, "wrong_site"),
    ],
    ids=["unknown site", "wrong site"],
)
def test_who_may_not_join_is_not_the_first_primary_either(spec: dict[str, object], code: str) -> None:
    """The next one is asked; and with nobody else the cluster waits, saying why."""
    scene = nothing_yet(SANDUN_1, SHIQIAO_1, **spec)
    decision = scene.decide()
    alone = nothing_yet(SANDUN_1, **spec)

    assert [(reason.code, reason.subject) for reason in decision.reasons] == [(code, SANDUN_1)]
    assert asked(scene) == SHIQIAO_1
    assert alone.waits() == {"no_keepers", code}


def test_who_may_not_join_replaces_nobody() -> None:
    """The one that was asked is gone, and waited for."""
    scene = nothing_yet(SHIQIAO_1, SANDUN_1, sites=[{"name": "shiqiao"}])
    scene.step("initializing")
    scene.gone(SHIQIAO_1)

    assert scene.waits() == {"initializing", "unknown_site"}


def test_without_keepers_it_says_so() -> None:
    """An operator who forgot to start keepers is told."""
    assert nothing_yet().waits() == {"no_keepers"}


def test_nothing_is_created_over_existing_data() -> None:
    """A store that lost its view must not lead to an empty cluster beside the full one."""
    scene = nothing_yet(SANDUN_1, SANDUN_2)
    scene.keepers[SHIQIAO_1] = keeper(SHIQIAO_1)
    reasons = scene.decide().reasons

    assert scene.waits() == {"data_without_view"}
    assert SHIQIAO_1 in reasons[0].text


def test_who_has_created_the_data_is_the_first_primary() -> None:
    """With its incarnation, its system identifier and a lineage of one timeline."""
    scene = nothing_yet(SANDUN_1, SHIQIAO_1)
    scene.step("initializing")
    created(scene, SANDUN_1)
    view = scene.step("primary_named")

    assert (view.generation, view.term, view.phase) == (2, 1, "promoting")
    assert view.primary is not None
    assert view.primary.incarnation == scene.keepers[SANDUN_1].incarnation
    assert view.system_identifier == scene.keepers[SANDUN_1].system_identifier
    assert [(e.term, e.timeline, e.fork, e.uid) for e in view.lineage] == [(1, 1, 0, SANDUN_1)]
    assert view.route is None


@pytest.mark.parametrize("state", ["initializing", "stopped", "running"])
def test_data_that_are_not_recorded_as_created_do_not_count(state: str) -> None:
    """Initdb leaves a system identifier long before it has ended."""
    scene = nothing_yet(SANDUN_1)
    scene.step("initializing")
    scene.keepers[SANDUN_1] = keeper(SANDUN_1, state=state, promotion=None)

    assert scene.waits() == {"initializing"}


def test_data_recorded_by_an_earlier_life_of_the_directory_do_not_count() -> None:
    """The record names the incarnation that was created."""
    scene = nothing_yet(SANDUN_1)
    scene.step("initializing")
    created(scene, SANDUN_1)
    scene.report(SANDUN_1, promotion=promotion(SANDUN_2, 1))

    assert scene.waits() == {"initializing"}


def test_a_keeper_that_goes_away_is_replaced_by_another_in_the_same_term() -> None:
    """Nothing exists yet that could be lost."""
    scene = nothing_yet(SANDUN_1, SHIQIAO_1)
    scene.step("initializing")
    scene.gone(SANDUN_1)
    view = scene.step("initializing")

    assert view.primary is not None
    assert (view.term, view.primary.uid) == (1, SHIQIAO_1)
    assert [member.uid for member in view.members] == [SHIQIAO_1]


def test_a_keeper_that_takes_too_long_is_replaced_by_another() -> None:
    """Only once its time is over."""
    scene = nothing_yet(SANDUN_1, SHIQIAO_1)
    scene.step("initializing")
    scene.holds(conditions.initializing(SANDUN_1), INITIALIZE_TIMEOUT_S - 0.1)
    before = scene.waits()
    scene.holds(conditions.initializing(SANDUN_1), INITIALIZE_TIMEOUT_S)

    assert before == {"initializing"}
    assert asked(scene) == SHIQIAO_1


def test_the_only_keeper_is_waited_for() -> None:
    """There is nobody else to ask; the reason says what to do."""
    scene = nothing_yet(SANDUN_1)
    scene.step("initializing")
    scene.gone(SANDUN_1)
    (reason,) = scene.decide().reasons

    assert scene.waits() == {"initializing"}
    assert f"start the keeper of {SANDUN_1}" in reason.fix


def test_a_latecomer_that_was_replaced_is_not_made_primary() -> None:
    """Its data are of a system that the view does not know."""
    scene = nothing_yet(SANDUN_1, SHIQIAO_1)
    scene.step("initializing")
    scene.gone(SANDUN_1)
    scene.step("initializing")
    created(scene, SANDUN_1)

    assert scene.waits() == {"initializing"}
