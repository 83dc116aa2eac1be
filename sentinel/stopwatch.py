"""How long conditions have held and how long phases took, on the service's monotonic clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

LOOK_LIMIT_S: Final = 5.0
"""Two looks farther apart than this have not seen what was in between: the process was paused."""


class Holding:
    """Remembers for how long each condition has been seen to be true, without a break.

    Only what was seen counts. When the store cannot be read, or this process slept, a condition may have
    ended and begun again unseen, and what stands in the store afterwards is at first what was true before:
    a candidate that finished its promotion during the outage still looks silent, a standby that came back
    still looks away. So after a gap every condition counts from nothing. That costs its limit once more,
    such as ``restart_after`` where the old primary is the last resort; detection it costs nothing, since
    ``down`` and ``lost`` rest on evidence, not on durations.

    The exception is told by ``outlasts_gaps``: conditions whose limit is hours or days, which a store that
    hiccups each night would otherwise keep from ever being reached. They go on without the gap's time.

    A change of the leading sentinel is no gap: followers look too, and each has a Holding of its own.
    """

    def __init__(self, outlasts_gaps: Callable[[str], bool] = lambda _: False) -> None:
        self._outlasts_gaps = outlasts_gaps
        self._held_s: dict[str, float] = {}
        self._looked_at: float | None = None

    def observe(self, conditions: Iterable[str], now: float) -> Mapping[str, float]:
        """Take the conditions that are true now; return for how many seconds each has been."""
        if self._looked_at is not None and now - self._looked_at > LOOK_LIMIT_S:
            self.lose_sight()
        passed_s = now - self._looked_at if self._looked_at is not None else 0.0
        self._looked_at = now
        self._held_s = {
            condition: self._held_s[condition] + passed_s if condition in self._held_s else 0.0
            for condition in conditions
        }
        return dict(self._held_s)

    @property
    def counts(self) -> bool:
        """Whether any condition was true at the last look, so that time itself may change a decision."""
        return bool(self._held_s)

    def lose_sight(self) -> None:
        """Nobody sees the cluster now."""
        self._looked_at = None
        self._held_s = {name: held_s for name, held_s in self._held_s.items() if self._outlasts_gaps(name)}


class PhaseTimes:
    """Times the phases of a failover, from the writes that this sentinel made itself."""

    _ENDS = {"primary_named": ("seal_ms", "sealing"), "route_set": ("promote_ms", "primary_named")}  # noqa: RUF012

    def __init__(self) -> None:
        self._marks: dict[str, float] = {}

    def phases_ms(self, kind: str, now: float) -> dict[str, float]:
        """How long the phase took that this event ends; empty when we did not see it begin."""
        if kind not in self._ENDS:
            return {}
        name, began = self._ENDS[kind]
        phases = {name: round((now - self._marks[began]) * 1000, 1)} if began in self._marks else {}
        if kind == "route_set" and "sealing" in self._marks:
            phases["total_ms"] = round((now - self._marks["sealing"]) * 1000, 1)
        return phases

    def mark(self, kind: str, now: float) -> None:
        """An event was written."""
        if kind == "sealing":
            self._marks.clear()
        self._marks[kind] = now
        if kind == "route_set":
            self._marks.clear()
