"""Steps 3 and 4: what naming a primary writes, naming it again, and the route."""

from __future__ import annotations

from typing import Any

import pytest

from common.model.spec import ClusterSpec
from common.model.view import SyncState
from sentinel.decide.failover import name_again
from tests.support.builders import (
    FORK,
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    at,
    keeper,
    life,
    sealing_view,
    sync_set,
)
from tests.support.healthy import TERM


def sealed(*uids: str, end: int = 5, durability: dict[str, Any] | None = None, **fields: Any) -> Scene:
    """The primary is down and these have sealed."""
    scene = Scene(view=sealing_view(**fields))
    scene.down(SANDUN_1)
    scene.spec = ClusterSpec.model_validate({"durability": durability or {}})
    for uid in uids:
        scene.seals(uid, end)
    return scene


def test_one_write_names_the_primary_with_all_that_follows_from_it() -> None:
    """Primary, timeline, fork, lineage, sync set and floor; still without a route."""
    scene = sealed(SHIQIAO_1, SHIQIAO_2, SANDUN_2)
    scene.gone(SANDUN_1)
    before = scene.now
    scene.seals(SANDUN_2, 4)
    view = scene.step("primary_named")

    assert (view.generation, view.term, view.phase) == (before.generation + 1, before.term, "promoting")
    assert view.primary is not None
    assert (view.primary.uid, view.primary.timeline, view.primary.fork) == (SHIQIAO_1, 3, at(5))
    assert [(e.timeline, e.fork) for e in view.lineage] == [(1, at(0)), (2, at(FORK)), (3, at(5))]
    assert (view.lineage[-1].term, view.lineage[-1].incarnation) == (view.term, life(SHIQIAO_1).incarnation)
    assert view.floor == at(5)
    assert (view.route, view.old_primary, view.old_primary_may_start) == (None, None, False)
    assert view.sync == SyncState(current=sync_set(view.generation, 1, SANDUN_2))


def test_the_timeline_is_greater_than_all_that_was_ever_seen() -> None:
    """By a view or in a report, of this system only: no two promotions may share a number."""
    numbers = []
    for seen in (
        {},
        {"timeline": 5},
        {"greatest_timeline": 7},
        {"greatest_timeline": 7, "system_identifier": "1"},
    ):
        scene = sealed(SHIQIAO_1, SHIQIAO_2)
        scene.report(SANDUN_2, **seen)
        numbers.append(scene.step("primary_named").greatest_timeline)
    scene = sealed(SHIQIAO_1, SHIQIAO_2, greatest_timeline=9)
    numbers.append(scene.step("primary_named").greatest_timeline)

    assert numbers == [3, 6, 8, 3, 10]


def test_the_lineage_is_the_history_of_the_one_that_is_named() -> None:
    """A promotion that it has not gone through goes, as it never bore anything acknowledged."""
    scene = sealed(floor=at(2), sync=SyncState(current=sync_set(15, 1, SHIQIAO_1)))
    scene.seals(SHIQIAO_1, 3, path=(), on=1)
    view = scene.step("primary_named")

    assert [(e.timeline, e.fork) for e in view.lineage] == [(1, at(0)), (3, at(3))]


def test_the_floor_never_falls() -> None:
    """It is the further of what was needed now and what it was."""
    scene = sealed(SHIQIAO_1, SHIQIAO_2, end=7, floor=at(6))
    scene.view = scene.now.changed(sync=SyncState(current=sync_set(15, 1)))

    assert scene.step("primary_named").floor == at(6)


SETS: dict[str, tuple[tuple[str, ...], dict[str, Any], set[str], int]] = {
    # who sealed besides both of shiqiao (sandun-2 is promoted where it did), durability -> members, k
    "site: the other site acknowledges": ((SANDUN_2,), {}, {SHIQIAO_1, SHIQIAO_2}, 1),
    "site degrades to the same site": ((), {}, {SHIQIAO_2}, 1),
    "site and strict waits instead": ((), {"mode": "strict"}, set(), 1),
    "node takes all": ((SANDUN_2,), {"survive": "node"}, {SHIQIAO_1, SHIQIAO_2}, 1),
    "node takes the same site": ((), {"survive": "node", "mode": "strict"}, {SHIQIAO_2}, 1),
    "two, and there are two": ((SANDUN_2,), {"acks": 2}, {SHIQIAO_1, SHIQIAO_2}, 2),
    "two, and there is one": ((), {"acks": 2}, {SHIQIAO_2}, 1),
    "strict never lowers k": ((), {"acks": 2, "mode": "strict", "survive": "node"}, {SHIQIAO_2}, 2),
}


@pytest.mark.parametrize("case", SETS)
def test_the_first_sync_set_is_made_of_the_sealed_as_durability_says(case: str) -> None:
    """Never of the dead: those who have not sealed may be it."""
    others, durability, expected, k = SETS[case]
    scene = sealed(SHIQIAO_1, SHIQIAO_2, *others, durability=durability)
    current = scene.step("primary_named").sync.current

    assert ({member.uid for member in current.members}, current.k) == (expected, k)


def test_a_sealed_member_past_the_fork_does_not_acknowledge() -> None:
    """It must be rewound first, which is a new life."""
    scene = sealed(SHIQIAO_1, SHIQIAO_2, SANDUN_1)
    scene.seals(SANDUN_1, 9)
    scene.spec = ClusterSpec.model_validate({"durability": {"survive": "node"}})
    current = scene.step("primary_named").sync.current

    assert current.members == {life(SHIQIAO_2)}


def well_after_all(scene: Scene, **fields: Any) -> None:
    """The old primary reports that it serves, having seen the sealing view."""
    scene.keepers[SANDUN_1] = keeper(SANDUN_1, **{"generation": scene.now.generation} | fields)


def test_an_old_primary_that_is_well_is_named_again() -> None:
    """In the new term, on its timeline, with sets, floor and lineage unchanged."""
    pending = (sync_set(16, 1, SHIQIAO_2),)
    scene = sealed(sync=SyncState(current=sync_set(15, 1, SHIQIAO_1), pending=pending))
    before = scene.now
    well_after_all(scene)
    view = scene.step("primary_named_again")

    assert (view.term, view.phase, view.primary) == (before.term, "promoting", before.old_primary)
    assert (view.sync, view.floor, view.lineage) == (before.sync, before.floor, before.lineage)
    assert (view.old_primary, view.greatest_timeline) == (None, before.greatest_timeline)


@pytest.mark.parametrize(
    "fields",
    [
        {"generation": 1},
        {"sealed_term": TERM + 1},
        {"incarnation": "000000ff"},
        {"role": "standby"},
        {"state": "starting"},
        {"timeline": 3},
        {"promotion": None},
        {"system_identifier": "1"},
        {"hanging": "SELECT 1 has not ended"},
    ],
    ids=str,
)
def test_one_that_is_not_the_same_primary_or_speaks_of_the_past_is_not(fields: dict[str, Any]) -> None:
    """A report from before the sealing view proves nothing; a seal is a promise."""
    scene = sealed()
    well_after_all(scene, **fields)

    assert name_again(scene.observed(), scene.now) is None
