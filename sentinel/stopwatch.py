"""How long conditions have held and how long phases took, on the service's monotonic clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class Holding:
    """Remembers since when each condition has been true without a break."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def observe(self, conditions: Iterable[str], now: float) -> Mapping[str, float]:
        """Take the conditions that are true now; return for how many seconds each has been."""
        self._since = {condition: self._since.get(condition, now) for condition in conditions}
        return {condition: now - since for condition, since in self._since.items()}


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
