"""A switchover, step by step: each is one write, made from the view and the reports alone."""

from __future__ import annotations

import pytest

from common.model.reports import SwitchingReport, UpstreamReport
from common.model.requests import Switchover
from common.model.view import ClusterView, Member, SyncState, Word
from sentinel.decide import conditions
from sentinel.decide.switching import PREPARED_WITHIN_S, STOPPED_WITHIN_S
from tests.support.builders import (
    ASKED_AT,
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    at,
    hears,
    life,
    running_view,
    sync_set,
)
from tests.support.healthy import TERM
from tests.support.switching import END, RECORD, begun, handing_over, reports, stops, switching


def test_a_switchover_from_its_request_to_its_end() -> None:
    """Five writes; the request tells each of them and is done with the route."""
    scene = Scene()
    request = scene.ask(Switchover(to=SHIQIAO_1, drain_s=3.0))
    prepares = scene.step("switchover_begun")
    assert prepares.route is not None
    assert prepares.switching is not None
    assert (prepares.switching.target, prepares.switching.drain_s) == (life(SHIQIAO_1), 3.0)
    assert prepares.switching.id == prepares.generation

    reports(scene, SANDUN_1, ready=True)
    drains = scene.step("switching")
    assert (drains.phase, drains.route, drains.term, drains.primary) == (
        "switching",
        None,
        TERM,
        prepares.primary,
    )

    stops(scene)
    reports(scene, SHIQIAO_1, holds=at(END))
    seals = scene.step("sealing")
    assert (seals.term, seals.primary, seals.old_primary) == (TERM + 1, None, prepares.primary)
    assert seals.switching is not None
    assert seals.switching.shut_down == RECORD

    scene.seals(SHIQIAO_1, END)
    scene.seals(SANDUN_2, END)
    named = scene.step("primary_named")
    assert named.primary is not None
    assert (named.primary.uid, named.primary.fork, named.floor) == (SHIQIAO_1, at(END), at(END))

    scene.promoted(confirmed=True)
    routed = scene.step("route_set")
    told = scene.request(request)
    assert routed.switching is None
    assert (told.state, len(told.progress)) == ("done", 4)


def test_the_route_stands_until_the_primary_is_ready() -> None:
    """What an earlier attempt has reported does not count, nor does a change of the sync set wait."""
    scene = begun()
    waits = scene.waits()
    scene.report(SANDUN_1, switching=SwitchingReport(id=scene.now.generation - 1, ready=True))
    still = scene.waits()
    reports(scene, SANDUN_1, ready=True)
    pending = SyncState(current=scene.now.sync.current, pending=(sync_set(19, 1, SHIQIAO_1, SHIQIAO_2),))
    scene.view = scene.now.changed(sync=pending)

    assert {"switchover"} <= waits & still
    assert "switchover" in scene.waits()


@pytest.mark.parametrize("missing", ["record", "position", "too little", "another attempt", "another life"])
def test_the_term_ends_only_when_the_target_has_the_shutdown_record(missing: str) -> None:
    """Reported for just this attempt, by the life that was chosen."""
    scene = switching()
    stops(scene)
    reports(scene, SHIQIAO_1, holds=at(END))
    if missing == "record":
        reports(scene, SANDUN_1, ready=True)
    elif missing == "position":
        reports(scene, SHIQIAO_1)
    elif missing == "too little":
        reports(scene, SHIQIAO_1, holds=RECORD)
    elif missing == "another attempt":
        scene.report(SHIQIAO_1, switching=SwitchingReport(id=1, holds=at(END)))
    else:
        scene.report(SHIQIAO_1, incarnation="ffffffff")

    assert "switchover" in scene.waits()


def test_a_target_that_lacks_the_last_wal_is_waited_for_and_then_the_primary_stays() -> None:
    """In its term, with its sync sets; the request fails with the reason."""
    scene = switching()
    stops(scene)
    before, attempt = scene.now, scene.now.switching
    assert attempt is not None
    waits = scene.waits()
    scene.holds(conditions.shut_down(attempt.id))
    after = scene.step("switchover_given_up")

    assert "switchover" in waits
    assert (after.phase, after.term, after.primary, after.sync) == (
        "promoting",
        TERM,
        before.primary,
        before.sync,
    )
    assert after.switching is None
    assert scene.request("r-1").state == "failed"
    assert "does not have the last WAL" in scene.request("r-1").result


def test_a_report_from_before_the_stop_brings_no_route_back() -> None:
    """The keeper may be cut off, the server stopped: only what is said after the end counts (I7)."""
    scene = switching()
    attempt = scene.now.switching
    assert attempt is not None
    scene.holds(conditions.attempt(attempt.id, "switching"))
    after = scene.step("switchover_given_up")
    waits = scene.waits()
    scene.report(SANDUN_1, generation=after.generation)

    assert "promoting" in waits
    assert scene.step("route_set").term == TERM


@pytest.mark.parametrize(
    ("phase", "limit_s"), [("running", PREPARED_WITHIN_S), ("switching", 3.0 + STOPPED_WITHIN_S)]
)
def test_no_step_is_waited_for_without_end(phase: str, limit_s: float) -> None:
    """Neither the preparation nor the stop; the primary stays."""
    scene = begun() if phase == "running" else switching()
    attempt = scene.now.switching
    assert attempt is not None
    scene.holds(conditions.attempt(attempt.id, phase), limit_s - 0.1)
    waits = scene.waits()
    scene.holds(conditions.attempt(attempt.id, phase), limit_s)
    after = scene.step("switchover_given_up")

    assert "switchover" in waits
    assert (after.term, after.primary) == (TERM, running_view().primary)
    assert (after.route is None) == (phase == "switching")


@pytest.mark.parametrize("phase", ["running", "switching"])
def test_a_target_that_goes_away_ends_it(phase: str) -> None:
    """Its keeper, its PostgreSQL, or its life."""
    for how in ("keeper", "postgres", "life"):
        scene = begun() if phase == "running" else switching()
        if how == "keeper":
            scene.gone(SHIQIAO_1)
        elif how == "postgres":
            scene.down(SHIQIAO_1)
        else:
            members = tuple(_reborn(each) for each in scene.now.members)
            scene.view = scene.now.changed(members=members)
            scene.report(SHIQIAO_1, incarnation="ffffffff")
            if phase == "running":
                scene.step("sync_set_pending")  # the old life leaves the set, whatever else is going on

        assert scene.step("switchover_given_up").term == TERM
        assert scene.request("r-1").state == "failed"


def _reborn(member: Member) -> Member:
    return member.changed(incarnation="ffffffff") if member.uid == SHIQIAO_1 else member


@pytest.mark.parametrize("phase", ["running", "switching"])
def test_it_can_be_cancelled_until_the_primary_is_shut_down(phase: str) -> None:
    """After that the way on is the shorter one."""
    scene = begun() if phase == "running" else switching()
    [asked] = scene.requests
    word = Word(by="bert", at=ASKED_AT)
    scene.requests = (asked._replace(request=asked.request.changed(cancel=word)),)
    after = scene.step("switchover_given_up")

    late = handing_over()
    late.requests = tuple(each._replace(request=each.request.changed(cancel=word)) for each in late.requests)
    late.seals(SHIQIAO_1, END)
    late.seals(SANDUN_2, END)

    assert (after.term, scene.request("r-1").state) == (TERM, "cancelled")
    assert late.step("primary_named").term == TERM + 1


@pytest.mark.parametrize("phase", ["running", "switching"])
@pytest.mark.parametrize("how", ["down", "lost"])
def test_a_primary_that_dies_is_replaced_as_ever(phase: str, how: str) -> None:
    """Section 5, with its quorum; the attempt is over, and the request has failed."""
    scene = begun() if phase == "running" else switching()
    if how == "down":
        scene.down(SANDUN_1)
    else:
        scene.gone(SANDUN_1)
        scene.reaches_primary = False
        for uid in (SANDUN_2, SHIQIAO_1, SHIQIAO_2):
            scene.report(uid, upstream=hears(SANDUN_1, reachable=False, receiving=False))
    after = scene.step("sealing")
    scene.seals(SHIQIAO_1, END)

    assert after.switching is None
    assert scene.request("r-1").state == "failed"
    assert "sealing" in scene.waits(), "both members of the set are asked for"


def test_nobody_goes_on_from_a_stop_that_was_not_in_order() -> None:
    """A stopped primary without the report of this attempt is waited for."""
    scene = switching()
    scene.report(SANDUN_1, state="stopped", role=None, timeline=0, history=(), sync=None, standbys=())

    assert "switchover" in scene.waits()


def test_the_sync_set_is_left_alone_without_a_route() -> None:
    """A member that stops streaming changes nothing in phase switching."""
    scene = switching()
    scene.report(SANDUN_1, standbys=())
    for uid in (SHIQIAO_1, SHIQIAO_2):
        scene.holds(conditions.not_streaming(life(uid)))

    assert "switchover" in scene.waits()


def test_a_promotion_by_hand_and_new_members_do_not_come_between() -> None:
    """What can wait does."""
    scene = switching()
    scene.report(SHIQIAO_2, greatest_timeline=9)

    assert scene.decide().change is None


def test_the_request_may_vanish_and_the_switchover_goes_on() -> None:
    """The view carries it; somebody has emptied the requests."""
    scene = switching()
    scene.requests = ()
    stops(scene)
    reports(scene, SHIQIAO_1, holds=at(END))

    assert scene.step("sealing").term == TERM + 1


def test_conditions_are_named_while_they_hold() -> None:
    """So that their durations are known: the attempt's phase, and the stop."""
    scene = switching()
    before = conditions.current_conditions(scene.observed())
    stops(scene)
    after = conditions.current_conditions(scene.observed())
    attempt = scene.now.switching
    assert attempt is not None

    assert conditions.attempt(attempt.id, "switching") in before & after
    assert conditions.shut_down(attempt.id) in after - before


def test_an_upstream_that_is_gone_is_no_loss_of_the_primary() -> None:
    """While its keeper lives nobody concludes anything from standbys that hear nothing."""
    scene = switching()
    stops(scene)
    scene.reaches_primary = False
    silent: UpstreamReport = hears(SANDUN_1, reachable=False, receiving=False)
    for uid in (SANDUN_2, SHIQIAO_1, SHIQIAO_2):
        scene.report(uid, upstream=silent)

    view: ClusterView = scene.now
    assert scene.decide().change is None
    assert view.phase == "switching"


def test_a_switchover_in_a_pause() -> None:
    """Somebody has asked for it, so it is done; the pause goes on."""
    paused = Word(by="bert", at=ASKED_AT)
    scene = handing_over(view=running_view(paused=paused))
    scene.seals(SHIQIAO_1, END)
    scene.seals(SANDUN_2, END)
    scene.step("primary_named")
    scene.promoted(confirmed=True)

    assert scene.step("route_set").paused == paused
    assert scene.request("r-1").state == "done"
