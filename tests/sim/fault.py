"""One thing that befalls a simulated cluster: a value."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that befalls the cluster.

    It begins ``at_s`` seconds after the cluster is up; with ``phase`` when that is next entered after then,
    ``after_s`` later. It lasts ``lasts_s``; with ``until`` that counts from when that phase is next entered.
    ``whom`` is a role, resolved when it begins; ``chance`` seeds its details.
    """

    kind: str
    at_s: float
    lasts_s: float
    whom: str
    chance: int
    phase: str = ""
    after_s: float = 0.0
    until: str = ""

    @classmethod
    def drawn(
        cls,
        chance: Random,
        kind: str,
        whom: str,
        at_s: float,
        lasts_s: float,
        *,
        phase: str = "",
        after_s: float = 0.0,
        until: str = "",
    ) -> Fault:
        """One whose details are left to chance."""
        return cls(kind, at_s, lasts_s, whom, chance.getrandbits(32), phase, after_s, until)

    def __str__(self) -> str:
        when = f"{self.at_s:.2f} s"
        if self.phase:
            when += f", {self.after_s:.3f} s into the next {self.phase}"
        until = f"until {self.until} and " if self.until else ""
        return f"{self.kind} of {self.whom} at {when} {until}for {self.lasts_s:.2f} s"
