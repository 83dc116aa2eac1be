"""Step 2: who is promoted, and when nobody may be."""

from __future__ import annotations

from typing import Any

import pytest

from common.model.spec import ClusterSpec
from common.model.view import SyncState
from sentinel.decide import conditions
from sentinel.decide.choice import Choice, choose_primary
from tests.support.builders import (
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    at,
    life,
    promotion,
    sealing_view,
    sync_set,
)


def sealing(**fields: Any) -> Scene:
    """The primary is down; nobody has sealed yet."""
    scene = Scene(view=sealing_view(**fields))
    scene.down(SANDUN_1)
    return scene


def choice(scene: Scene) -> Choice:
    return choose_primary(scene.observed(), scene.now)


def chosen(scene: Scene) -> str | None:
    candidate = choice(scene).candidate
    return candidate.uid if candidate else None


def waited(scene: Scene) -> None:
    """``restart_after`` has passed."""
    scene.holds(conditions.sealing(scene.now.term))


def members(scene: Scene, *entries: dict[str, Any]) -> None:
    scene.spec = ClusterSpec.model_validate({"members": entries})


def test_nobody_is_chosen_before_the_quorum_has_sealed() -> None:
    """One of two members may be the only one that acknowledged: both must seal when k is 1."""
    scene = sealing()
    scene.seals(SHIQIAO_1, 9)
    scene.seals(SANDUN_2, 9)
    before = choice(scene)
    scene.seals(SHIQIAO_2, 5)

    assert (before.candidate, before.reason.code) == (None, "sealing")
    assert SHIQIAO_2 in before.reason.text
    assert chosen(scene) is not None


def test_every_pending_set_needs_its_own_quorum() -> None:
    """A commit may have been acknowledged under the change that was under way."""
    sync = SyncState(current=sync_set(15, 1, SHIQIAO_1), pending=(sync_set(16, 1, SHIQIAO_2),))
    scene = sealing(sync=sync)
    scene.seals(SHIQIAO_1, 5)
    before = chosen(scene)
    scene.seals(SHIQIAO_2, 7)

    assert before is None
    assert choice(scene).least == at(7)
    assert chosen(scene) == SHIQIAO_2


def test_the_furthest_member_of_the_sets_says_what_is_needed() -> None:
    """A sealed member behind it is not safe, whatever its priority."""
    scene = sealing()
    members(scene, {"uid": SHIQIAO_1, "priority": 100})
    scene.seals(SHIQIAO_1, 5)
    scene.seals(SHIQIAO_2, 6)

    assert (chosen(scene), choice(scene).least) == (SHIQIAO_2, at(6))


def test_one_who_is_no_member_of_a_set_may_be_chosen_when_it_holds_enough() -> None:
    """It counts for no quorum, and its position does not raise what is needed."""
    scene = sealing()
    scene.seals(SHIQIAO_1, 5)
    scene.seals(SHIQIAO_2, 5)
    scene.seals(SANDUN_2, 6)

    assert (chosen(scene), choice(scene).least) == (SANDUN_2, at(5))


def test_a_set_with_fewer_members_than_k_asks_for_no_seal_and_leaves_the_floor() -> None:
    """Nothing can have been acknowledged under it; one sealed member beyond the floor is still needed."""
    scene = sealing(sync=SyncState(current=sync_set(15, 1)), floor=at(4))
    nobody = choice(scene)
    scene.seals(SANDUN_2, 3)
    behind = choice(scene)
    scene.seals(SANDUN_2, 4)

    assert (nobody.candidate, nobody.reason.code) == (None, "nobody_safe")
    assert (behind.candidate, behind.reason.code) == (None, "nobody_safe")
    assert (chosen(scene), choice(scene).least) == (SANDUN_2, at(4))


def test_members_of_a_set_that_is_too_small_say_nothing_about_what_is_needed() -> None:
    """Nothing was acknowledged under it, so a member that may be promoted need not be as far as they are."""
    pending = (sync_set(16, 2, SHIQIAO_2),)
    scene = sealing(sync=SyncState(current=sync_set(15, 1, SHIQIAO_1), pending=pending))
    members(scene, {"uid": SHIQIAO_2, "no_failover": True})
    scene.seals(SHIQIAO_1, 5)
    scene.seals(SHIQIAO_2, 9)

    assert (chosen(scene), choice(scene).least) == (SHIQIAO_1, at(5))


def test_the_floor_counts_beside_the_quorum() -> None:
    """Commits of earlier terms lie before it; members that were built since may lack them."""
    scene = sealing(floor=at(8))
    scene.seals(SHIQIAO_1, 5)
    scene.seals(SHIQIAO_2, 5)

    assert (chosen(scene), choice(scene).reason.code) == (None, "nobody_safe")


def test_a_member_that_left_the_lineage_is_not_safe_however_far_it_is() -> None:
    """Only as much counts as agrees with the lineage: the rest is divergence."""
    scene = sealing()
    scene.seals(SHIQIAO_1, 9, path=((1, 2),), on=7)
    scene.seals(SHIQIAO_2, 5)

    assert (chosen(scene), choice(scene).least) == (SHIQIAO_2, at(5))


def test_a_member_that_began_a_promotion_outside_the_lineage_is_not_safe() -> None:
    """It is to be cloned: its data may hold what no other history knows."""
    scene = sealing()
    scene.seals(SHIQIAO_1, 9)
    scene.seals(SHIQIAO_2, 9)
    scene.report(SHIQIAO_1, promotion=promotion(SHIQIAO_1, 5, finished=False))

    assert chosen(scene) == SHIQIAO_2


def test_a_promotion_outside_the_lineage_counts_when_its_directory_was_claimed() -> None:
    """What it left there is there under any name."""
    scene = sealing()
    scene.seals(SHIQIAO_1, 9)
    scene.seals(SHIQIAO_2, 9)
    begun = promotion(SHIQIAO_1, 5, finished=False).changed(incarnation="ffffffff")
    scene.report(SHIQIAO_1, promotion=begun.carried(life(SHIQIAO_1).incarnation))

    assert chosen(scene) == SHIQIAO_2


def test_a_promotion_of_an_earlier_life_is_forgotten() -> None:
    """A clone of the data has begun nothing."""
    scene = sealing()
    scene.seals(SHIQIAO_1, 9)
    scene.seals(SHIQIAO_2, 5)
    scene.report(SHIQIAO_1, promotion=promotion(SANDUN_2, 5))

    assert chosen(scene) == SHIQIAO_1


def test_who_may_not_be_promoted_still_counts_for_the_quorum() -> None:
    """no_failover is a preference of the operator, and never a reason to lose a commit."""
    scene = sealing()
    members(scene, {"uid": SHIQIAO_1, "no_failover": True})
    scene.seals(SHIQIAO_1, 5)
    scene.seals(SHIQIAO_2, 5)
    equal = chosen(scene)
    scene.seals(SHIQIAO_1, 6)
    ahead = choice(scene)
    scene.seals(SANDUN_2, 6)

    assert equal == SHIQIAO_2
    assert (ahead.candidate, ahead.reason.code) == (None, "nobody_eligible")
    assert chosen(scene) == SANDUN_2


def test_further_goes_before_site_site_before_priority_and_priority_before_uid() -> None:
    """Among the safe, each rule decides only where those before it do not."""
    sync = SyncState(current=sync_set(15, 1, SHIQIAO_2))
    scene = sealing(sync=sync, floor=at(4))
    winners = []
    for uid, end in ((SHIQIAO_2, 5), (SHIQIAO_1, 5)):
        scene.seals(uid, end)
        winners.append(chosen(scene))
    members(scene, {"uid": SHIQIAO_2, "priority": 1})
    winners.append(chosen(scene))
    scene.seals(SANDUN_2, 5)
    winners.append(chosen(scene))
    scene.seals(SHIQIAO_1, 6)
    winners.append(chosen(scene))

    assert winners == [SHIQIAO_2, SHIQIAO_1, SHIQIAO_2, SANDUN_2, SHIQIAO_1]


def test_the_old_primary_is_a_quorum_by_itself_once_the_others_had_their_time() -> None:
    """It has every commit; before ``restart_after`` the standbys come first."""
    scene = sealing()
    scene.seals(SANDUN_1, 9)
    before = choice(scene)
    waited(scene)

    assert before.candidate is None
    assert (chosen(scene), choice(scene).least) == (SANDUN_1, at(9))


def test_the_old_primary_need_not_wait_when_too_few_standbys_live() -> None:
    """The view said so when sealing began."""
    scene = sealing(old_primary_may_start=True)
    scene.seals(SANDUN_1, 9)

    assert chosen(scene) == SANDUN_1


def test_a_safe_standby_goes_before_the_old_primary() -> None:
    """Also where the quorum is the old primary's: it crashed last."""
    scene = sealing()
    scene.seals(SANDUN_1, 9)
    scene.seals(SANDUN_2, 9)
    waited(scene)

    assert chosen(scene) == SANDUN_2


def test_a_standby_that_lacks_what_the_old_primary_had_is_not_safe_by_its_seal() -> None:
    """Where the old primary makes the quorum its position is what is needed."""
    scene = sealing()
    scene.seals(SANDUN_1, 9)
    scene.seals(SHIQIAO_1, 8)
    waited(scene)

    assert chosen(scene) == SANDUN_1


def test_the_standbys_own_quorum_does_not_ask_for_what_the_old_primary_had_beyond() -> None:
    """What none of them flushed was never acknowledged."""
    scene = sealing()
    scene.seals(SANDUN_1, 9)
    scene.seals(SHIQIAO_1, 5)
    scene.seals(SHIQIAO_2, 5)
    waited(scene)

    assert (chosen(scene), choice(scene).least) == (SHIQIAO_1, at(5))


def test_another_life_of_the_old_primary_is_no_quorum() -> None:
    """A clone of it holds no more than any standby."""
    scene = sealing(old_primary_may_start=True)
    scene.seals(SANDUN_1, 9)
    scene.report(SANDUN_1, incarnation="000000ff")
    again = tuple(m.changed(incarnation="000000ff") if m.uid == SANDUN_1 else m for m in scene.now.members)
    scene.view = scene.now.changed(members=again)

    assert chosen(scene) is None


def test_an_old_primary_that_alone_is_safe_waits_for_the_others() -> None:
    """The reason says so."""
    scene = sealing(sync=SyncState(current=sync_set(15, 1)))
    scene.seals(SANDUN_1, 9)

    assert choice(scene).reason.code == "old_primary_last"
    waited(scene)
    assert chosen(scene) == SANDUN_1


@pytest.mark.parametrize("gone", [SHIQIAO_1, SHIQIAO_2])
def test_who_is_missing_for_the_quorum_is_named(gone: str) -> None:
    """And the old primary as the way out."""
    scene = sealing(old_primary_may_start=True)
    scene.gone(SANDUN_1, gone)
    scene.seals(SANDUN_2, 5)
    (reason,) = (r for r in scene.decide().reasons if r.code == "too_few_to_seal")

    assert gone in reason.text
    assert SANDUN_1 in reason.text
