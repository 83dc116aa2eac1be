"""Failovers where only a lease protects commits: when the old primary is off, and what may be lost."""

from __future__ import annotations

import pytest

from common.model.spec import ClusterSpec
from common.model.view import Fenced, LastReport, SyncMember, SyncState
from sentinel.decide import conditions
from sentinel.decide.conditions import current_conditions
from sentinel.decide.lease import LEASE_MARGIN_S, remember_primary
from sentinel.decide.observed import PrimarySeen
from sentinel.stopwatch import Holding
from tests.support.builders import (
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    at,
    change_of,
    life,
    promoting_view,
    running_view,
    sealing_view,
    sync_set,
)
from tests.support.healthy import TERM

TTL_S = 10.0
NOBODY = SyncState(current=sync_set(15, 0))


LAST = LastReport(lsn=at(5), lease_ttl_s=TTL_S)


def sealing(sync: SyncState = NOBODY, last: LastReport | None = LAST) -> Scene:
    """The term of sandun-1 was given up, and its host is gone; all others have sealed where it ended."""
    scene = Scene(view=sealing_view(sync=sync, old_primary_may_start=True, old_primary_last=last))
    scene.spec = ClusterSpec.model_validate({"durability": {"mode": "async", "max_lag_on_failover": "1MB"}})
    scene.gone(SANDUN_1)
    for uid in (SANDUN_2, SHIQIAO_1, SHIQIAO_2):
        scene.seals(uid, 5)
    return scene


def old_gone(scene: Scene, seconds: float = TTL_S + LEASE_MARGIN_S) -> None:
    scene.holds(conditions.lease_over(SANDUN_1), seconds)
    scene.holds(conditions.sealing(TERM + 1), seconds)


def named(scene: Scene) -> str:
    view = scene.step("primary_named")
    assert view.primary is not None
    return view.primary.uid


def test_a_successor_is_named_once_the_lease_cannot_live_any_more() -> None:
    """The length that etcd granted, and a margin; and only if its keeper is gone at that very moment."""
    early, late = sealing(), sealing()
    old_gone(early, TTL_S + LEASE_MARGIN_S - 0.1)
    old_gone(late)
    change = change_of(late.decide())

    assert early.waits() >= {"old_primary_not_off"}
    assert change.kind == "primary_named"
    assert change.only_without == SANDUN_1


def test_of_a_lease_whose_length_was_never_seen_nothing_is_concluded() -> None:
    """Neither by a keeper that does not say it, nor by a sentinel that was not there."""
    unsaid = sealing(last=LastReport(lsn=at(5)))
    unseen = sealing(last=None)
    for scene in (unsaid, unseen):
        old_gone(scene, 3600.0)

    assert "old_primary_not_off" in unsaid.waits()
    assert "old_primary_not_off" in unseen.waits()


@pytest.mark.parametrize("state", ["down", "failed", "no_data"])
def test_a_live_keeper_is_believed_when_no_process_is_left(state: str) -> None:
    """It is given ``restart_after`` to come back and seal; after that somebody else goes on."""
    scene = sealing()
    scene.keepers[SANDUN_1] = Scene().keepers[SANDUN_1]
    scene.down(SANDUN_1, state)
    first = scene.waits()
    scene.holds(conditions.sealing(TERM + 1), 2.0)
    change = change_of(scene.decide())

    assert "old_primary_first" in first
    assert change.kind == "primary_named"
    assert change.only_without is None


def test_stopped_counts_once_the_keeper_obeys_the_present_term() -> None:
    """Before that it may be the pause before a first start."""
    scene = sealing()
    scene.keepers[SANDUN_1] = Scene().keepers[SANDUN_1]
    scene.down(SANDUN_1, "stopped")
    scene.holds(conditions.sealing(TERM + 1), 60.0)
    before = scene.waits()
    scene.report(SANDUN_1, term=TERM + 1)

    assert "old_primary_not_off" in before
    assert named(scene) == SANDUN_2


@pytest.mark.parametrize("state", ["running", "starting", "stopping"])
def test_a_server_that_may_be_writable_is_not_off(state: str) -> None:
    """However long its keeper says so."""
    scene = sealing()
    scene.keepers[SANDUN_1] = Scene().keepers[SANDUN_1].changed(state=state)
    old_gone(scene, 3600.0)
    scene.report(SANDUN_1, generation=0)

    assert "old_primary_not_off" in scene.waits()


def test_a_fence_agents_success_replaces_the_wait() -> None:
    """That of this term; one of an earlier term says nothing of this one."""
    now, before = sealing(), sealing()
    now.view = now.now.changed(fenced=frozenset({Fenced(SANDUN_1, TERM + 1)}))
    before.view = before.now.changed(fenced=frozenset({Fenced(SANDUN_1, TERM)}))

    assert named(now) == SANDUN_2
    assert "old_primary_not_off" in before.waits()


def test_the_old_primary_may_come_up_for_as_long_as_a_promotion_may_take() -> None:
    """Recovery after a crash takes longer than ``restart_after``, and it alone has every commit."""
    scene = sealing()
    scene.keepers[SANDUN_1] = Scene().keepers[SANDUN_1].changed(state="starting", role=None, term=TERM + 1)
    scene.view = scene.now.changed(fenced=frozenset())
    scene.holds(conditions.sealing(TERM + 1), 5.0)
    waits = scene.waits()
    scene.seals(SANDUN_1, 6)

    assert waits & {"old_primary_not_off", "old_primary_first"}
    assert named(scene) == SANDUN_1


def test_a_sealed_old_primary_is_every_quorum_and_loses_nothing() -> None:
    """Whoever holds all that it has may go on; who does not is not safe, be it by a single byte."""
    behind, even = sealing(), sealing()
    for scene in (behind, even):
        scene.keepers[SANDUN_1] = Scene().keepers[SANDUN_1]
    behind.seals(SANDUN_1, 6)
    even.seals(SANDUN_1, 5)

    assert named(behind) == SANDUN_1
    assert named(even) == SANDUN_2
    assert (behind.now.forsaken, even.now.forsaken) == ((), ())


def test_the_sets_that_ask_for_acknowledgements_keep_their_quorum() -> None:
    """On the way to ``k = 0`` and back both rules hold."""
    scene = sealing(SyncState(current=sync_set(15, 0), pending=(sync_set(16, 1, SHIQIAO_1, SHIQIAO_2),)))
    old_gone(scene)
    scene.report(SHIQIAO_1, seal=None)
    one_missing = scene.waits()
    scene.seals(SHIQIAO_1, 5)

    assert "sealing" in one_missing
    assert named(scene) in {SANDUN_2, SHIQIAO_1, SHIQIAO_2}


def test_what_members_of_such_a_set_hold_is_never_lost() -> None:
    """Whoever lacks it is not safe, however small the lag."""
    scene = sealing(SyncState(current=sync_set(15, 0), pending=(sync_set(16, 1, SHIQIAO_1),)))
    old_gone(scene)
    scene.spec = ClusterSpec.model_validate({"durability": {"max_lag_on_failover": "1GB"}})
    scene.seals(SHIQIAO_1, 5)
    scene.seals(SANDUN_2, 4)
    scene.seals(SHIQIAO_2, 4)

    assert named(scene) == SHIQIAO_1


def test_nothing_is_promoted_that_is_further_behind_than_allowed() -> None:
    """The reason says the figures; a greater limit lets it go on."""
    scene = sealing(last=LastReport(lsn=at(6), lease_ttl_s=TTL_S))
    old_gone(scene)
    decision = scene.decide()
    text = next(reason.text for reason in decision.reasons if reason.code == "too_far_behind")
    scene.spec = ClusterSpec.model_validate({"durability": {"mode": "async", "max_lag_on_failover": "16MB"}})

    assert decision.change is None
    assert f"{at(6)}" in text
    assert f"{1 << 24} bytes" in text
    assert "1MB" in text
    assert named(scene) == SANDUN_2


def test_the_furthest_is_waited_for() -> None:
    """Who lives and has not sealed may have more, so it has ``restart_after`` to say so."""
    scene = sealing()
    scene.view = scene.now.changed(fenced=frozenset({Fenced(SANDUN_1, TERM + 1)}))
    scene.report(SHIQIAO_1, seal=None)
    first = scene.waits()
    scene.holds(conditions.sealing(TERM + 1), 2.0)

    assert "sealing" in first
    assert named(scene) == SANDUN_2


def test_sealing_notes_what_the_old_primary_reported_last() -> None:
    """A sentinel that begins after this one goes on from the view alone; the old primary seals at once."""
    scene = Scene(view=running_view(sync=NOBODY))
    scene.spec = ClusterSpec.model_validate({"durability": {"mode": "async"}})
    scene.report(SANDUN_1, lease_ttl_s=TTL_S, lsn=at(7))
    scene.last_seen = remember_primary(None, scene.observed())
    scene.down(SANDUN_1)
    scene.last_seen = remember_primary(scene.last_seen, scene.observed())
    view = scene.step("sealing")

    assert view.old_primary_last == LastReport(lsn=at(7), lease_ttl_s=TTL_S)
    assert view.old_primary_may_start


def test_a_named_member_that_loses_its_data_before_it_is_promoted_was_last_at_the_fork() -> None:
    """It lived and was not writable when it was seen last: so others may go on without asking anybody."""
    scene = Scene(view=promoting_view(sync=NOBODY))
    scene.spec = ClusterSpec.model_validate({"durability": {"mode": "async"}})
    named_now = scene.now.primary
    assert named_now is not None
    scene.seals(named_now.uid, 3)
    scene.report(named_now.uid, lease_ttl_s=TTL_S)
    seen = remember_primary(None, scene.observed())

    assert seen is not None
    assert seen.report == LastReport(lsn=named_now.fork, lease_ttl_s=TTL_S)


def test_an_old_primary_that_is_first_seen_as_a_standby_tells_nothing_of_where_it_ended() -> None:
    """Nobody is named, and what it reports now is not what it had."""
    scene = Scene(view=sealing_view())
    scene.seals(SANDUN_1, 9)

    assert remember_primary(None, scene.observed()) is None


def test_what_is_remembered_belongs_to_one_life() -> None:
    """Another primary, or another life of it, begins with nothing known."""
    scene = Scene()
    other = PrimarySeen(SyncMember(SANDUN_1, "ffffffff"), LastReport(lsn=at(9)))
    fresh = remember_primary(other, scene.observed())
    scene.down(SANDUN_1)

    assert fresh is not None
    assert fresh.life == life(SANDUN_1)
    assert remember_primary(other, scene.observed()) is None


def test_the_end_of_a_lease_is_counted_anew_after_a_gap() -> None:
    """The keeper may have come back and gone again unseen."""
    scene = sealing()
    holding = Holding(conditions.outlasts_gaps)
    held = [holding.observe(current_conditions(scene.observed()), now) for now in (0.0, 4.0)]
    holding.lose_sight()
    after = holding.observe(current_conditions(scene.observed()), 8.0)

    assert held[-1][conditions.lease_over(SANDUN_1)] == 4.0
    assert after[conditions.lease_over(SANDUN_1)] == 0.0
    assert after[conditions.keeper_gone(SANDUN_1)] == 4.0


def test_where_standbys_acknowledge_no_lease_is_waited_for() -> None:
    """The seal is the fence."""
    scene = sealing(SyncState(current=sync_set(15, 1, SHIQIAO_1, SHIQIAO_2)))

    assert named(scene) != SANDUN_1
    assert conditions.lease_over(SANDUN_1) not in current_conditions(sealing(running_view().sync).observed())
