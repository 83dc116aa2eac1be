"""Faults that only some seeds have, drawn apart so that the others stay as they are.

What operators do, faults that belong together because the second one meets what the first has led to, and
pauses that outlast everything else. Each such seed has weights of its own, as for the other kinds, and few of
these faults beside the others.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from common.model.spec import Durability, Timings
from tests.sim.fault import Fault

SHARE: Final = 0.4
MOST: Final = 4
STORIES: Final = 0.25
LONG: Final = 0.04
"""Shares of these seeds with a story, and of all with a process that stands still for up to two minutes."""
LONG_RUN_S: Final = 40.0
LONGEST_PAUSE_S: Final = 120.0
PHASES: Final = ("sealing", "promoting", "running", "pending", "cloning", "rewinding", "stopping")

WEIGHTS: Final = {
    "restore_store": 2.0,
    "resume": 0.4,
    "continue_failover": 0.6,
    "pause_cluster": 0.7,
    "change_members": 1.0,
    "change_limits": 1.0,
    "configure_fences": 1.0,
    "cut_proxies": 1.0,
    "doubled_requests": 1.0,
    "crash_site_and_leader": 1.0,
    "fence_member": 1.0,
    "reinit_member": 1.0,
    "restart_member": 1.0,
}


def extras(seed: int, until_s: float) -> list[Fault]:
    """What befalls a seed beside the rest; nothing for most of them."""
    chance = Random(f"{seed}/extras")
    found = [_long_pause(chance)] if chance.random() < LONG and until_s > LONG_RUN_S else []
    if chance.random() >= SHARE:
        return found
    weights = {kind: weight * chance.random() ** 2 for kind, weight in WEIGHTS.items()}
    found += [_fault(chance, weights, until_s) for _ in range(1 + int(MOST * chance.random() ** 2))]
    if chance.random() < STORIES:
        found += chance.choice((_hangs, _goes_down_again, _fenced))(chance, until_s)
    return found


def other_timings(seed: int, timings: Timings) -> Timings:
    """Half of the operators also set how long a primary may hang, and when failovers are forgotten."""
    chance = Random(f"{seed}/other timings")
    if chance.random() < 0.5:
        return timings
    hang_timeout_s, calm_after_s = chance.choice((1.0, 2.0, 5.0)), chance.choice((5.0, 20.0, 600.0))
    return timings.model_copy(update={"hang_timeout_s": hang_timeout_s, "calm_after_s": calm_after_s})


def other_durability(seed: int, wanted: Durability) -> Durability:
    """Half of the operators would not lose much where nobody acknowledges."""
    chance = Random(f"{seed}/other durability")
    if chance.random() < 0.5:
        return wanted
    return wanted.model_copy(update={"max_lag_on_failover": chance.choice((0, 1 << 10, 4 << 10, 16 << 10))})


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


def _long_pause(chance: Random) -> Fault:
    """One process wakes up when the world has long been another: a sentinel with an old decision."""
    whom = chance.choice(("leader", "leader", "primary", "standby", "any"))
    lasts_s = 30.0 * (LONGEST_PAUSE_S / 30.0) ** chance.random()
    return Fault("pause", 1 + 20 * chance.random(), lasts_s, whom, chance.getrandbits(32))


def _each(
    chance: Random, kinds: tuple[str, ...], until_s: float, lasts_s: Callable[[], float]
) -> list[Fault]:
    """Of the primary, and again of whoever has taken its place."""
    at_s, count = until_s * 0.4 * chance.random(), 2 + chance.randrange(4)
    found = []
    for number in range(count):
        phase = "running" if number else ""
        after_s = 0.3 + 4 * chance.random() ** 2 if number else 0.0
        kind, bits = chance.choice(kinds), chance.getrandbits(32)
        found.append(Fault(kind, at_s + number * 0.5, lasts_s(), "primary", bits, phase, after_s))
    return found


def _hangs(chance: Random, until_s: float) -> list[Fault]:
    """A disk takes no write, or a postmaster stands still under a keeper that lives; so does the next one."""
    return _each(chance, ("hang_disk", "pause_postgres"), until_s, lambda: 3 + 12 * chance.random())


def _goes_down_again(chance: Random, until_s: float) -> list[Fault]:
    """What brings the primary down brings down whoever takes over: failovers are held back, then stopped."""
    kinds = ("kill_postgres", "kill_postgres", "kill_postmaster", "fill_disk", "hang_disk")
    return _each(chance, kinds, until_s, lambda: 1 + 8 * chance.random())


def _fenced(chance: Random, until_s: float) -> list[Fault]:
    """Members have fence agents when a primary is lost or hangs."""
    at_s = until_s * 0.3 * chance.random()
    bits = chance.getrandbits(32)
    configured = Fault("configure_fences", at_s, 0.0, "any", bits)
    kinds = ("cut_host", "crash_host", "pause_host", "hang_disk", "cut_etcd")
    return [configured, *_each(chance, kinds, until_s, lambda: 3 + 12 * chance.random())]
