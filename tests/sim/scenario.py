"""What a seed stands for: the cluster, what its operator wants, and what befalls it. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from common.model.spec import ClusterSpec, Durability, Timings
from tests.sim.extras import extras, other_durability, other_timings
from tests.sim.fault import Fault
from tests.sim.storms import FEW, storms
from tests.sim.storms_rare import rare_storms
from tests.sim.switchovers import switchovers

SITES: Final = ("sandun", "shiqiao")
WITNESS: Final = "witness"
SHAPES: Final = ((2, 2), (2, 2), (2, 1), (1, 2), (3, 0), (1, 1), (3, 2))
"""Keepers of the two sites."""

FAULTS_MOST: Final = 26
LONGEST_S: Final = 45.0
SHARE_OF_FAULTS: Final = 0.75
"""Of a run's seconds; then all is healed."""

PHASES: Final = ("sealing", "promoting", "running", "pending", "cloning", "rewinding", "stopping")
"""What a fault may wait for: phases of the view, a change of the sync set, states of any keeper."""

NETWORK: Final = {
    "cut_host": 3.0,
    "cut_one_way": 2.0,
    "cut_etcd": 2.0,
    "cut_replication": 2.0,
    "cut_clients": 1.0,
    "split_sites": 2.0,
    "split_sites_replication": 1.0,
    "flap": 1.5,
    "slow_links": 1.0,
    "late_watches": 0.5,
    "deaf_watches": 0.5,
    "lossy_store": 1.5,
}
PROCESSES: Final = {
    "kill": 3.0,
    "stop": 1.0,
    "hold_down": 1.5,
    "pause": 4.0,
    "pause_host": 1.5,
    "crash_host": 2.5,
    "crash_site": 1.0,
    "jump_clock": 0.5,
    "kill_deadman": 0.3,
}
POSTGRES: Final = {
    "kill_postgres": 2.0,
    "kill_postmaster": 1.5,
    "pause_postgres": 1.5,
    "fail_starts": 0.5,
    "slow_starts": 0.7,
    "hang_disk": 0.7,
    "fill_disk": 0.5,
    "wipe": 0.5,
}
STORE: Final = {
    "etcd_outage": 1.0,
    "etcd_member": 1.5,
    "etcd_pause": 1.0,
    "etcd_compaction": 0.7,
    "etcd_revokes": 0.4,
}
OPERATORS: Final = {"change_spec": 1.0}
FAMILIES: Final = (NETWORK, PROCESSES, POSTGRES, STORE, OPERATORS)

ROLES: Final = ("primary", "primary", "candidate", "standby", "leader", "any")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole run but for its chances, which the seed gives."""

    seed: int
    keepers: tuple[int, int]
    durability: Durability
    timings: Timings
    faults: tuple[Fault, ...]
    seconds: float

    @property
    def spec(self) -> ClusterSpec:
        """What the operator wants at first."""
        return ClusterSpec(durability=self.durability, timings=self.timings)

    def __str__(self) -> str:
        wants = self.durability
        return (
            f"seed {self.seed}: {self.keepers[0]}+{self.keepers[1]} keepers, "
            f"survive {wants.survive or 'unset'}, {wants.mode}, acks {wants.acks}, "
            f"lease {self.timings.lease_ttl_s:g} s, {len(self.faults)} faults"
        )


def draw_durability(chance: Random, keepers: tuple[int, int]) -> Durability:
    """What an operator may want to survive; ``strict`` only where it can be had, or nothing is ever well."""
    wanted = Durability(
        survive=chance.choice((None, None, "site", "node")),
        mode=chance.choice(("degrade", "degrade", "strict", "async")),
        acks=chance.choice((1, 1, 1, 2)),
    )
    over_sites = wanted.survive == "site" or (wanted.survive is None and all(keepers))
    most = min(keepers) if over_sites else sum(keepers) - 1
    if wanted.mode == "strict" and wanted.acks > most:
        return wanted.model_copy(update={"mode": "degrade"})
    return wanted


def draw_timings(chance: Random) -> Timings:
    """Half of the operators leave them as they are."""
    if chance.random() < 0.5:
        return Timings()
    proxy_s = chance.choice((2.5, 5.0, 8.0))
    return Timings.model_validate(
        {
            "lease_ttl": chance.choice(("2s", "3s", "6s")),
            "restart_after": chance.choice(("500ms", "2s", "4s")),
            "promote_timeout": chance.choice(("3s", "10s")),
            "degrade_after": chance.choice(("500ms", "2s", "5s")),
            "proxy_timeout": f"{proxy_s}s",
            "fence_after": f"{proxy_s + chance.choice((1.0, 5.0, 20.0))}s",
        }
    )


def draw(seed: int, seconds: float = 60.0) -> Scenario:
    """The scenario of a seed: weights of its own for each kind of fault, so that runs differ in character."""
    chance = Random(f"{seed}/scenario")
    weights: dict[str, float] = {}
    for family in FAMILIES:
        share = chance.random() ** 2 * 2
        for kind, weight in family.items():
            if chance.random() < 0.7:
                weights[kind] = weight * share * chance.random()
    until_s = seconds * SHARE_OF_FAULTS - 3.0
    count = 2 + int(chance.random() * FAULTS_MOST)
    faults = [_fault(chance, weights, until_s) for _ in range(count)] if any(weights.values()) else []
    together = storms(seed, until_s - 6.0)
    faults = [*faults[:FEW], *together] if together else faults
    faults += extras(seed, until_s)
    asked_for = switchovers(seed, until_s - 4.0)
    faults = [*faults[:FEW], *asked_for] if asked_for else faults
    rare = rare_storms(seed, until_s - 6.0)
    faults = [*faults[:FEW], *rare] if rare else faults
    keepers = chance.choice(SHAPES)
    return Scenario(
        seed=seed,
        keepers=keepers,
        durability=other_durability(seed, draw_durability(chance, keepers)),
        timings=other_timings(seed, draw_timings(chance)),
        faults=tuple(sorted(faults, key=lambda fault: fault.at_s)),
        seconds=max(seconds, _until_all_have_ended_s(faults)),
    )


def _until_all_have_ended_s(faults: list[Fault]) -> float:
    """How long a run must be in which somebody stands still for longer than faults last otherwise."""
    long = [fault.at_s + fault.lasts_s for fault in faults if fault.lasts_s > LONGEST_S]
    return max(long, default=0.0) / SHARE_OF_FAULTS


def _fault(chance: Random, weights: dict[str, float], until_s: float) -> Fault:
    (kind,) = chance.choices(tuple(weights), tuple(weights.values()))
    phase = chance.choice(PHASES) if chance.random() < 0.35 else ""
    return Fault(
        kind=kind,
        at_s=chance.random() * until_s * (0.6 if phase else 1.0),
        lasts_s=min(LONGEST_S, 0.1 * 10 ** (chance.random() * 2.7)),
        whom=chance.choice(ROLES),
        chance=chance.getrandbits(32),
        phase=phase,
        after_s=chance.choice((0.0, 0.001, 0.01, 0.05, 0.2, 1.0)) * chance.random() * 2 if phase else 0.0,
    )
