"""Switchovers, in some seeds, and what goes wrong within them; drawn apart: other seeds stay as they are."""

from __future__ import annotations

from random import Random
from typing import Final

from tests.sim.fault import Fault

FIRST_S: Final = 2.0
SHARE: Final = 0.4
APART_S: Final = (5.0, 11.0)
AGAIN: Final = 0.45

MOMENTS: Final = (
    ("running", 0.3),
    ("switching", 1.5),
    ("stopping", 0.3),
    ("sealing", 0.1),
    ("promoting", 0.4),
)
"""What a fault within a switchover waits for, and until how long after that it may begin, in seconds."""

WITHIN_SWITCHOVERS: Final = (
    ("kill", "leader", 0.0),
    ("kill", "primary", 0.0),
    ("kill", "target", 0.0),
    ("pause", "leader", 4.0),
    ("pause", "primary", 4.0),
    ("pause", "target", 4.0),
    ("crash_host", "primary", 8.0),
    ("crash_host", "target", 8.0),
    ("pause_host", "primary", 6.0),
    ("kill_postgres", "primary", 0.0),
    ("kill_postgres", "target", 0.0),
    ("kill_postmaster", "primary", 0.0),
    ("pause_postgres", "standby", 12.0),
    ("pause_postgres", "target", 6.0),
    ("cut_replication", "target", 6.0),
    ("cut_replication", "primary", 6.0),
    ("cut_etcd", "primary", 6.0),
    ("cut_etcd", "target", 6.0),
    ("cut_host", "primary", 6.0),
    ("split_sites", "any", 6.0),
    ("hang_disk", "primary", 6.0),
    ("hang_disk", "target", 6.0),
    ("fail_starts", "primary", 4.0),
    ("slow_starts", "primary", 6.0),
    ("etcd_outage", "any", 6.0),
    ("etcd_revokes", "any", 0.0),
    ("late_watches", "any", 6.0),
    ("lossy_store", "any", 6.0),
    ("cancel", "any", 0.0),
    ("switchover", "any", 0.0),
    ("change_spec", "any", 0.0),
)


def switchovers(seed: int, until_s: float) -> list[Fault]:
    """What operators ask for in some seeds, each with something that may go wrong within it."""
    chance = Random(f"{seed}/switchovers")
    if chance.random() >= SHARE:
        return []
    found: list[Fault] = []
    at_s = FIRST_S * (1 + chance.random())
    while at_s < until_s:
        found += _switchover(chance, at_s)
        at_s += APART_S[0] + (APART_S[1] - APART_S[0]) * chance.random()
    return found


def _switchover(chance: Random, at_s: float) -> list[Fault]:
    found = [Fault("switchover", at_s, 0.0, "any", chance.getrandbits(32))]
    while chance.random() < AGAIN:
        kind, whom, lasts_s = chance.choice(WITHIN_SWITCHOVERS)
        phase, most_s = chance.choice(MOMENTS)
        after_s = most_s * chance.random() ** 2
        lasts_s *= 0.2 + chance.random()
        found.append(Fault(kind, at_s - 0.5, lasts_s, whom, chance.getrandbits(32), phase, after_s))
    return found
