"""Who belongs to the cluster."""

from __future__ import annotations

from typing import Any

import pytest

from common.model.spec import ClusterSpec
from common.model.view import SyncState
from sentinel.decide import conditions
from tests.support.builders import (
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    empty_keeper,
    keeper,
    promoting_view,
    running_view,
    sealing_view,
    sync_set,
)
from tests.support.healthy import INCARNATIONS

NEW = "shiqiao-3"


def newcomer(scene: Scene | None = None, **fields: Any) -> Scene:
    """A keeper with an empty directory turns up."""
    scene = scene or Scene()
    uid = fields.setdefault("uid", NEW)
    scene.keepers[uid] = empty_keeper(SHIQIAO_1).changed(**fields)
    return scene


def test_a_new_keeper_joins_by_itself() -> None:
    """As it reports itself, without data yet."""
    view = newcomer().step("membership")
    member = view.member(NEW)

    assert member is not None
    assert (member.site, member.incarnation) == ("shiqiao", None)
    assert [m.uid for m in view.members] == sorted(m.uid for m in view.members)
    assert view.route == running_view().route


def test_all_that_changed_is_one_write() -> None:
    """Two join and one begins a new life, which leaves the sync set next."""
    scene = newcomer()
    newcomer(scene, uid="sandun-3", site="sandun")
    scene.report(SHIQIAO_2, incarnation="0000000f")
    view = scene.step("membership")
    changed = view.member(SHIQIAO_2)

    assert view.generation == running_view().generation + 1
    assert view.member(NEW)
    assert view.member("sandun-3")
    assert changed is not None
    assert changed.incarnation == "0000000f"
    scene.step("sync_set_pending")


@pytest.mark.parametrize(
    ("spec", "fields", "code"),
    [
        ({}, {"uid": "SHIQIAO_1"}, "name_taken"),
        ({}, {"system_identifier": "1", "incarnation": "0000000f", "state": "down"}, "foreign_data"),
        ({}, {"state": "failed"}, "unusable_directory"),
        ({"members": [{"uid": NEW, "site": "sandun"}]}, {}, "wrong_site"),
        ({"sites": [{"name": "sandun"}]}, {}, "unknown_site"),
        ({"sites": [{"name": "sandun"}, {"name": "shiqiao", "max_members": 2}]}, {}, "site_full"),
    ],
)
def test_who_may_not_join_is_told_why_and_what_to_do(
    spec: dict[str, Any], fields: dict[str, Any], code: str
) -> None:
    """It is left alone, and the others go on."""
    scene = newcomer(**fields)
    scene.spec = ClusterSpec.model_validate(spec)
    reason = next(reason for reason in scene.decide().reasons if reason.code == code)

    assert scene.waits() >= {code}
    assert reason.subject == scene.keepers[reason.subject].uid
    assert reason.fix


def test_two_newcomers_with_one_name_in_postgresql_do_not_both_join() -> None:
    """Their slots and their acknowledgements could not be told apart."""
    scene = newcomer()
    newcomer(scene, uid="SHIQIAO_3")
    view = scene.step("membership")

    assert (view.member("SHIQIAO_3") is None) != (view.member(NEW) is None)
    assert "name_taken" in scene.codes


def test_a_site_without_an_entry_has_a_limit_too() -> None:
    """Seven where the spec lists no sites."""
    scene = Scene()
    for number in range(3, 12):
        newcomer(scene, uid=f"x-{number}")
    view = scene.step("membership")

    assert sum(member.site == "shiqiao" for member in view.members) == 7
    assert "site_full" in scene.codes


def test_a_keeper_that_was_removed_joins_with_its_data() -> None:
    """They are of this cluster, and will be judged like anybody's."""
    scene = Scene(view=running_view(members=tuple(m for m in running_view().members if m.uid != SANDUN_2)))
    member = scene.step("membership").member(SANDUN_2)

    assert member is not None
    assert member.incarnation == scene.keepers[SANDUN_2].incarnation


def test_nobody_joins_before_the_primary_is_promoted() -> None:
    """It has no slot and no role for a clone yet."""
    scene = newcomer(Scene(view=promoting_view()))
    scene.report(SANDUN_1, role="standby", sync=None, promotion=None)

    assert scene.decide().change is None
    scene.promoted()
    assert scene.step("membership").member(NEW)


def test_nobody_joins_while_nobody_is_primary() -> None:
    """There is nobody to clone from."""
    scene = newcomer(Scene(view=sealing_view()))
    scene.gone(SANDUN_1)

    assert "sealing" in scene.waits()


def test_a_member_that_moved_is_found_at_its_new_address() -> None:
    """Also the primary: the route goes with it, in the same term."""
    scene = Scene()
    scene.report(SANDUN_1, host="10.0.0.9", port=5999)
    view = scene.step("membership")

    assert view.route is not None
    assert (view.route.host, view.route.port, view.route.term) == ("10.0.0.9", 5999, view.term)
    assert view.upstream is not None
    assert view.upstream.port == 5999


def test_a_new_life_of_the_primary_is_a_failover_and_not_a_change_of_members() -> None:
    """Whoever wiped that directory wiped the primary."""
    scene = Scene()
    scene.report(SANDUN_1, incarnation="0000000f")
    view = scene.step("sealing")
    member = view.member(SANDUN_1)

    assert member is not None
    assert member.incarnation == INCARNATIONS[SANDUN_1]


def test_a_member_without_data_keeps_the_life_that_is_known() -> None:
    """Its new one has no name yet; until then nothing under the old name can be promoted."""
    scene = Scene()
    scene.keepers[SHIQIAO_1] = empty_keeper(SHIQIAO_1)

    assert scene.decide().change is None


def test_a_member_with_the_data_of_another_cluster_is_left_alone() -> None:
    """It is not counted, and somebody must look."""
    scene = Scene()
    scene.report(SHIQIAO_1, system_identifier="1", incarnation="0000000f", port=9)

    assert "foreign_data" in scene.waits()


def test_a_member_that_is_gone_is_missed_and_after_long_removed() -> None:
    """Not before its time, and never while a failover may need it."""
    scene = Scene()
    scene.gone(SANDUN_2)
    scene.holds(conditions.keeper_gone(SANDUN_2), 48 * 3600 - 1)

    assert "keeper_missing" in scene.waits()
    scene.holds(conditions.keeper_gone(SANDUN_2), 48 * 3600)
    assert scene.step("membership").member(SANDUN_2) is None


def test_a_member_of_a_sync_set_is_never_removed() -> None:
    """Current or pending: it may be the one with the last commit."""
    scene = Scene()
    scene.gone(SHIQIAO_1, SHIQIAO_2)
    pending = SyncState(current=sync_set(15, 1, SHIQIAO_1), pending=(sync_set(16, 1, SHIQIAO_2),))
    scene.view = running_view(sync=pending)
    for uid in (SHIQIAO_1, SHIQIAO_2):
        scene.holds(conditions.keeper_gone(uid), 1e9)

    assert "keeper_missing" in scene.waits()


def test_the_primary_is_never_removed() -> None:
    """Its keeper is away, its PostgreSQL serves."""
    scene = Scene()
    scene.gone(SANDUN_1)
    scene.holds(conditions.keeper_gone(SANDUN_1), 1e9)

    assert {"keeper_lost", "keeper_missing"} <= scene.waits()


def test_a_keeper_that_is_missing_is_told_apart_from_a_server_that_is() -> None:
    """Its PostgreSQL may stream on."""
    scene = Scene()
    scene.gone(SHIQIAO_1)
    streaming = next(r for r in scene.decide().reasons if r.code == "keeper_missing")
    scene.report(SANDUN_1, standbys=())
    silent = next(r for r in scene.decide().reasons if r.code == "keeper_missing")

    assert "still streams" in streaming.text
    assert "does not stream" in silent.text


def test_a_member_counts_for_the_site_that_it_reports() -> None:
    """A host that was carried over stands where it stands."""
    scene = Scene()
    scene.keepers[SANDUN_2] = keeper(SANDUN_2, site="shiqiao")
    member = scene.step("membership").member(SANDUN_2)

    assert member is not None
    assert member.site == "shiqiao"
