"""The new term of a switchover: who is named, and what if the target does not come."""

from __future__ import annotations

import pytest

from common.model.spec import ClusterSpec
from common.model.view import SyncSet, SyncState
from sentinel.decide import conditions
from sentinel.decide.switching import OTHERS_WITHIN_S
from tests.support.builders import (
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    at,
    life,
    running_view,
    sync_set,
)
from tests.support.healthy import TERM
from tests.support.switching import END, handing_over


def test_the_target_is_named_as_soon_as_it_and_an_acknowledger_have_sealed() -> None:
    """No quorum of the old set is needed: nobody is left who could acknowledge under it."""
    scene = handing_over()
    nobody = scene.waits()
    scene.seals(SHIQIAO_1, END)
    alone = scene.waits()
    scene.seals(SANDUN_2, END)
    named = scene.step("primary_named")

    assert "switchover" in nobody & alone
    assert named.sync.current.members == {life(SANDUN_2)}
    assert named.lineage[-1].fork == at(END)


def test_acknowledgers_that_do_not_come_are_not_waited_for_long() -> None:
    """Then the old primary, whose history is known, is one."""
    scene = handing_over()
    scene.seals(SHIQIAO_1, END)
    scene.holds(conditions.sealing(TERM + 1), OTHERS_WITHIN_S)
    named = scene.step("primary_named")

    assert named.sync.current == SyncSet(id=named.generation, k=1, members=frozenset({life(SANDUN_1)}))


def test_where_nobody_else_can_acknowledge_the_old_primary_is_back_at_once() -> None:
    """Two members: the old one is asked to start, and is the new set."""
    members = tuple(each for each in running_view().members if each.uid in {SANDUN_1, SHIQIAO_1})
    view = running_view(members=members, sync=SyncState(current=sync_set(15, 1, SHIQIAO_1)))
    two = {uid: report for uid, report in Scene().keepers.items() if uid in {SANDUN_1, SHIQIAO_1}}
    scene = handing_over(view=view, keepers=two)
    may_start = scene.now.old_primary_may_start
    scene.seals(SHIQIAO_1, END)

    assert may_start
    assert scene.step("primary_named").sync.current.members == {life(SANDUN_1)}
    assert not handing_over().now.old_primary_may_start


@pytest.mark.parametrize("fault", ["keeper gone", "never seals", "sealed before the record"])
def test_without_the_target_section_5_chooses(fault: str) -> None:
    """The standbys' quorum counts as ever, and their furthest takes over; the request has failed then."""
    scene = handing_over()
    if fault == "keeper gone":
        scene.gone(SHIQIAO_1)
    elif fault == "never seals":
        scene.holds(conditions.sealing(TERM + 1))
    else:
        scene.seals(SHIQIAO_1, 6)
        scene.seals(SANDUN_2, 6)
    scene.seals(SANDUN_1, END)
    scene.seals(SHIQIAO_2, END)
    scene.holds(conditions.sealing(TERM + 1))
    named = scene.step("primary_named")
    assert named.primary is not None
    scene.promoted(confirmed=True)
    scene.step("route_set")

    assert named.primary.uid == SHIQIAO_2
    assert scene.request("r-1").state == "failed"


def test_under_k_0_the_stop_replaces_the_lease() -> None:
    """Nothing waits for the end of a lease, and nothing is forsaken."""
    alone = running_view(sync=SyncState(current=sync_set(15, 0)))
    spec = ClusterSpec.from_plain({"durability": {"mode": "async"}})
    scene = handing_over(view=alone, spec=spec)
    scene.seals(SHIQIAO_1, END)
    named = scene.step("primary_named")

    assert named.primary is not None
    assert (named.primary.uid, named.forsaken, named.sync.current.k) == (SHIQIAO_1, (), 0)


def test_under_k_0_without_the_target_only_the_old_primary_will_do() -> None:
    """It alone has everything; a standby that lacks some of it is not taken while it may come."""
    alone = running_view(sync=SyncState(current=sync_set(15, 0)))
    spec = ClusterSpec.from_plain({"durability": {"mode": "async"}})
    scene = handing_over(view=alone, spec=spec)
    scene.gone(SHIQIAO_1)
    scene.seals(SANDUN_2, 5)
    scene.step("old_primary_needed")
    scene.report(SANDUN_1, state="stopped", term=TERM + 1)
    waits = scene.waits()
    scene.seals(SANDUN_1, END)
    named = scene.step("primary_named")

    assert "old_primary_first" in waits
    assert named.primary is not None
    assert named.primary.uid == SANDUN_1
