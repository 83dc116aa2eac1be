"""From the records of writers and readers to the figures of an exercise. Pure.

All times are seconds on the demo's one clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

Result = Literal["ok", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a client, connecting included where it had to.

    ``failed`` had no effect; ``unknown``: the connection died while the answer was awaited.
    ``row`` is the number that a writer inserted, None for a read. ``connected``: there was a connection: it
    was not that which failed.
    """

    site: str
    began_s: float
    ended_s: float
    result: Result
    row: int | None = None
    connected: bool = True

    def on_the_wire(self, instant_s: float) -> bool:
        """Whether it had been sent and not been answered at an instant."""
        return self.began_s <= instant_s <= self.ended_s


@dataclass(frozen=True, slots=True)
class Traffic:
    """What clients saw of one exercise.

    ``errors`` are statements that failed, those on the wire at the instant of the fault apart in
    ``in_flight``; writes of unknown outcome are in ``unknown`` and, as failures, in one of the two.
    ``unconnected`` are statements that failed because no connection could be made.
    """

    acked: int
    unknown: int
    errors: int
    in_flight: int
    unconnected: int
    write_gap_s: float


@dataclass(frozen=True, slots=True)
class Phases:
    """How long each part of a failover took, in seconds; None where there was none."""

    detect_s: float | None = None
    seal_s: float | None = None
    promote_s: float | None = None
    route_s: float | None = None


NO_FAILOVER: Final = Phases()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one exercise showed; ``back_s``: from the fault until the victim streams as a standby.

    ``acks_from_old``: commits that the old primary acknowledged to a client of its own address after
    another one was named; None where nobody tried. ``margin_s``: by how much the deadman was done before
    the lease ended, in seconds. ``took_s``: how long what was asked for took; None where nothing was.
    """

    exercise: str
    traffic: Traffic
    lost: tuple[int, ...]
    phases: Phases
    old_primary: str
    new_primary: str
    term: int
    failovers: int
    victim: str | None
    back_s: float | None
    acks_from_old: int | None = None
    margin_s: float | None = None
    took_s: float | None = None


def traffic(statements: Iterable[Statement], fault_s: float, sites: Collection[str]) -> Traffic:
    """Account for the clients of the given sites (for a lost site: those of the other one)."""
    seen = [each for each in statements if each.site in sites]
    bad = [each for each in seen if each.result != "ok"]
    in_flight = sum(each.on_the_wire(fault_s) for each in bad)
    acked = [each for each in seen if each.result == "ok" and each.row is not None]
    return Traffic(
        acked=len(acked),
        unknown=sum(each.result == "unknown" and each.row is not None for each in seen),
        errors=len(bad) - in_flight,
        in_flight=in_flight,
        unconnected=sum(not each.connected for each in bad),
        write_gap_s=longest_gap_s([each.ended_s for each in acked]),
    )


def longest_gap_s(instants_s: Iterable[float]) -> float:
    """The longest time between two consecutive instants; 0 for fewer than two."""
    return max((later - earlier for earlier, later in pairwise(sorted(instants_s))), default=0.0)


def lost_rows(acked: Collection[int], present: Collection[int]) -> tuple[int, ...]:
    """Acknowledged rows that are not in the table."""
    return tuple(sorted(set(acked) - set(present)))


def named_at_s(fault_s: float, milestones: Sequence[Milestone]) -> float:
    """When the first primary after a fault was named; the instant of the fault when none was."""
    named = (each.at_s for each in milestones if each.at_s >= fault_s and each.kind == "promoting")
    return min(named, default=fault_s)


@dataclass(frozen=True, slots=True)
class Milestone:
    """A change that the demo's watch saw, and when it arrived."""

    at_s: float
    kind: Literal["sealing", "promoting", "promoted"]
    term: int


def phases(fault_s: float, milestones: Sequence[Milestone], acked_s: Iterable[float]) -> Phases:
    """Split a failover at its milestones, from the fault to the first write acknowledged in the last term.

    A failover that took several terms is timed as one: detected at the first sealing view, sealed
    when the last primary was named. ``acked_s``: when writes were acknowledged.
    """
    after = [each for each in milestones if each.at_s >= fault_s]
    sealing = next((each for each in after if each.kind == "sealing"), None)
    named = next((each for each in reversed(after) if each.kind == "promoting"), None)
    if sealing is None or named is None:
        return NO_FAILOVER
    done = next((each for each in after if each.kind == "promoted" and each.term == named.term), None)
    first = min((at for at in acked_s if done is not None and at >= done.at_s), default=None)
    return Phases(
        detect_s=sealing.at_s - fault_s,
        seal_s=named.at_s - sealing.at_s,
        promote_s=None if done is None else done.at_s - named.at_s,
        route_s=None if first is None or done is None else first - done.at_s,
    )
