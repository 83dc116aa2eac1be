"""Faults that only some seeds have, drawn apart so that the others stay as they are: what operators do.

Each such seed has weights of its own, as for the other kinds, and few of these faults beside the others.
"""

from __future__ import annotations

from random import Random
from typing import Final

from tests.sim.fault import Fault

SHARE: Final = 0.4
MOST: Final = 4
PHASES: Final = ("sealing", "promoting", "running", "pending", "cloning", "rewinding", "stopping")

WEIGHTS: Final = {
    "restore_store": 2.0,
    "resume": 0.5,
    "continue_failover": 0.7,
    "pause_cluster": 0.7,
}


def extras(seed: int, until_s: float) -> list[Fault]:
    """What operators do in the run of a seed; nothing in most of them."""
    chance = Random(f"{seed}/extras")
    if chance.random() >= SHARE:
        return []
    weights = {kind: weight * chance.random() ** 2 for kind, weight in WEIGHTS.items()}
    return [_fault(chance, weights, until_s) for _ in range(1 + int(MOST * chance.random() ** 2))]


def _fault(chance: Random, weights: dict[str, float], until_s: float) -> Fault:
    (kind,) = chance.choices(tuple(weights), tuple(weights.values()))
    phase = chance.choice(PHASES) if chance.random() < 0.5 else ""
    return Fault(
        kind=kind,
        at_s=chance.random() * until_s * (0.7 if phase else 1.0),
        lasts_s=0.1 * 10 ** (2.3 * chance.random()),
        whom=chance.choice(("primary", "primary", "standby", "any")),
        chance=chance.getrandbits(32),
        phase=phase,
        after_s=chance.choice((0.0, 0.001, 0.01, 0.05, 0.2, 1.0)) * chance.random() * 2 if phase else 0.0,
    )
