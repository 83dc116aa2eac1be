"""How far a member's data agree with the lineage (protocol, sections 1, 5.2 and 9).

Divergence is judged by fork points along the lineage, never by timeline numbers or LSNs alone:
a position counts only as far as the member's own timeline history agrees with the lineage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.model.view import LineageEntry
from common.model.wal import ZERO, Lsn, Switch


@dataclass(frozen=True, slots=True)
class Position:
    """Where a member's data end: the timelines it went through, the one it is on, and the end of its WAL."""

    history: tuple[Switch, ...]
    timeline: int
    lsn: Lsn


def _walk(position: Position, lineage: Sequence[LineageEntry]) -> tuple[Lsn, bool]:
    """How far the data agree, and whether they agree to their very end."""
    if not lineage:
        return ZERO, False
    path = [*position.history, Switch(position.timeline, position.lsn)]
    starts = [index for index, step in enumerate(path) if step.timeline == lineage[0].timeline]
    if not starts:
        return ZERO, False
    steps = path[starts[0] :]
    agreed = ZERO
    for index, step in enumerate(steps):
        if index == len(lineage) or step.timeline != lineage[index].timeline:
            return agreed, False
        last = index + 1 == len(lineage)
        agreed = step.lsn if last else Lsn(min(step.lsn, lineage[index + 1].fork))
        if agreed < step.lsn:
            return agreed, False
        if not last and step.lsn < lineage[index + 1].fork:
            return agreed, index + 1 == len(steps)
    return agreed, True


def agreed_until(position: Position, lineage: Sequence[LineageEntry]) -> Lsn:
    """Return the point up to which the member's WAL is that of the lineage (0/0 when nothing is)."""
    return _walk(position, lineage)[0]


def has_diverged(position: Position, lineage: Sequence[LineageEntry]) -> bool:
    """Whether the member went a way that the lineage did not, be it only by a timeline of its own."""
    return not _walk(position, lineage)[1]


def contains(position: Position, lineage: Sequence[LineageEntry], point: Lsn) -> bool:
    """Whether the member's data hold everything of the lineage up to a point."""
    return agreed_until(position, lineage) >= point


def has_promotion(lineage: Sequence[LineageEntry], timeline: int, incarnation: str) -> bool:
    """Whether the promotion of that life to that timeline is part of the lineage."""
    return any(entry.timeline == timeline and entry.incarnation == incarnation for entry in lineage)


def own_part(position: Position, lineage: Sequence[LineageEntry]) -> tuple[LineageEntry, ...]:
    """The lineage without the entries of promotions that are not in the member's history."""
    through = {step.timeline for step in position.history} | {position.timeline}
    return tuple(entry for entry in lineage if entry.timeline in through)


def can_be_extended(position: Position, lineage: Sequence[LineageEntry]) -> bool:
    """Whether the member could be promoted from where it is: the lineage knows each of its timelines.

    It may have gone past the fork of a later promotion, one that perhaps never began; that entry goes
    once this member is the primary.
    """
    return not has_diverged(position, own_part(position, lineage))


def extended(
    lineage: Sequence[LineageEntry], position: Position, new: LineageEntry
) -> tuple[LineageEntry, ...]:
    """The lineage once a member at ``position`` is promoted: its own history plus the new entry."""
    return (*own_part(position, lineage), new)
