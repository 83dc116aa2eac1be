"""How far the hosts' clocks are apart, measured by asking them. Pure.

No decision of pgha rests on a wall clock, but what stands in tables may: a new primary whose clock is behind
that of the one before writes times that are in the past, and clients that ask "what is newer than" miss them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from common.model.reasons import Reason

WARN_FROM_S: Final = 0.1


class ClockOffset(NamedTuple):
    """How far a clock is ahead of the asker's, in seconds, and by how much that may be wrong."""

    ahead_s: float
    error_s: float


def offset_of(asked_at: datetime, took_s: float, received: datetime, answered: datetime) -> ClockOffset:
    """Compute it as NTP does (RFC 5905, section 8) from the four moments of one question.

    ``asked_at`` and ``took_s`` are the asker's, ``received`` and ``answered`` those of the host asked.
    """
    there_s = (received - asked_at).total_seconds()
    back_s = (answered - asked_at).total_seconds() - took_s
    worked_s = (answered - received).total_seconds()
    return ClockOffset((there_s + back_s) / 2, max(0.0, took_s - worked_s) / 2)


def apart_s(one: ClockOffset, other: ClockOffset) -> float:
    """How far two clocks are apart at least, in seconds."""
    return max(0.0, abs(one.ahead_s - other.ahead_s) - one.error_s - other.error_s)


def clocks_apart(offsets: Mapping[str, ClockOffset]) -> Reason | None:
    """Warn of the two members that are farthest apart, if that is too far."""
    if not offsets:
        return None
    ahead = max(offsets, key=lambda uid: offsets[uid].ahead_s)
    behind = min(offsets, key=lambda uid: offsets[uid].ahead_s)
    least_s = apart_s(offsets[ahead], offsets[behind])
    if least_s < WARN_FROM_S:
        return None
    return Reason(
        code="clocks_apart",
        severity="warning",
        subject=behind,
        text=f"the clock of {behind} is {least_s:.2f} s behind that of {ahead} at least: after a switchover "
        "to it new rows can bear times before those of older ones, and clients that poll by time miss them",
        fix=f"see to the time service (chrony, ntpd) on {behind} and {ahead}",
    )
