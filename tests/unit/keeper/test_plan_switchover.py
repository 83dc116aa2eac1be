"""The keeper's next step in a switchover: of the primary that makes way, and when it is given up."""

from __future__ import annotations

from typing import Any

import pytest

from common.model.reports import SwitchingReport
from common.model.view import ClusterView, Switching
from keeper.plan import plan
from keeper.plan_switchover import DRAIN_LEAST_S
from keeper.steps import (
    Facts,
    Finish,
    Guard,
    NoteShutDown,
    Serve,
    ShutDown,
    StartStandby,
    StartWritable,
    Stop,
)
from tests.support.builders import (
    SANDUN_1,
    SHIQIAO_1,
    at,
    life,
    promoting_view,
    promotion,
    running_view,
    sealing_view,
    sync_set,
)
from tests.support.facts import as_primary, as_standby, not_running, why_it_waits
from tests.support.healthy import TERM

ATTEMPT = Switching(id=21, request="r-1", target=life(SHIQIAO_1), drain_s=3.0)
READY = SwitchingReport(id=21, ready=True)
SHUT_DOWN = SwitchingReport(id=21, shut_down=at(6))


def switching_view(**fields: Any) -> ClusterView:
    return running_view(**{"phase": "switching", "route": None, "switching": ATTEMPT} | fields)


def draining(**fields: Any) -> Facts:
    whole: dict[str, Any] = {"switching": READY, "clients": 3, "phase_seen_s": 1.0}
    return as_primary(**whole | fields)


def stopped(state: str = "stopped", **fields: Any) -> Facts:
    return not_running(as_primary(), state, **fields)


def test_sessions_go_on_until_the_drain_is_over() -> None:
    """It serves meanwhile; then it is stopped for just this attempt."""
    assert plan(switching_view(), draining()) == Serve(TERM)
    assert plan(switching_view(), draining(phase_seen_s=3.0)) == ShutDown(21)


def test_without_clients_the_drain_ends_early_but_not_at_once() -> None:
    """A client that a proxy has just let in has its session by then."""
    assert plan(switching_view(), draining(clients=0, phase_seen_s=0.0)) == Serve(TERM)
    assert plan(switching_view(), draining(clients=0, phase_seen_s=DRAIN_LEAST_S)) == ShutDown(21)


def test_nothing_is_stopped_while_the_store_is_away() -> None:
    """Nobody could be promoted without it."""
    assert plan(switching_view(), draining(phase_seen_s=60.0, sees_store=False)) == Serve(TERM)


def test_what_a_primary_must_not_be_comes_first() -> None:
    """On a wrong timeline it ends at once; under ``k = 0`` it is guarded first."""
    unguarded = switching_view(sync=running_view().sync.changed(current=sync_set(15, 0)))

    assert isinstance(plan(switching_view(), draining(timeline=7)), Stop)
    assert plan(unguarded, draining(phase_seen_s=60.0)) == Guard(TERM)


def test_it_waits_while_it_stops() -> None:
    """Also once it is shut down: the sentinel decides what is next."""
    assert why_it_waits(switching_view(), stopped("stopping", shutting_down=True)) == "handing_over"
    assert why_it_waits(switching_view(), stopped("stopping", switching=SHUT_DOWN)) == "handing_over"
    assert why_it_waits(switching_view(), stopped(switching=SHUT_DOWN)) == "handing_over"


@pytest.mark.parametrize("state", ["stopped", "down", "failed"])
def test_a_keeper_that_finds_it_stopped_looks_how(state: str) -> None:
    """Its own earlier life may have stopped it; what was reported for another attempt counts for nothing."""
    other = SwitchingReport(id=20, shut_down=at(5))

    assert plan(switching_view(), stopped(state)) == NoteShutDown(21)
    assert plan(switching_view(), stopped(state, switching=other)) == NoteShutDown(21)


@pytest.mark.parametrize("state", ["stopped", "down", "failed", "starting", "stopping"])
@pytest.mark.parametrize("report", [None, READY, SHUT_DOWN])
def test_nobody_starts_it_writable_meanwhile(state: str, report: SwitchingReport | None) -> None:
    """I6: from the report on it can acknowledge nothing, whoever restarts whatever."""
    step = plan(switching_view(), stopped(state, switching=report))

    assert not isinstance(step, StartWritable | StartStandby)


def test_a_switchover_that_is_given_up_starts_it_in_its_term() -> None:
    """Its promotion to the timeline that the view names is finished, be it of an earlier term."""
    given_up = promoting_view()
    earlier = promotion().changed(term=TERM - 1)

    assert plan(given_up, stopped(switching=SHUT_DOWN)) == StartWritable(TERM)
    assert plan(given_up, stopped(promotion=earlier)) == StartWritable(TERM)
    assert why_it_waits(given_up, stopped(promotion=promotion(finished=False))) == "primary_down"
    assert why_it_waits(given_up, stopped("down", switching=SHUT_DOWN)) == "primary_down"


def test_what_still_stops_may_end_in_order_before_it_is_started_again() -> None:
    """In the same term; once it is shut down, or the term is over, what is left is killed."""
    under_way = stopped("stopping", shutting_down=True)

    assert why_it_waits(promoting_view(), under_way) == "shutting_down"
    assert isinstance(plan(promoting_view(), stopped("stopping", switching=SHUT_DOWN)), Finish)
    assert isinstance(plan(sealing_view(), under_way), Finish)
    assert isinstance(plan(sealing_view(), stopped("stopping", switching=SHUT_DOWN)), Finish)


def test_the_target_follows_until_the_new_term() -> None:
    """It takes all WAL that comes; it seals like everybody when it is asked to."""
    assert why_it_waits(switching_view(), as_standby(SHIQIAO_1)) == "following"


def test_an_old_primary_that_must_acknowledge_starts_at_once() -> None:
    """Else it stays out of the way of the clients, who come back first."""
    sync = running_view().sync
    counted = promoting_view(
        term=TERM + 1,
        primary=running_view().primary,
        sync=sync.changed(current=sync_set(30, 1, SANDUN_1)),
    )
    member = counted.primary
    assert member is not None
    view = counted.changed(primary=member.changed(uid=SHIQIAO_1, incarnation=life(SHIQIAO_1).incarnation))
    others = view.changed(sync=sync)
    facts = stopped(phase_seen_s=0.0)

    assert isinstance(plan(view, facts), StartStandby)
    assert why_it_waits(others, facts) == "after_route"
