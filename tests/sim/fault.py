"""One thing that befalls a simulated cluster: a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that befalls the cluster.

    It begins ``at_s`` seconds after the cluster is up; with ``phase`` when that is next entered after then,
    ``after_s`` later. ``whom`` is a role, resolved when it begins; ``chance`` seeds its details.
    """

    kind: str
    at_s: float
    lasts_s: float
    whom: str
    chance: int
    phase: str = ""
    after_s: float = 0.0

    def __str__(self) -> str:
        when = f"{self.at_s:.2f} s"
        if self.phase:
            when += f", {self.after_s:.3f} s into the next {self.phase}"
        return f"{self.kind} of {self.whom} at {when} for {self.lasts_s:.2f} s"
