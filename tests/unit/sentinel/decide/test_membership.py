"""Who belongs to the cluster."""

from __future__ import annotations

from typing import Any

import pytest

from common.model.spec import ClusterSpec
from sentinel.decide import conditions
from tests.support.builders import SANDUN_1, SANDUN_2, SHIQIAO_1, Scene, empty_keeper, promoting_view
from tests.support.healthy import TERM


def with_newcomer(uid: str = "shiqiao-3", spec: dict[str, Any] | None = None, **fields: Any) -> Scene:
    """A keeper that the view does not know has a live report."""
    scene = Scene(spec=ClusterSpec.model_validate(spec or {}))
    whole = {"site": "shiqiao", "port": 24830, "keeper_id": "new"} | fields
    scene.keepers[uid] = empty_keeper("shiqiao-2").changed(uid=uid, **whole)
    return scene


def test_a_keeper_joins_a_cluster_whose_primary_is_promoted() -> None:
    """With its address and without data."""
    scene = with_newcomer()
    member = scene.step("membership").member("shiqiao-3")

    assert member is not None
    assert (member.site, member.port, member.incarnation) == ("shiqiao", 24830, None)


def test_it_waits_while_the_primary_is_not_promoted() -> None:
    """There would be nothing to clone from."""
    scene = with_newcomer()
    scene.view = promoting_view()
    scene.report(SANDUN_1, role="standby", promotion=None)

    assert scene.decide().change is None


REFUSED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "name_taken": ("Shiqiao.2", {}, {}),
    "foreign_data": ("shiqiao-3", {"system_identifier": "1"}, {}),
    "unusable_directory": ("shiqiao-3", {"state": "failed"}, {}),
    "wrong_site": ("shiqiao-3", {}, {"members": [{"uid": "shiqiao-3", "site": "sandun"}]}),
    "unknown_site": ("shiqiao-3", {}, {"sites": [{"name": "sandun"}]}),
    "site_full": ("shiqiao-3", {}, {"sites": [{"name": "shiqiao", "max_members": 2}]}),
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_keeper_that_may_not_join_is_told_why(code: str) -> None:
    """Nothing changes, and the reason names it and what to do."""
    uid, fields, spec = REFUSED[code]
    scene = with_newcomer(uid, spec, **fields)
    (reason,) = (reason for reason in scene.decide().reasons if reason.code == code)

    assert scene.decide().change is None
    assert (reason.subject, bool(reason.fix)) == (uid, True)


def test_a_new_life_is_taken_into_the_view() -> None:
    """A clone begins only when the view names it."""
    scene = Scene()
    scene.report(SHIQIAO_1, incarnation="000000ff")
    member = scene.step("membership").member(SHIQIAO_1)

    assert member is not None
    assert member.incarnation == "000000ff"


def test_a_member_that_has_no_data_for_now_keeps_its_life() -> None:
    """Until it says that a new one begins."""
    scene = Scene()
    scene.report(SANDUN_2, incarnation=None, system_identifier=None, state="no_data", role=None)

    assert scene.decide().change is None


def test_the_primarys_new_address_is_the_routes_too() -> None:
    """In one write; term and primary stay."""
    scene = Scene()
    scene.report(SANDUN_1, host="127.0.0.9", port=25000)
    view = scene.step("membership")
    member = view.member(SANDUN_1)

    assert view.route is not None
    assert member is not None
    assert (view.route.host, view.route.port, view.route.term) == ("127.0.0.9", 25000, TERM)
    assert (member.host, member.port) == ("127.0.0.9", 25000)


def test_a_member_that_now_holds_other_data_is_left_alone() -> None:
    """Its address and life in the view stay those of its own data."""
    scene = Scene()
    scene.report(SANDUN_2, system_identifier="1", incarnation="000000ff", port=1)

    assert scene.waits() == {"foreign_data"}


def test_a_member_that_is_gone_for_long_leaves() -> None:
    """A warning until then."""
    scene = Scene()
    scene.gone(SANDUN_2)
    before = scene.waits()
    scene.holds(conditions.keeper_gone(SANDUN_2), scene.spec.timings.remove_after_s)

    assert before == {"keeper_missing"}
    assert scene.step("membership").member(SANDUN_2) is None


@pytest.mark.parametrize("uid", [SANDUN_1, SHIQIAO_1])
def test_who_may_be_needed_for_a_failover_never_leaves(uid: str) -> None:
    """The primary and the members of every set in force."""
    scene = Scene()
    scene.gone(uid)
    scene.holds(conditions.keeper_gone(uid), 1e9)

    assert scene.decide().change is None
