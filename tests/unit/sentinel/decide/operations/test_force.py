"""A failover that may lose acknowledged commits: only when nothing else helps, and only by a whole word."""

from __future__ import annotations

import pytest

from common.model.requests import Force
from common.model.view import SyncSet, SyncState
from sentinel.decide import conditions
from sentinel.decide.requests import plan_of
from tests.support.builders import (
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    at,
    life,
    running_view,
    sealing_view,
)
from tests.support.healthy import TERM

OFF = (SANDUN_1, SHIQIAO_1, SHIQIAO_2)


def lost() -> Scene:
    """Both members that acknowledged are gone with the primary: nobody left need have the last commits."""
    scene = Scene(reaches_primary=False)
    scene.gone(*OFF)
    return scene


def forced(scene: Scene, off: tuple[str, ...] = OFF) -> str:
    asked = scene.ask(Force(off=off))
    scene.step("failover_forced")
    return asked


def refusal(scene: Scene, operation: Force) -> str:
    return plan_of(scene.observed(), scene.now, operation).refused


def test_without_a_word_nothing_is_promoted() -> None:
    """The premise of all that follows; the reason names the way out."""
    scene = lost()
    scene.view = sealing_view(old_primary_may_start=True)
    decision = scene.decide()

    assert decision.change is None
    assert any("pgha failover --force --dry-run" in reason.fix for reason in decision.reasons)


def test_the_term_ends_the_survivor_seals_and_is_promoted() -> None:
    """With a lower floor where it has less; the old primary is remembered for what it had."""
    scene = lost()
    asked = forced(scene)
    sealing = scene.now
    waits = scene.waits()
    scene.seals(SANDUN_2, 2, path=(), on=1)
    named = scene.step("primary_named")
    scene.promoted(confirmed=True)
    scene.step("route_set")
    scene.told()

    assert (sealing.term, sealing.phase, sealing.out) == (TERM + 1, "sealing", frozenset(OFF))
    assert "forced_failover_waits" in waits
    assert named.primary is not None
    assert (named.primary.uid, named.floor, named.forced) == (SANDUN_2, at(2), None)
    assert [each.uid for each in named.forsaken] == [SANDUN_1]
    assert scene.request(asked).state == "done"


def test_the_furthest_of_those_who_live_goes_and_each_of_them_has_its_time() -> None:
    """A candidate that is only slow is not passed over."""
    scene = lost()
    scene.keepers[SHIQIAO_2] = Scene().keepers[SHIQIAO_2]
    forced(scene, (SANDUN_1, SHIQIAO_1))
    scene.seals(SANDUN_2, 5)
    waits = scene.waits()
    scene.seals(SHIQIAO_2, 6)

    assert "forced_failover_waits" in waits
    assert scene.step("primary_named").upstream == scene.now.member(SHIQIAO_2)


def test_who_lives_but_does_not_seal_is_waited_for_no_longer_than_promote_timeout() -> None:
    """Then the furthest of the others goes, if that one is said to be off or is in no set."""
    scene = lost()
    scene.keepers[SHIQIAO_2] = Scene().keepers[SHIQIAO_2]
    scene.view = scene.now.changed(
        sync=SyncState(current=SyncSet(id=15, k=1, members=frozenset({life(SHIQIAO_1)})))
    )
    forced(scene, (SANDUN_1, SHIQIAO_1))
    scene.seals(SANDUN_2, 5)
    waits = scene.waits()
    scene.holds(conditions.sealing(TERM + 1), 10.0)

    assert "forced_failover_waits" in waits
    assert scene.step("primary_named").upstream == scene.now.member(SANDUN_2)


def test_one_can_be_named_who_is_not_the_furthest() -> None:
    """And one who would not be promoted by itself."""
    scene = lost()
    scene.keepers[SHIQIAO_2] = Scene().keepers[SHIQIAO_2]
    scene.ask(Force(off=(SANDUN_1, SHIQIAO_1), to=SANDUN_2))
    scene.step("failover_forced")
    scene.seals(SANDUN_2, 5)
    scene.seals(SHIQIAO_2, 6)

    assert scene.step("primary_named").upstream == scene.now.member(SANDUN_2)


def test_in_the_middle_of_sealing_the_term_stays() -> None:
    """What has sealed has sealed."""
    scene = lost()
    scene.view = sealing_view(old_primary_may_start=True)
    scene.seals(SANDUN_2, 5)
    forced(scene)

    assert scene.now.term == TERM + 1
    assert scene.step("primary_named").term == TERM + 1


def test_an_old_primary_that_comes_back_is_kept_down_and_not_named_again() -> None:
    """The word was that it is off."""
    scene = lost()
    healthy = Scene().keepers[SANDUN_1]
    forced(scene)
    scene.keepers[SANDUN_1] = healthy.changed(generation=scene.now.generation)

    assert "forced_failover_waits" in scene.waits()


def test_the_plan_says_of_each_candidate_where_it_ends_and_by_what_evidence() -> None:
    """And what nobody knows."""
    scene = lost()
    scene.view = sealing_view()
    scene.seals(SANDUN_2, 2, path=(), on=1)
    plan = plan_of(scene.observed(), scene.now, Force(off=OFF))
    text = "; ".join(plan.will)

    assert plan.harms
    assert f"{SANDUN_2} (sandun) ends at {at(2)}, by its seal of term 5" in text
    assert f"it lacks {at(3) - at(2)} bytes that are known to be acknowledged" in text
    assert f"where {SANDUN_1} (sandun) ended is not known" in text


@pytest.mark.parametrize(
    ("off", "to", "says"),
    [
        ((), None, "--off sandun-1 --off shiqiao-1 --off shiqiao-2"),
        ((SANDUN_1, SHIQIAO_1), None, "--off shiqiao-2"),
        (("nobody",), None, "its members are"),
        (OFF, SHIQIAO_1, "does not live"),
        ((*OFF, SANDUN_2), None, "no member lives"),
    ],
    ids=str,
)
def test_an_incomplete_word_is_refused(off: tuple[str, ...], to: str | None, says: str) -> None:
    """There would be two primaries otherwise."""
    assert says in refusal(lost(), Force(off=off, to=to))


def test_as_long_as_nothing_need_be_lost_it_is_refused() -> None:
    """The primary is well; or enough live; or somebody is just being promoted; or one is not off at all."""
    well = Scene()
    down = Scene()
    down.down(SANDUN_1)
    sealing = Scene(view=sealing_view())
    sealing.down(SANDUN_1)
    half = lost()
    half.keepers[SHIQIAO_1] = Scene().keepers[SHIQIAO_1]

    assert "its keeper says that it runs" in refusal(well, Force(off=OFF))
    assert "--continue, or wait" in refusal(down, Force(off=OFF))
    assert "enough members live" in refusal(sealing, Force(off=OFF))
    assert f"{SHIQIAO_1} is not off" in refusal(half, Force(off=OFF))


def test_a_view_of_the_healthy_cluster_is_never_forced() -> None:
    """The leader judges once more when it begins: what was true when somebody asked may be over."""
    scene = Scene(view=running_view())
    asked = scene.ask(Force(off=OFF))
    scene.told()

    assert scene.request(asked).state == "failed"
