"""The evidence on a primary: what counts as down, as lost, and as neither."""

from __future__ import annotations

import pytest

from common.model.view import SyncState
from sentinel.decide.detection import DEAD_STATES, judge_primary
from tests.support.builders import (
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    empty_keeper,
    hears,
    promoting_view,
    sealing_view,
    sync_set,
)

STANDBYS = (SANDUN_2, SHIQIAO_1, SHIQIAO_2)


def kind(scene: Scene) -> str:
    return judge_primary(scene.observed()).kind


def without_keeper(*, reached: bool | None = False, deaf: tuple[str, ...] = ()) -> Scene:
    """The primary's keeper has no live report; some standbys neither reach nor hear the primary."""
    scene = Scene(reaches_primary=reached)
    scene.gone(SANDUN_1)
    for uid in deaf:
        scene.report(uid, upstream=hears(SANDUN_1, reachable=False, receiving=False))
    return scene


def test_a_primary_that_runs_is_well() -> None:
    """And no reason is given."""
    verdict = judge_primary(Scene().observed())

    assert (verdict.kind, verdict.reason) == ("well", None)


@pytest.mark.parametrize("state", sorted(DEAD_STATES | {"stopped"}))
def test_a_live_keeper_that_says_no_process_is_left_makes_it_down(state: str) -> None:
    """At once, without any probe."""
    scene = Scene(reaches_primary=None)
    scene.down(SANDUN_1, state)

    assert kind(scene) == "down"


@pytest.mark.parametrize("state", ["starting", "running", "stopping"])
def test_a_primary_with_processes_is_not_down(state: str) -> None:
    """Whatever this sentinel's probe says: its keeper lives and knows better."""
    scene = Scene(reaches_primary=False)
    scene.report(SANDUN_1, state=state)

    assert kind(scene) == "well"


def test_a_named_primary_that_has_not_started_yet_is_not_down() -> None:
    """The first primary of a cluster is stopped, and a candidate is still a standby, before the route."""
    scene = Scene(view=promoting_view())
    verdicts = []
    for state, role in (("stopped", None), ("running", "standby")):
        scene.report(SANDUN_1, state=state, role=role)
        verdicts.append(kind(scene))

    assert verdicts == ["well", "well"]


def test_a_routed_primary_that_runs_in_recovery_is_down() -> None:
    """It takes no writes any more, and no process of the old server is left."""
    scene = Scene()
    scene.report(SANDUN_1, role="standby")

    assert kind(scene) == "down"
    assert judge_primary(scene.observed()).reason.code == "primary_in_recovery"  # type: ignore[union-attr]


def test_another_life_of_the_directory_is_not_the_primary() -> None:
    """A restored snapshot or a new directory under the primary's uid: its data are gone."""
    scene = Scene()
    scene.report(SANDUN_1, incarnation="000000ff")

    assert kind(scene) == "down"
    assert judge_primary(scene.observed()).reason.code == "primary_data_gone"  # type: ignore[union-attr]


def test_a_primary_that_hangs_by_its_keepers_word_is_hung() -> None:
    """The reason says what hangs, and since when."""
    scene = Scene()
    scene.report(SANDUN_1, hanging="SELECT 1, begun at 10:00:00 UTC, has not ended")
    reason = judge_primary(scene.observed()).reason

    assert kind(scene) == "hung"
    assert reason is not None
    assert "begun at 10:00:00 UTC" in reason.text


@pytest.mark.parametrize("state", ["starting", "stopping"])
def test_only_a_running_primary_can_be_hung(state: str) -> None:
    """One that starts may take its time for recovery."""
    scene = Scene()
    scene.report(SANDUN_1, state=state, hanging="SELECT 1 has not ended")

    assert kind(scene) == "well"


def test_a_standby_that_hangs_is_not_the_primarys_fault() -> None:
    """Nothing is decided for it."""
    scene = Scene()
    scene.report(SHIQIAO_1, hanging="SELECT 1 has not ended")

    assert kind(scene) == "well"


def test_nobody_is_judged_while_nobody_is_named() -> None:
    """While sealing there is no primary."""
    assert kind(Scene(view=sealing_view())) == "unclear"


EVIDENCE = {
    # who probes what: (own probe, standbys that neither reach nor hear the primary) -> verdict
    "the sentinel reaches it": (True, STANDBYS, "unclear"),
    "the sentinel has not probed yet": (None, STANDBYS, "unclear"),
    "nobody else misses it": (False, (), "unclear"),
    "one standby that does not count misses it": (False, (SANDUN_2,), "unclear"),
    "one of two members still hears it": (False, (SHIQIAO_1,), "unclear"),
    "a majority of the standbys misses it": (False, (SANDUN_2, SHIQIAO_1), "lost"),
    "no member of the sync set hears it": (False, (SHIQIAO_1, SHIQIAO_2), "lost"),
    "nobody reaches it": (False, STANDBYS, "lost"),
}


@pytest.mark.parametrize("case", EVIDENCE)
def test_a_lost_lease_alone_is_no_failover(case: str) -> None:
    """Lost needs the lease, the sentinel's own probe, and the standbys' word."""
    reached, deaf, expected = EVIDENCE[case]

    assert kind(without_keeper(reached=reached, deaf=deaf)) == expected


def test_a_primary_that_serves_without_its_keeper_is_a_warning() -> None:
    """Operators are told which keeper to start; clients notice nothing."""
    reason = judge_primary(without_keeper(reached=True).observed()).reason

    assert reason is not None
    assert (reason.code, reason.severity, reason.subject) == ("keeper_lost", "warning", SANDUN_1)


def test_members_that_are_reached_but_do_not_hear_leave_it_lost() -> None:
    """Fewer than k hear WAL from it, so it acknowledges nothing whatever port still answers."""
    scene = without_keeper()
    for uid in (SHIQIAO_1, SHIQIAO_2):
        scene.report(uid, upstream=hears(SANDUN_1, reachable=True, receiving=False))

    assert kind(scene) == "lost"


def test_a_receiver_that_hears_counts_as_an_answer() -> None:
    """Also where a probe by a new connection fails, as on a server without free slots."""
    scene = without_keeper()
    for uid in STANDBYS:
        scene.report(uid, upstream=hears(SANDUN_1, reachable=False, receiving=True))

    assert kind(scene) == "unclear"


def test_hearing_it_in_an_older_term_is_not_hearing() -> None:
    """A flush counts only by the name of this term."""
    scene = without_keeper()
    for uid in STANDBYS:
        scene.report(uid, upstream=hears(SANDUN_1, receiving=True, term=3))

    assert kind(scene) == "lost"


def test_k_members_must_hear_it_in_every_set_in_force() -> None:
    """A change under way that cannot be acknowledged leaves commits waiting."""
    scene = without_keeper(deaf=(SANDUN_2,))
    now = scene.now.sync
    served = kind(scene)
    scene.view = scene.now.changed(sync=SyncState(current=now.current, pending=(sync_set(20, 1, SANDUN_2),)))

    assert (served, kind(scene)) == ("unclear", "lost")


def test_a_majority_counts_all_standbys_with_live_reports() -> None:
    """One that knows nothing of the primary, such as one that is being cloned, does not miss it."""
    scene = without_keeper(deaf=(SANDUN_2, SHIQIAO_2))
    of_three = kind(scene)
    scene.keepers["sandun-3"] = empty_keeper(SANDUN_2).changed(uid="sandun-3", upstream=None)
    third = scene.now.members[1].changed(uid="sandun-3", incarnation=None)
    scene.view = scene.now.changed(members=(*scene.now.members, third))

    assert (of_three, kind(scene)) == ("lost", "unclear")


def test_without_any_standby_nothing_is_concluded() -> None:
    """A sentinel alone in its corner cannot tell its own isolation from the primary's death."""
    scene = without_keeper()
    scene.gone(*STANDBYS)

    assert kind(scene) == "unclear"
    assert judge_primary(scene.observed()).reason.code == "primary_unreachable"  # type: ignore[union-attr]


def test_the_word_of_those_who_follow_somebody_else_does_not_count() -> None:
    """Evidence about another primary says nothing about this one."""
    scene = without_keeper(deaf=STANDBYS)
    for uid in STANDBYS:
        scene.report(uid, upstream=hears(SHIQIAO_2, reachable=False, receiving=False))

    assert kind(scene) == "unclear"
