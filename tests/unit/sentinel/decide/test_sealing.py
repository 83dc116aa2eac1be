"""Step 1: when a term is given up, and what counts as a seal."""

from __future__ import annotations

from typing import Any

import pytest

from common.model.view import SyncState
from sentinel.decide.sealing import is_sealed, missing_for, standbys_suffice
from tests.support.builders import (
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    hears,
    life,
    promoting_view,
    sealing_view,
    sync_set,
)
from tests.support.healthy import TERM


def test_a_primary_that_is_down_ends_the_term() -> None:
    """Term and generation grow by one, the route goes, the old primary and the sets are remembered."""
    scene = Scene()
    before = scene.now
    scene.down(SANDUN_1)
    view = scene.step("sealing")

    assert (view.generation, view.term, view.phase) == (before.generation + 1, TERM + 1, "sealing")
    assert (view.primary, view.old_primary, view.route) == (None, before.primary, None)
    assert (view.sync, view.floor, view.lineage) == (before.sync, before.floor, before.lineage)
    assert not view.old_primary_may_start


def test_a_candidate_that_dies_before_the_route_ends_the_term_too() -> None:
    """What was only for the time before the route does not outlive the term."""
    scene = Scene(view=promoting_view(rebuild_beside=True))
    scene.down(SANDUN_1)
    view = scene.step("sealing")

    assert view.term == TERM + 1
    assert not view.rebuild_beside


def test_a_lost_primary_ends_the_term() -> None:
    """The event names the reason."""
    scene = Scene(reaches_primary=False)
    scene.gone(SANDUN_1)
    for uid in (SANDUN_2, SHIQIAO_1, SHIQIAO_2):
        scene.report(uid, upstream=hears(SANDUN_1, reachable=False, receiving=False))
    change = scene.decide().change

    assert change is not None
    assert (change.kind, change.reason, change.old_primary) == ("sealing", "primary_lost", SANDUN_1)


def test_too_few_standbys_and_no_old_primary_leave_the_term_alone() -> None:
    """Giving the route up would help nobody; the reason names who is missing and what to do."""
    scene = Scene(reaches_primary=False)
    scene.gone(SANDUN_1, SHIQIAO_1)
    for uid in (SANDUN_2, SHIQIAO_2):
        scene.report(uid, upstream=hears(SANDUN_1, reachable=False, receiving=False))

    assert {"primary_lost", "too_few_to_seal"} <= scene.waits()
    (reason,) = (r for r in scene.decide().reasons if r.code == "too_few_to_seal")
    assert SHIQIAO_1 in reason.text
    assert SHIQIAO_2 not in reason.text
    assert SANDUN_1 in reason.text
    assert reason.fix


def test_too_few_standbys_but_a_live_old_primary_let_it_seal_at_once() -> None:
    """It has every commit, so it is a quorum by itself and need not wait for the others."""
    scene = Scene()
    scene.gone(SHIQIAO_1)
    scene.down(SANDUN_1)

    assert scene.step("sealing").old_primary_may_start


def test_an_old_primary_whose_data_are_gone_is_no_quorum() -> None:
    """Its keeper lives, but not the directory that held every commit."""
    scene = Scene()
    scene.gone(SHIQIAO_1)
    scene.report(SANDUN_1, incarnation="000000ff", state="no_data", role=None)

    assert "too_few_to_seal" in scene.waits()


@pytest.mark.parametrize("state", ["no_data", "cloning", "rewinding", "initializing", "failed"])
def test_members_without_whole_data_cannot_seal(state: str) -> None:
    """A live keeper is not enough: one of two members that must both seal is being built."""
    scene = Scene()
    scene.report(SHIQIAO_1, state=state, role=None)

    assert not standbys_suffice(scene.observed(), scene.now, scene.now.primary)


def test_another_life_of_a_member_cannot_seal_for_it() -> None:
    """A set counts incarnations: a clone made since may lack what its earlier life acknowledged."""
    scene = Scene()
    scene.report(SHIQIAO_1, incarnation="000000ff")

    assert not standbys_suffice(scene.observed(), scene.now, scene.now.primary)


def test_every_pending_set_must_be_satisfiable_too() -> None:
    """A commit may have been acknowledged under any of them."""
    scene = Scene()
    scene.gone(SANDUN_2)
    before = standbys_suffice(scene.observed(), scene.now, scene.now.primary)
    pending = (sync_set(20, 1, SANDUN_2),)
    scene.view = scene.now.changed(sync=SyncState(current=scene.now.sync.current, pending=pending))

    assert before
    assert not standbys_suffice(scene.observed(), scene.now, scene.now.primary)


def test_a_set_that_asks_for_no_seal_still_needs_one_live_standby() -> None:
    """Nobody can be promoted where nobody is left."""
    scene = Scene()
    scene.view = scene.now.changed(sync=SyncState(current=sync_set(15, 1)))
    with_standbys = standbys_suffice(scene.observed(), scene.now, scene.now.primary)
    scene.gone(SANDUN_2, SHIQIAO_1, SHIQIAO_2)

    assert with_standbys
    assert not standbys_suffice(scene.observed(), scene.now, scene.now.primary)


@pytest.mark.parametrize(
    ("k", "members", "sealed", "missing"),
    [
        (1, 2, 0, 2),
        (1, 2, 1, 1),
        (1, 2, 2, 0),
        (2, 3, 1, 1),
        (2, 3, 2, 0),
        (2, 2, 0, 1),
        (2, 2, 1, 0),
        (2, 1, 0, 0),
        (1, 0, 0, 0),
    ],
)
def test_so_many_of_a_set_must_seal(k: int, members: int, sealed: int, missing: int) -> None:
    """|S| - k + 1 of them, and none where fewer than k are members at all."""
    uids = (SANDUN_2, SHIQIAO_1, SHIQIAO_2)[:members]

    assert missing_for(sync_set(1, k, *uids), frozenset(map(life, uids[:sealed]))) == missing


def test_members_of_another_set_do_not_make_up_for_the_missing() -> None:
    """Only a set's own members can have acknowledged under it."""
    assert missing_for(sync_set(1, 1, SHIQIAO_1), frozenset({life(SHIQIAO_2)})) == 1


def sealed_standby() -> Scene:
    scene = Scene(view=sealing_view())
    scene.seals(SHIQIAO_1, 5)
    return scene


def test_the_report_of_a_sealed_standby_is_a_seal() -> None:
    """By the life that the view knows, in recovery, for this term."""
    scene = sealed_standby()

    assert is_sealed(scene.observed(), scene.keepers[SHIQIAO_1])


@pytest.mark.parametrize(
    "fields",
    [
        {"sealed_term": TERM},
        {"seal": None},
        {"incarnation": "000000ff"},
        {"incarnation": None},
        {"system_identifier": "1"},
        {"role": "primary"},
        {"state": "down", "role": None},
        {"state": "starting"},
    ],
    ids=str,
)
def test_anything_less_is_no_seal(fields: dict[str, Any]) -> None:
    """One wrong field is enough."""
    scene = sealed_standby()
    scene.report(SHIQIAO_1, **fields)

    assert not is_sealed(scene.observed(), scene.keepers[SHIQIAO_1])


@pytest.mark.parametrize("term", [TERM, TERM + 2])
def test_a_seal_of_another_term_is_no_seal(term: int) -> None:
    """Its position was final under another view."""
    scene = sealed_standby()
    seal = scene.keepers[SHIQIAO_1].seal
    assert seal is not None
    scene.report(SHIQIAO_1, seal=seal.changed(term=term))

    assert not is_sealed(scene.observed(), scene.keepers[SHIQIAO_1])


def test_the_seal_of_a_stranger_is_no_seal() -> None:
    """Only members count."""
    scene = sealed_standby()
    members = tuple(m for m in scene.now.members if m.uid != SHIQIAO_1)
    scene.view = scene.now.changed(members=members)

    assert not is_sealed(scene.observed(), scene.keepers[SHIQIAO_1])
