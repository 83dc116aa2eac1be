"""Storms of what comes too late: a write of who led once, a standby that lags, a candidate's old view.

Each has a moment that must be hit, so each names what it waits for instead of leaving it to chance.
"""

from __future__ import annotations

from random import Random
from typing import Final

from tests.sim.fault import Fault

_fault = Fault.drawn


def successor_before_the_laggards(chance: Random, at_s: float) -> list[Fault]:
    """All standbys but one lag; that one is promoted, and dies before they have caught up."""
    dies_s = at_s + 0.5 + 3 * chance.random()
    after_s = 1.2 * chance.random()
    kind = chance.choice(("crash_host", "kill_postgres"))
    return [
        _fault(chance, "cut_replication_but_one", "primary", at_s, 18.0),
        _fault(chance, "crash_host", "primary", dies_s, 16.0),
        _fault(chance, kind, "primary", dies_s, 10.0, phase="promoting", after_s=after_s),
    ]


def stopped_writer(chance: Random, at_s: float) -> list[Fault]:
    """The leader stops between its decision and the write, and goes on about when another one leads.

    What it has decided may have no reason any more by then: a standby that was away for a moment is back.
    """
    again_s = 0.4 * chance.random() if chance.random() < 0.7 else 3 * chance.random()
    found = [_fault(chance, "stop_in_write", "leader", at_s, again_s, until="leaderless")]
    if chance.random() < 0.5:
        found.append(_fault(chance, "cut_replication", "standby", at_s + 0.1, 1 + 4 * chance.random()))
    else:
        kind = chance.choice(("kill_postgres", "crash_host"))
        found.append(_fault(chance, kind, "primary", at_s + 0.1, 6.0))
    if chance.random() < 0.7:
        found.append(_fault(chance, "late_watches", "any", at_s, 12.0))
    return found


def late_write(chance: Random, at_s: float) -> list[Fault]:
    """What the leader writes is under way for seconds, while it writes the same by another member of etcd."""
    kind = chance.choice(("kill_postgres", "crash_host"))
    return [
        _fault(chance, "cut_in_write", "leader", at_s, 4 + 3 * chance.random()),
        _fault(chance, kind, chance.choice(("primary", "standby")), at_s + 0.1, 5.0),
        _fault(chance, "kill_postgres", "primary", at_s + 0.1 + chance.random(), 0.0),
    ]


def candidate_without_store(chance: Random, at_s: float) -> list[Fault]:
    """A candidate's PostgreSQL stands still; its keeper dies, and reads nothing when it is back."""
    kill_s = 0.1 + 0.4 * chance.random()
    return [
        _fault(chance, "kill_postgres", "primary", at_s, 0.0),
        _fault(chance, "pause_postgres", "candidate", at_s, 0.5 + chance.random(), phase="promoting"),
        _fault(chance, "cut_etcd", "candidate", at_s, 6.0, phase="promoting", after_s=0.05),
        _fault(chance, "kill", "candidate", at_s, 0.0, phase="promoting", after_s=kill_s),
    ]


def named_again(chance: Random, at_s: float) -> list[Fault]:
    """A primary does not hear that its sync set shall change, while the standbys take turns in lagging.

    It is given up, but comes back before enough have sealed.
    """
    turn_s, alone_s = 0.3 * chance.random(), 3 + 2 * chance.random()
    return [
        _fault(chance, "cut_replication", "sync 1", at_s, 0.0, until="pending"),
        _fault(chance, "cut_etcd", "primary", at_s, alone_s, phase="pending"),
        _fault(chance, "cut_replication", "sync 2", at_s, 12.0, phase="pending", after_s=turn_s),
        _fault(
            chance, "cut_host", "primary", at_s, turn_s, phase="pending", after_s=alone_s, until="sealing"
        ),
        *(
            _fault(chance, "pause_postgres", "standby", at_s, 4.0 + 2 * chance.random(), phase="sealing")
            for _ in range(4)
        ),
    ]


KINDS: Final = (
    successor_before_the_laggards,
    stopped_writer,
    late_write,
    candidate_without_store,
    named_again,
)
