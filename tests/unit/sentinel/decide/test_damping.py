"""Failovers in a row, because a primary hangs or goes down: each waits longer, at last for ever."""

from __future__ import annotations

import pytest

from common.model.spec import ClusterSpec
from common.model.view import ClusterView, SyncMember, SyncSet, SyncState
from sentinel.decide import conditions
from sentinel.decide.conditions import current_conditions
from sentinel.decide.damping import PAUSES_S
from tests.support.builders import (
    SANDUN_1,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    change_of,
    hears,
    promoting_view,
    running_view,
)
from tests.support.healthy import INCARNATIONS, TERM


def went_down(damped: int, **fields: object) -> Scene:
    """The primary is down, after so many failovers of the kind in a row."""
    scene = Scene(view=running_view(damped=damped))
    scene.down(SANDUN_1)
    scene.report(SANDUN_1, **fields)
    return scene


@pytest.mark.parametrize("damped", [0, 1])
def test_the_first_failovers_wait_for_nothing(damped: int) -> None:
    """And are counted."""
    scene = went_down(damped)

    assert scene.step("sealing").damped == damped + 1


@pytest.mark.parametrize("damped", range(2, len(PAUSES_S)))
def test_each_further_one_waits_until_the_term_has_lasted_longer(damped: int) -> None:
    """The reason says how long, why, and what lets it go on at once."""
    scene = went_down(damped)
    scene.holds(conditions.named(TERM), PAUSES_S[damped] - 0.1)
    waits = scene.waits()
    reason = next(each for each in scene.decide().reasons if each.code == "failover_held_back")
    scene.holds(conditions.named(TERM), PAUSES_S[damped])

    assert {"failover_held_back", "primary_down"} <= waits
    assert f"{damped} failovers in a row" in reason.text
    assert "pgha failover --continue" in reason.fix
    assert scene.step("sealing").damped == damped + 1


def test_pauses_grow() -> None:
    """Otherwise the next one would come sooner than the last."""
    assert list(PAUSES_S) == sorted(PAUSES_S)


def test_after_the_last_pause_nobody_takes_over_by_itself() -> None:
    """However long the term has lasted."""
    scene = went_down(len(PAUSES_S))
    scene.holds(conditions.named(TERM), 1e6)

    assert "failovers_stopped" in scene.waits()


def test_a_hung_primary_is_damped_like_one_that_went_down() -> None:
    """Whatever hangs it may hang the next one too."""
    scene = Scene(view=running_view(damped=2))
    scene.report(SANDUN_1, hanging="SELECT 1 has not ended")
    waits = scene.waits()
    scene.holds(conditions.named(TERM), PAUSES_S[2])

    assert {"failover_held_back", "primary_hung"} <= waits
    assert scene.step("sealing").damped == 3


def test_a_lost_primary_is_never_held_back_nor_counted() -> None:
    """A host that is gone takes nothing with it to the next one."""
    scene = Scene(view=running_view(damped=len(PAUSES_S)), reaches_primary=False)
    scene.gone(SANDUN_1)
    for uid in (SHIQIAO_1, SHIQIAO_2):
        scene.report(uid, upstream=hears(SANDUN_1, reachable=False, receiving=False))

    assert scene.step("sealing").damped == len(PAUSES_S)


@pytest.mark.parametrize("damped", [2, len(PAUSES_S), 50])
def test_an_operator_lets_it_go_on_at_once_and_the_count_begins_anew(damped: int) -> None:
    """In the term in which the word was given."""
    scene = went_down(damped)
    scene.view = scene.now.changed(continue_in_term=TERM)

    assert scene.step("sealing").damped == 1


def test_an_operators_word_of_another_term_does_not_count() -> None:
    """It was given for what was seen then."""
    scene = went_down(len(PAUSES_S))
    scene.view = scene.now.changed(continue_in_term=TERM - 1)

    assert "failovers_stopped" in scene.waits()


@pytest.mark.parametrize("damped", [2, len(PAUSES_S) - 1, len(PAUSES_S), 50])
def test_a_full_disk_that_has_room_again_is_reason_enough_to_go_on_after_the_shortest_pause(
    damped: int,
) -> None:
    """Nobody has to say what can be seen."""
    scene = went_down(damped, room_again=True)
    waits = scene.waits()
    scene.holds(conditions.named(TERM), PAUSES_S[2])

    assert "failover_held_back" in waits
    assert scene.step("sealing").damped == damped + 1


def test_a_candidate_that_goes_down_before_it_has_a_route_is_held_back_too() -> None:
    """A full disk lets nobody even finish his promotion."""
    scene = Scene(view=promoting_view(damped=3))
    scene.down(SANDUN_1)
    waits = scene.waits()
    scene.holds(conditions.named(TERM), PAUSES_S[3])

    assert "failover_held_back" in waits
    assert scene.step("sealing").damped == 4


def test_a_primary_that_has_served_long_enough_ends_the_row() -> None:
    """One write, and only if there is anything to forget."""
    scene = Scene(view=running_view(damped=3))
    scene.holds(conditions.running(TERM), 599)
    before = scene.waits()
    scene.holds(conditions.running(TERM), 600)
    after = scene.step("calm")

    assert before == set()
    assert after.damped == 0
    assert scene.waits() == set()


def test_how_long_is_the_operators_choice() -> None:
    """``calm_after`` in the spec."""
    scene = Scene(view=running_view(damped=1))
    scene.spec = ClusterSpec.from_plain({"timings": {"calm_after": "20s"}})
    scene.holds(conditions.running(TERM), 20)

    assert scene.step("calm").damped == 0


def conditions_of(view: ClusterView) -> set[str]:
    return {
        each for each in current_conditions(Scene(view=view).observed()) if each.startswith(("named", "run"))
    }


def test_the_time_is_taken_only_while_it_matters() -> None:
    """A cluster at rest counts nothing, so that its sentinels rest, too."""
    assert conditions_of(running_view()) == set()
    assert conditions_of(running_view(damped=1)) == {conditions.named(TERM), conditions.running(TERM)}
    assert conditions_of(promoting_view(damped=1)) == {conditions.named(TERM)}


def test_a_hung_primary_with_too_few_standbys_may_seal_by_itself() -> None:
    """Once it was killed it is the quorum, if its disk lets it start."""
    scene = Scene()
    members = frozenset({SyncMember(SHIQIAO_1, INCARNATIONS[SHIQIAO_1])})
    scene.view = scene.now.changed(sync=SyncState(current=SyncSet(id=15, k=1, members=members)))
    scene.gone(SHIQIAO_1, SHIQIAO_2)
    scene.report(SANDUN_1, hanging="SELECT 1 has not ended")

    change = change_of(scene.decide())

    assert change.kind == "sealing"
    assert change.view.old_primary_may_start
