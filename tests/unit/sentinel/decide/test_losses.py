"""What a failover under ``k = 0`` has lost: who is left behind, and what is said once he is back."""

from __future__ import annotations

from common.model.reports import EndedLife, SealReport
from common.model.spec import ClusterSpec
from common.model.view import ClusterView, Forsaken, LastReport, SyncState
from common.model.wal import Switch
from sentinel.decide import conditions
from sentinel.decide.lease import LEASE_MARGIN_S
from tests.support.builders import (
    FORK,
    LINEAGE,
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    at,
    entry,
    running_view,
    sealing_view,
    sync_set,
)
from tests.support.healthy import INCARNATIONS, TERM

LEFT = Forsaken(uid=SANDUN_1, incarnation=INCARNATIONS[SANDUN_1], term=TERM, timeline=2, fork=at(5))
HISTORY = (Switch(1, at(FORK)),)


def ended_at(end: int) -> SealReport:
    return SealReport(term=TERM + 1, lsn=at(end), timeline=2, history=HISTORY)


def succeeded() -> Scene:
    """sandun-2 was promoted at position 5 after the host of sandun-1 had gone, which is not back yet."""
    scene = Scene()
    routed = running_view()
    assert routed.primary is not None
    scene.view = routed.changed(
        term=TERM + 1,
        lineage=(*LINEAGE, entry(3, 5, SANDUN_2, term=TERM + 1)),
        forsaken=(LEFT,),
        greatest_timeline=3,
        sync=SyncState(current=sync_set(20, 0)),
        primary=routed.primary.changed(
            uid=SANDUN_2, incarnation=INCARNATIONS[SANDUN_2], timeline=3, fork=at(5)
        ),
    )
    scene.spec = ClusterSpec.model_validate({"durability": {"mode": "async"}})
    scene.report(SANDUN_2, role="primary", timeline=3)
    scene.gone(SANDUN_1)
    return scene


def back(scene: Scene, **fields: object) -> None:
    scene.keepers[SANDUN_1] = Scene().keepers[SANDUN_1].changed(role="standby", **fields)


def kinds(scene: Scene, count: int) -> list[str]:
    """The next changes, each carried out."""
    found = []
    for _ in range(count):
        change = scene.decide().change
        if change is not None:
            scene.view = change.view
            found.append(change.kind)
    return found


def test_who_is_succeeded_without_his_last_wal_is_remembered() -> None:
    """With the point at which his successor was promoted."""
    last = LastReport(lsn=at(5), lease_ttl_s=3.0)
    view: ClusterView = sealing_view(sync=SyncState(current=sync_set(15, 0)), old_primary_last=last)
    scene = Scene(view=view.changed(old_primary_may_start=True))
    scene.gone(SANDUN_1)
    for uid in (SANDUN_2, SHIQIAO_1, SHIQIAO_2):
        scene.seals(uid, 5)
    scene.holds(conditions.lease_over(SANDUN_1), 3.0 + LEASE_MARGIN_S)
    scene.holds(conditions.sealing(TERM + 1))

    assert scene.step("primary_named").forsaken == (LEFT,)


def test_what_he_had_beyond_his_successor_is_lost_and_said() -> None:
    """In the history with bytes and positions, and as a warning for a while."""
    scene = succeeded()
    back(scene, seal=ended_at(6))
    change = scene.decide().change
    seen = kinds(scene, 3)
    warned = scene.codes
    scene.holds(conditions.wal_lost(SANDUN_1, TERM), 600.0)

    assert change is not None
    assert (change.kind, change.lsn) == ("wal_lost", at(5))
    assert f"{1 << 24} bytes" in change.text
    assert str(at(6)) in change.text
    assert seen.count("wal_lost") == 1
    assert "wal_lost" in warned
    assert "wal_lost_noted" in kinds(scene, 1)
    assert scene.now.forsaken == ()
    assert "wal_lost" not in scene.codes


def test_nothing_is_lost_when_his_successor_had_it_all() -> None:
    """That is said too, and nobody is warned."""
    scene = succeeded()
    back(scene, seal=ended_at(5))

    assert kinds(scene, 1) == ["no_wal_lost"]
    assert scene.now.forsaken == ()
    assert "wal_lost" not in scene.codes


def test_a_rewind_may_come_first() -> None:
    """The new life says where the one before had ended."""
    scene = succeeded()
    before = EndedLife(incarnation=INCARNATIONS[SANDUN_1], seal=ended_at(6))
    back(scene, incarnation="ffffffff", state="rewinding", ended=before)

    assert "wal_lost" in kinds(scene, 1)


def test_of_data_that_are_gone_it_is_said_that_nobody_can_know() -> None:
    """Once there is another life, and not while its keeper is merely silent or starting."""
    scene = succeeded()
    silent = scene.decide().change
    back(scene, state="down")
    starting = scene.decide().change
    back(scene, incarnation="ffffffff", state="running")

    assert silent is None
    assert starting is None
    assert kinds(scene, 1) == ["wal_lost_unknown"]
    assert scene.now.forsaken == ()


def test_nothing_is_said_before_the_route() -> None:
    """Until then another one may be named, who has more of his WAL or less."""
    scene = succeeded()
    routed = scene.now
    scene.view = routed.changed(phase="promoting", route=None)
    back(scene, seal=ended_at(5))
    before = kinds(scene, 3)
    scene.view = routed

    assert "no_wal_lost" not in before
    assert "no_wal_lost" in kinds(scene, 3)
