"""What an operator's change of the spec does to a running cluster: the sync set follows, nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from common.model.spec import ClusterSpec
from common.model.view import SyncSet, SyncState
from tests.support.builders import SANDUN_2, SHIQIAO_1, SHIQIAO_2, Scene, running_view, sync_set

OTHER_SITE = (SHIQIAO_1, SHIQIAO_2)


def scene_of(current: SyncSet, **durability: Any) -> Scene:
    """A healthy cluster with this set, and what its operator wants from now on."""
    scene = Scene(view=running_view(sync=SyncState(current=current)))
    scene.spec = ClusterSpec.model_validate({"durability": durability})
    return scene


@pytest.mark.parametrize(
    ("current", "durability", "members", "k"),
    [
        (sync_set(15, 1, *OTHER_SITE), {"acks": 2}, OTHER_SITE, 2),
        (sync_set(15, 2, *OTHER_SITE), {"acks": 1}, OTHER_SITE, 1),
        (sync_set(15, 1, *OTHER_SITE), {"survive": "node"}, (SANDUN_2, *OTHER_SITE), 1),
        (sync_set(15, 1, SANDUN_2, *OTHER_SITE), {"survive": "site"}, OTHER_SITE, 1),
        (sync_set(15, 1, *OTHER_SITE), {"survive": "node", "acks": 3}, (SANDUN_2, *OTHER_SITE), 3),
    ],
    ids=["more acknowledgements", "fewer", "any node", "the other site only", "everybody"],
)
def test_the_sync_set_becomes_what_the_spec_says(
    current: SyncSet, durability: dict[str, Any], members: tuple[str, ...], k: int
) -> None:
    """By a change that is appended: what the old set acknowledged stays promised until it is over."""
    scene = scene_of(current, **durability)
    term, route = scene.now.term, scene.now.route
    view = scene.step("sync_set_pending")

    assert view.sync.current == current
    assert {member.uid for member in view.sync.target.members} == set(members)
    assert view.sync.target.k == k
    assert (view.term, view.route) == (term, route)


def test_more_acknowledgements_than_there_are_standbys_change_nothing_and_are_named() -> None:
    """The set stays as safe as it was, and people are told that it is not what they asked for."""
    scene = scene_of(sync_set(15, 1, *OTHER_SITE), survive="site", acks=3)

    assert "acks_lowered" in scene.waits()


@pytest.mark.parametrize("fields", [{"members": [{"uid": SHIQIAO_1, "no_failover": True, "priority": 5}]}])
def test_who_may_be_promoted_is_asked_only_when_somebody_is_to_be_promoted(fields: dict[str, Any]) -> None:
    """A member that may not be promoted goes on acknowledging, and a greater priority moves nobody."""
    scene = scene_of(sync_set(15, 1, *OTHER_SITE))
    scene.spec = ClusterSpec.model_validate(fields)

    assert scene.waits() == set()
