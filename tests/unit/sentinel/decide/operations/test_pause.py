"""A pause: what would happen by itself does not, what is asked for does."""

from __future__ import annotations

import pytest

from common.model.requests import Continue, Pause, Resume
from common.model.view import ClusterView, Word
from sentinel.decide import conditions
from sentinel.decide.rebuilding import STARVED_AFTER_S
from tests.support.builders import (
    ASKED_AT,
    SANDUN_1,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    empty_keeper,
    hears,
    life,
    promoting_view,
    running_view,
)
from tests.support.healthy import TERM

PAUSED = Word(by="anna", at=ASKED_AT, request="r-0")


def paused(view: ClusterView | None = None) -> Scene:
    return Scene(view=(view or running_view()).changed(paused=PAUSED))


def test_status_says_since_when_and_by_whom() -> None:
    """As a warning, so that monitoring does not forget it either."""
    reason = next(each for each in paused().decide().reasons if each.code == "paused")

    assert reason.severity == "warning"
    assert "anna at 2026-11-21 12:00:00 UTC" in reason.text
    assert "pgha resume" in reason.fix


@pytest.mark.parametrize("how", ["down", "hung", "lost"])
def test_a_dead_primary_is_not_replaced(how: str) -> None:
    """Whatever the evidence; the reason names both ways on."""
    scene = paused()
    if how == "down":
        scene.down(SANDUN_1)
    elif how == "hung":
        scene.report(SANDUN_1, hanging="SELECT 1 for 6 s")
    else:
        scene.gone(SANDUN_1)
        scene.reaches_primary = False
        for uid in (SHIQIAO_1, SHIQIAO_2):
            scene.report(uid, upstream=hears(SANDUN_1, reachable=False, receiving=False))
    waits = scene.waits()
    scene.ask(Resume())
    scene.step("resumed")

    assert "failover_paused" in waits
    assert scene.step("sealing").term == TERM + 1


def test_one_failover_can_be_asked_for_in_a_pause() -> None:
    """It counts for the primary of this moment; the pause goes on."""
    scene = paused()
    scene.down(SANDUN_1)
    scene.ask(Continue())
    scene.step("failover_allowed")

    assert scene.step("sealing").paused == PAUSED


def test_a_failover_that_has_begun_is_finished() -> None:
    """Half of one leaves nobody primary: a candidate that dies on the way is replaced."""
    scene = paused(promoting_view())
    scene.down(SANDUN_1)

    assert scene.step("sealing").paused == PAUSED


def test_nobody_joins_leaves_or_is_cloned_anew() -> None:
    """Until the end of the pause."""
    scene = paused()
    scene.keepers["shiqiao-3"] = empty_keeper(SHIQIAO_1).changed(uid="shiqiao-3")
    scene.gone("sandun-2")
    scene.holds(conditions.keeper_gone("sandun-2"), 1e9)
    scene.holds(conditions.starved(life(SHIQIAO_1)), STARVED_AFTER_S)
    scene.waits()
    scene.ask(Resume())
    scene.step("resumed")

    assert {member.uid for member in scene.step("membership").members} == {
        SANDUN_1,
        SHIQIAO_1,
        SHIQIAO_2,
        "shiqiao-3",
    }
    assert scene.step("rebuild").paused is None


def test_pausing_and_resuming_are_one_write_each() -> None:
    """In any phase."""
    scene = Scene(view=promoting_view())
    scene.report(SANDUN_1, sync=None)
    scene.ask(Pause())
    word = scene.step("paused").paused
    scene.ask(Resume())

    assert word is not None
    assert (word.by, word.request) == ("anna", "r-1")
    assert scene.step("resumed").paused is None
