"""What the demo prints of an exercise."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pgha.demo.accounting import NO_FAILOVER, Outcome, Phases, Traffic
from pgha.demo.output import Output, to_json, to_text
from tests.support.clock import ManualClock

TRAFFIC = Traffic(acked=900, unknown=2, errors=1, in_flight=3, unconnected=1, write_gap_s=0.1874)
CRASH = Outcome(
    exercise="crash",
    traffic=TRAFFIC,
    lost=(),
    phases=Phases(0.015, 0.04, 0.0431, 0.05),
    old_primary="sandun-1",
    new_primary="shiqiao-2",
    term=2,
    failovers=1,
    victim="sandun-1",
    back_s=1.84,
)
QUIET = Outcome(
    "etcd", TRAFFIC, (7,), NO_FAILOVER, "sandun-1", "sandun-1", term=1, failovers=0, victim=None, back_s=None
)


def test_the_object_of_an_exercise_has_exactly_the_promised_keys() -> None:
    """Scripts rely on them."""
    assert to_json(CRASH) == {
        "exercise": "crash",
        "acked": 900,
        "lost": 0,
        "unknown": 2,
        "write_gap_ms": 187.4,
        "errors": 1,
        "phases": {"detect_ms": 15.0, "seal_ms": 40.0, "promote_ms": 43.1, "route_ms": 50.0},
        "old_primary": "sandun-1",
        "new_primary": "shiqiao-2",
        "term": 2,
        "in_flight": 3,
        "failed_connections": 1,
    }


def test_what_an_old_primary_still_acknowledged_is_told_where_somebody_tried() -> None:
    """None of it is what the exercise is there to show."""
    frozen = replace(CRASH, exercise="freeze", acks_from_old=0)

    assert to_json(frozen) == to_json(CRASH) | {"exercise": "freeze", "acks_from_old": 0}
    assert "0 commits acknowledged by sandun-1" in "\n".join(to_text(frozen))


def test_how_long_took_what_was_asked_for_is_told() -> None:
    """A fault takes no time of its own."""
    restarted = replace(CRASH, exercise="rolling-restart", took_s=14.25)

    assert to_json(restarted) == to_json(CRASH) | {"exercise": "rolling-restart", "took_ms": 14250.0}
    assert to_text(restarted)[-2:] == [
        "  done 14.2 s after it was asked for",
        "  sandun-1 streams again 1.8 s after it was asked for",
    ]


def test_without_a_failover_the_phases_are_null() -> None:
    """Nothing was detected, sealed or promoted."""
    assert set(to_json(QUIET)["phases"].values()) == {None}
    assert to_json(QUIET)["lost"] == 1


def test_the_text_says_who_took_over_and_how_long_writers_waited() -> None:
    """And when the old primary was back."""
    shown = "\n".join(to_text(CRASH))

    assert "sandun-1 -> shiqiao-2 in term 2" in shown
    assert "187.4 ms" in shown
    assert "sandun-1 streams again 1.8 s after the fault" in shown


def test_json_has_standard_output_for_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Steps go to standard error, so that a pipe sees objects and nothing else."""
    output = Output(ManualClock(), as_json=True)
    output.step("started")
    output.result(CRASH)

    said = capsys.readouterr()

    assert [json.loads(line)["exercise"] for line in said.out.splitlines()] == ["crash"]
    assert "started" in said.err
