"""What becomes of requests: begun in order, refused with a reason, taken back, kept for a while."""

from __future__ import annotations

from datetime import timedelta

import pytest

from common.model.requests import EXPIRES_AFTER_S, KEPT_FOR_S, KEPT_LIMIT, Continue, Pause, Resume
from common.model.view import Word
from tests.support.builders import ASKED_AT, SANDUN_1, Scene
from tests.support.healthy import TERM

LATER = timedelta(seconds=EXPIRES_AFTER_S + 1)


def test_a_step_changes_view_and_request_in_one_write() -> None:
    """So it is done once, whoever leads afterwards."""
    scene = Scene()
    asked = scene.ask(Pause())
    change = scene.decide().change
    assert change is not None
    (updated,) = change.requests
    scene.step("paused")

    assert updated.request is not None
    assert (updated.id, updated.request.state, change.by) == (asked, "done", "anna")
    assert scene.request(asked).ended_at == ASKED_AT
    assert "request" not in scene.waits()


def test_what_the_cluster_needs_comes_first() -> None:
    """A primary that went down is replaced before anybody is answered."""
    scene = Scene()
    scene.ask(Continue())
    scene.down(SANDUN_1)

    assert scene.step("sealing").continue_in_term == 0


def test_requests_are_answered_in_the_order_of_asking() -> None:
    """One write after the other."""
    scene = Scene()
    second = scene.ask(Resume(), at=ASKED_AT - timedelta(seconds=1))
    first = scene.ask(Pause(), at=ASKED_AT - timedelta(seconds=2))
    scene.step("paused")

    assert scene.request(first).state == "done"
    assert scene.request(second).state == "pending"
    assert scene.step("resumed").paused is None


def test_what_is_so_already_is_done_without_a_write_of_the_view() -> None:
    """And says since when."""
    scene = Scene()
    scene.ask(Pause())
    scene.step("paused")
    again = scene.ask(Pause())
    scene.told()

    assert scene.request(again).state == "done"
    assert "paused by anna at 2026-11-21 12:00:00 UTC" in scene.request(again).result


def test_what_was_meant_for_another_primary_is_not_done() -> None:
    """The operator saw another cluster when he asked."""
    scene = Scene()
    asked = scene.ask(Continue(), term=TERM - 1)
    scene.told()

    assert scene.request(asked).state == "failed"
    assert f"asked for in term {TERM - 1}" in scene.request(asked).result


def test_a_scheduled_request_begins_at_its_time_in_whatever_term() -> None:
    """Until then it says when."""
    scene = Scene()
    asked = scene.ask(Continue(), term=TERM - 1, not_before=ASKED_AT + timedelta(hours=1))
    scene.clock = ASKED_AT + timedelta(minutes=59)
    waits = scene.decide()
    scene.clock = ASKED_AT + timedelta(minutes=61)

    assert (waits.change, waits.updates) == (None, ())
    assert any("begins at 2026-11-21 13:00:00 UTC" in reason.text for reason in waits.reasons)
    assert scene.step("failover_allowed").continue_in_term == TERM
    assert scene.request(asked).state == "done"


@pytest.mark.parametrize("scheduled", [False, True])
def test_what_nobody_began_in_time_is_not_done_later(*, scheduled: bool) -> None:
    """Nobody expects any more that it happens."""
    scene = Scene()
    at = ASKED_AT + timedelta(hours=1) if scheduled else None
    asked = scene.ask(Pause(), not_before=at)
    scene.clock = (at or ASKED_AT) + LATER
    scene.told()

    assert scene.request(asked).state == "failed"
    assert "could not begin within 10 minutes" in scene.request(asked).result


def test_what_has_not_begun_can_be_taken_back() -> None:
    """A scheduled one before its time, too."""
    scene = Scene()
    cancel = Word(by="ben", at=ASKED_AT)
    asked = scene.ask(Pause(), cancel=cancel, not_before=ASKED_AT + timedelta(hours=1))
    scene.told()

    assert scene.request(asked).state == "cancelled"
    assert "ben" in scene.request(asked).result


def test_what_has_ended_is_kept_bounded_in_number_and_age() -> None:
    """The oldest go; what is open stays."""
    scene = Scene()
    scene.ask(Pause(), not_before=ASKED_AT + timedelta(days=365))
    for number in range(KEPT_LIMIT + 5):
        ended_at = ASKED_AT + timedelta(minutes=number)
        scene.ask(Pause(), state="done", ended_at=ended_at)
    scene.clock = ASKED_AT + timedelta(hours=1)
    scene.told()
    kept = [each.request.id for each in scene.requests]

    assert kept == ["r-1", *(f"r-{number}" for number in range(7, KEPT_LIMIT + 7))]
    assert scene.decide().updates == ()

    scene.clock += timedelta(seconds=KEPT_FOR_S)
    while scene.decide().updates:
        scene.told()

    assert [each.request.id for each in scene.requests] == ["r-1"]
