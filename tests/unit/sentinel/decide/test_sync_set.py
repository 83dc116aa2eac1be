"""Changes of the sync set: who enters, who leaves, what gives way, and what never does."""

from __future__ import annotations

from typing import Any

from common.model.reports import SyncReport
from common.model.spec import ClusterSpec
from common.model.view import SyncSet, SyncState
from sentinel.decide import conditions
from sentinel.decide.sync_set import PENDING_LIMIT
from tests.support.builders import (
    LINEAGE,
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    change_of,
    life,
    promoting_view,
    running_view,
    seen,
    sync_set,
)
from tests.support.healthy import TERM


def scene_of(current: SyncSet, *streaming: str, **durability: Any) -> Scene:
    """A routed primary with this set, to which these stream."""
    scene = Scene(view=running_view(sync=SyncState(current=current)))
    scene.spec = ClusterSpec.model_validate({"durability": durability})
    stream(scene, *streaming)
    return scene


def stream(scene: Scene, *uids: str) -> None:
    applied = scene.now.sync.current.id
    sync = SyncReport(term=TERM, applied=applied, confirmed=(applied,))
    scene.report(SANDUN_1, standbys=tuple(map(seen, uids)), sync=sync)


def away(scene: Scene, *uids: str) -> None:
    """These have not streamed for longer than ``degrade_after``."""
    for uid in uids:
        scene.holds(conditions.not_streaming(life(uid)))


def wanted(scene: Scene) -> tuple[set[str], int]:
    """The change that is begun; it is always appended, with the new generation as its id."""
    before = scene.now.sync
    view = scene.step("sync_set_pending")
    assert view.sync.current == before.current
    assert view.sync.pending[:-1] == before.pending
    assert view.sync.target.id == view.generation
    return {member.uid for member in view.sync.target.members}, view.sync.target.k


BOTH = (SHIQIAO_1, SHIQIAO_2)


def test_a_standby_enters_once_it_streams_and_has_caught_up() -> None:
    """Not while it is behind, in another term, or under an earlier life's name."""
    scene = scene_of(sync_set(15, 1, SHIQIAO_1), SHIQIAO_1)
    near: list[dict[str, Any]] = [
        {"caught_up": False},
        {"streaming": False},
        {"term": TERM - 1},
        {"incarnation": "000000ff"},
    ]
    for fields in near:
        scene.report(SANDUN_1, standbys=(seen(SHIQIAO_1), seen(SHIQIAO_2, **fields)))
        assert scene.decide().change is None
    stream(scene, *BOTH)

    assert wanted(scene) == (set(BOTH), 1)


def test_a_standby_leaves_only_after_degrade_after() -> None:
    """So that a later failover does not need the dead."""
    scene = scene_of(sync_set(15, 1, *BOTH), SHIQIAO_1)
    scene.holds(conditions.not_streaming(life(SHIQIAO_2)), 1.9)
    before = scene.decide().change
    away(scene, SHIQIAO_2)

    assert before is None
    assert wanted(scene) == ({SHIQIAO_1}, 1)


def test_a_member_that_stays_behind_leaves_like_one_that_does_not_stream() -> None:
    """Commits do not wait for it, and a later failover does not need it."""
    scene = scene_of(sync_set(15, 1, *BOTH))
    scene.report(SANDUN_1, standbys=(seen(SHIQIAO_1), seen(SHIQIAO_2, caught_up=False)))
    away(scene, SHIQIAO_2)

    assert wanted(scene) == ({SHIQIAO_1}, 1)


def test_nobody_leaves_for_a_lost_lease() -> None:
    """It streams without its keeper."""
    scene = scene_of(sync_set(15, 1, *BOTH), *BOTH)
    scene.gone(SHIQIAO_2)

    assert scene.waits() == {"keeper_missing"}


def test_it_degrades_to_the_same_site_and_comes_back() -> None:
    """When no standby of the other site streams, and by itself once one does."""
    scene = scene_of(sync_set(15, 1, *BOTH), SANDUN_2)
    away(scene, *BOTH)
    before = scene.decide().change
    scene.holds(conditions.TOO_FEW)
    degraded = wanted(scene)
    back = scene_of(sync_set(15, 1, SANDUN_2), SANDUN_2, SHIQIAO_1)
    shown = back.codes

    assert before is None
    assert degraded == ({SANDUN_2}, 1)
    assert "durability_degraded" in shown
    assert wanted(back) == ({SHIQIAO_1}, 1)


def test_strict_waits() -> None:
    """Nobody of the same site acknowledges, k stays, and the reason says that commits wait."""
    scene = scene_of(sync_set(15, 1, *BOTH), SANDUN_2, mode="strict")
    away(scene, *BOTH)
    scene.holds(conditions.TOO_FEW)
    scene.holds(conditions.COMMITS_WAIT)

    assert "commits_wait" in scene.waits()


def test_strict_takes_back_what_degrade_has_let_in() -> None:
    """The mode was changed meanwhile: the same site's member goes at once, and commits wait."""
    scene = scene_of(sync_set(15, 1, SANDUN_2), SANDUN_2, mode="strict")
    empty = wanted(scene)
    both = scene_of(sync_set(15, 1, SANDUN_2, SHIQIAO_1), SANDUN_2, mode="strict")
    away(both, SHIQIAO_1)

    assert empty == (set(), 1)
    assert scene.decide().change is None
    assert wanted(both) == ({SHIQIAO_1}, 1)


def test_degrade_lowers_k_only_after_it_has_taken_every_member() -> None:
    """Two acknowledgements by the same site's member before one by the other site's alone."""
    scene = scene_of(sync_set(15, 2, *BOTH), SANDUN_2, SHIQIAO_1, acks=2)
    away(scene, SHIQIAO_2)
    scene.holds(conditions.TOO_FEW)
    first = wanted(scene)
    alone = scene_of(sync_set(15, 2, *BOTH), SHIQIAO_1, acks=2)
    away(alone, SHIQIAO_2)
    alone.holds(conditions.TOO_FEW)

    assert first == ({SANDUN_2, SHIQIAO_1}, 2)
    assert wanted(alone) == ({SHIQIAO_1}, 1)


def test_k_goes_back_up_by_itself() -> None:
    """Once enough stream again; until then it is shown."""
    scene = scene_of(sync_set(15, 1, SHIQIAO_1), *BOTH, acks=2)

    assert "acks_lowered" in scene.codes
    assert wanted(scene) == (set(BOTH), 2)


def test_with_nobody_left_degrade_asks_nobody() -> None:
    """Only once nobody has streamed for ``degrade_after``; a warning says what a failover may lose then."""
    scene = scene_of(sync_set(15, 1, *BOTH))
    before = scene.decide().change
    away(scene, *BOTH)
    scene.holds(conditions.TOO_FEW)
    change = change_of(scene.decide())
    scene.view = change.view

    assert before is None
    assert (change.view.sync.target.k, change.view.sync.target.members) == (0, frozenset())
    assert change.view.sync.lease_protects
    assert "nobody_acknowledges" in scene.codes


def test_degrade_asks_again_as_soon_as_somebody_streams() -> None:
    """Of the same site if need be; up needs no patience, as more protection can do no harm."""
    scene = scene_of(sync_set(15, 0), SANDUN_2)
    first = wanted(scene)
    other = scene_of(sync_set(15, 0), *BOTH)

    assert first == ({SANDUN_2}, 1)
    assert wanted(other) == (set(BOTH), 1)


def test_a_new_cluster_gives_its_first_standbys_time_to_be_cloned() -> None:
    """Before its first route nobody streams for a while, and nothing is lost by waiting for them."""
    changes = []
    for held_s in (5.0, 10.0):
        scene = scene_of(sync_set(15, 1))
        scene.view = promoting_view(sync=SyncState(current=sync_set(15, 1)), lineage=LINEAGE[:1])
        scene.report(SANDUN_1, sync=SyncReport(term=TERM))
        scene.holds(conditions.TOO_FEW, held_s)
        changes.append(scene.decide().change)

    assert changes[0] is None
    assert changes[1] is not None
    assert changes[1].view.sync.target.k == 0


def test_async_asks_nobody_ever() -> None:
    """Also when it was another mode before; that is what the operator chose, so no warning is given."""
    scene = scene_of(sync_set(15, 1, *BOTH), *BOTH, mode="async")
    view = change_of(scene.decide()).view
    scene.view = view

    assert (view.sync.target.k, view.sync.target.members) == (0, frozenset())
    assert {r.severity for r in scene.decide().reasons if r.code == "nobody_acknowledges"} == {"info"}


def test_strict_waits_again_after_async() -> None:
    """The mode was changed: commits wait for those who stream, or for nobody yet."""
    scene = scene_of(sync_set(15, 0), mode="strict")
    empty = wanted(scene)

    assert empty == (set(), 1)
    assert wanted(scene_of(sync_set(15, 0), *BOTH, mode="strict")) == (set(BOTH), 1)


def test_a_change_is_adopted_when_the_primary_says_that_this_one_is_applied() -> None:
    """Its word for the last one clears them all; for another one, or in another term, it is nothing."""
    pending = (sync_set(16, 1, SHIQIAO_1), sync_set(17, 1, *BOTH))
    scene = Scene(view=running_view(sync=SyncState(current=sync_set(15, 1, SHIQIAO_2), pending=pending)))
    for applied, term in ((15, TERM), (16, TERM), (17, TERM - 1)):
        scene.report(SANDUN_1, sync=SyncReport(term=term, applied=applied))
        assert scene.decide().change is None
    scene.report(SANDUN_1, sync=SyncReport(term=TERM, applied=17))

    assert scene.step("sync_set_current").sync == SyncState(current=pending[-1])


def test_a_change_that_is_stuck_is_answered_by_a_further_one() -> None:
    """Never withdrawn or replaced, and not before it has had its chance."""
    scene = scene_of(sync_set(15, 1, SHIQIAO_1), SHIQIAO_1)
    pending = (sync_set(16, 1, *BOTH),)
    scene.view = scene.now.changed(sync=SyncState(current=scene.now.sync.current, pending=pending))
    away(scene, SHIQIAO_2)
    before = scene.decide().change
    scene.holds(conditions.pending(16))

    assert before is None
    assert wanted(scene) == ({SHIQIAO_1}, 1)


def test_the_number_of_changes_under_way_is_bounded() -> None:
    """Beyond it the reason says that none completes."""
    scene = scene_of(sync_set(15, 1, SHIQIAO_1), *BOTH)
    pending = tuple(sync_set(20 + n, 1, SHIQIAO_1) for n in range(PENDING_LIMIT))
    scene.view = scene.now.changed(sync=SyncState(current=scene.now.sync.current, pending=pending))
    scene.holds(conditions.pending(pending[-1].id))

    assert "sync_change_stuck" in scene.waits()


def test_before_the_route_a_change_waits_unless_the_set_can_confirm_nothing() -> None:
    """Each further set is one more that must confirm the primary's start."""
    changes = []
    for current in (sync_set(15, 1, SHIQIAO_1), sync_set(15, 1)):
        scene = Scene(view=promoting_view(sync=SyncState(current=current), rebuild_beside=True))
        scene.report(SANDUN_1, sync=SyncReport(term=TERM))
        changes.append(scene.decide().change)
        scene.holds(conditions.promoting(TERM), 2.0)
        changes.append(scene.decide().change)

    assert [change.kind if change else None for change in changes] == [
        None, "sync_set_pending", "sync_set_pending", "sync_set_pending",
    ]  # fmt: skip
