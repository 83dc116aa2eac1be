"""Standbys that do not stream: what is said of them, and when one is cloned anew."""

from __future__ import annotations

from typing import Any

import pytest

from sentinel.decide import conditions
from sentinel.decide.conditions import current_conditions
from tests.support.builders import (
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    at,
    hears,
    life,
    promoting_view,
    seen,
)
from tests.support.healthy import INCARNATIONS

LATE = {"run_dry": True, "lsn": at(5), "upstream": hears(SANDUN_1, receiving=False)}
"""It reaches the primary and has replayed all it has."""


def starving(**fields: Any) -> Scene:
    """sandun-2 has ended before the primary's oldest WAL, for long."""
    scene = Scene()
    scene.report(SANDUN_1, oldest_wal=at(6), standbys=(seen(SHIQIAO_1), seen(SHIQIAO_2)))
    scene.report(SANDUN_2, **LATE | fields)
    scene.held_s = {conditions.starved(life(SANDUN_2)): 60.0, conditions.apart(SANDUN_2): 60.0}
    return scene


def is_starved(scene: Scene) -> bool:
    return conditions.starved(life(SANDUN_2)) in current_conditions(scene.observed())


def test_a_standby_whose_next_wal_is_gone_begins_a_new_life() -> None:
    """Its entry names the life that cannot go on; once is enough."""
    scene = starving()
    view = scene.step("rebuild")
    member = view.member(SANDUN_2)

    assert member is not None
    assert member.rebuild == INCARNATIONS[SANDUN_2]
    assert [other.rebuild for other in view.members if other.uid != SANDUN_2] == [None] * 3
    assert scene.waits() == {"standby_not_streaming"}


def test_only_what_has_been_true_for_longer_than_reports_may_be_old_counts() -> None:
    """Positions of two reports may be ten seconds apart."""
    scene = starving()
    scene.held_s[conditions.starved(life(SANDUN_2))] = 11.0

    assert scene.waits() == {"standby_not_streaming"}


def test_before_there_is_a_route_nobody_is_cloned_for_this() -> None:
    """The old data may still be the last copy of something acknowledged (I3)."""
    scene = starving()
    scene.view = promoting_view()
    scene.report(SANDUN_1, sync=None)

    assert "rebuild" not in {change.kind for change in [scene.decide().change] if change}


@pytest.mark.parametrize(
    "fields",
    [
        {"run_dry": False},
        {"lsn": at(6)},
        {"upstream": hears(SANDUN_1, receiving=True)},
        {"upstream": hears(SANDUN_1, reachable=False, receiving=False)},
        {"upstream": hears(SHIQIAO_1, receiving=False)},
        {"upstream": None},
        {"state": "starting", "role": None},
    ],
    ids=["replays", "has it", "receives", "cannot reach", "follows another", "follows nobody", "starts"],
)
def test_who_may_still_come_to_stream_is_left_alone(fields: dict[str, Any]) -> None:
    """It replays, has the WAL, or the way to the primary is what is broken."""
    assert is_starved(starving())
    assert not is_starved(starving(**fields))


def test_a_primary_that_has_not_looked_yet_starves_nobody() -> None:
    """0/0 means unknown, not everything."""
    scene = starving()
    scene.report(SANDUN_1, oldest_wal=at(0))

    assert not is_starved(scene)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": "cloning", "role": None, "progress": "clone 41 % of 90 MB"}, "clone 41 % of 90 MB"),
        ({"state": "starting", "role": None}, "its PostgreSQL is starting"),
        ({"upstream": hears(SANDUN_1, reachable=False)}, "is running and cannot reach sandun-1"),
    ],
)
def test_who_does_not_stream_for_long_is_named_with_what_it_does(fields: dict[str, Any], words: str) -> None:
    """A restart is over by then."""
    scene = starving(**fields)
    scene.held_s = {conditions.apart(SANDUN_2): 5.0}
    found = [reason for reason in scene.decide().reasons if reason.code == "standby_not_streaming"]
    scene.held_s = {conditions.apart(SANDUN_2): 4.0}

    assert [reason.subject for reason in found] == [SANDUN_2]
    assert words in found[0].text
    assert "standby_not_streaming" not in scene.codes
