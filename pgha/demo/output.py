"""What the demo says: steps as they happen, for a person; results, for a person or as JSON lines."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any, TextIO

from common.runtime.clock import Clock
from pgha.demo.accounting import Outcome


class Output:
    """Where the demo writes.

    With ``as_json`` standard output holds one object per exercise and nothing else; the steps then go to
    standard error.
    """

    def __init__(self, clock: Clock, *, as_json: bool) -> None:
        self._clock = clock
        self._began_s = clock.monotonic()
        self._as_json = as_json
        self._steps: TextIO = sys.stderr if as_json else sys.stdout

    def step(self, text: str) -> None:
        """Say what happened, with the seconds since the demo began."""
        self.line(f"{self._clock.monotonic() - self._began_s:7.2f} s  {text}")

    def line(self, text: str = "") -> None:
        """Write a line for a person; that nobody reads any more must not keep the demo from clearing up."""
        with contextlib.suppress(OSError):
            self._steps.write(f"{text}\n")
            self._steps.flush()

    def result(self, outcome: Outcome) -> None:
        """Write what an exercise showed."""
        if self._as_json:
            sys.stdout.write(json.dumps(to_json(outcome)) + "\n")
            sys.stdout.flush()
        for line in to_text(outcome):
            self.step(line)


def to_json(outcome: Outcome) -> dict[str, Any]:
    """The object of one exercise; times in milliseconds, null where there was no failover."""
    phases = outcome.phases
    return {
        "exercise": outcome.exercise,
        "acked": outcome.traffic.acked,
        "lost": len(outcome.lost),
        "unknown": outcome.traffic.unknown,
        "write_gap_ms": _ms(outcome.traffic.write_gap_s),
        "errors": outcome.traffic.errors,
        "phases": {
            "detect_ms": _ms(phases.detect_s),
            "seal_ms": _ms(phases.seal_s),
            "promote_ms": _ms(phases.promote_s),
            "route_ms": _ms(phases.route_s),
        },
        "old_primary": outcome.old_primary,
        "new_primary": outcome.new_primary,
        "term": outcome.term,
        "in_flight": outcome.traffic.in_flight,
        "failed_connections": outcome.traffic.unconnected,
        **({} if outcome.acks_from_old is None else {"acks_from_old": outcome.acks_from_old}),
        **({} if outcome.margin_s is None else {"margin_ms": _ms(outcome.margin_s)}),
        **({} if outcome.took_s is None else {"took_ms": _ms(outcome.took_s)}),
    }


def to_text(outcome: Outcome) -> list[str]:
    """What a person wants to know of one exercise."""
    traffic = outcome.traffic
    if outcome.old_primary == outcome.new_primary:
        who = f"{outcome.new_primary} stayed primary in term {outcome.term}"
    else:
        who = f"{outcome.old_primary} -> {outcome.new_primary} in term {outcome.term}"
    lines = [
        f"{outcome.exercise}: {who}; longest gap between acknowledged writes {_ms(traffic.write_gap_s)} ms"
    ]
    if outcome.phases.detect_s is not None:
        named = ("detect", "seal", "promote", "route")
        steps = (getattr(outcome.phases, f"{name}_s") for name in named)
        shown = (
            f"{name} {_ms(took)} ms" for name, took in zip(named, steps, strict=True) if took is not None
        )
        lines.append(f"  {', '.join(shown)}")
    lines.append(
        f"  {traffic.acked} writes acknowledged, {len(outcome.lost)} lost; "
        f"{traffic.errors} statements failed, {traffic.in_flight} more that were on the wire; "
        f"{traffic.unknown} writes of unknown outcome"
    )
    if outcome.acks_from_old is not None:
        lines.append(
            f"  {outcome.acks_from_old} commits acknowledged by {outcome.old_primary}, to a client of its "
            "own address, after another one was named"
        )
    if outcome.margin_s is not None:
        lines.append(
            f"  the deadman ended PostgreSQL {_ms(outcome.margin_s)} ms before the lease of "
            f"{outcome.old_primary} ended"
        )
    if outcome.took_s is not None:
        lines.append(f"  done {outcome.took_s:.1f} s after it was asked for")
    if outcome.back_s is not None:
        since = "the fault" if outcome.took_s is None else "it was asked for"
        lines.append(f"  {outcome.victim} streams again {outcome.back_s:.1f} s after {since}")
    return lines


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
