"""Faults that belong together: the second one inside what the first has begun.

Faults that are drawn one by one rarely meet. Each storm here is a story that operators tell, with its
moments drawn anew: a standby lags when the primary dies, and so does its successor; a leader is deposed while
it hears of everything late; a primary is cut off from all but one standby, and its clients stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from tests.sim import storms_late, storms_of_lives, storms_wal
from tests.sim.fault import Fault

SHARE: Final = 0.5
"""Of the seeds have storms, and only a few faults beside them."""

FIRST_S: Final = 2.0
APART_S: Final = (9.0, 14.0)
FEW: Final = 3

Storm = Callable[[Random, float], list[Fault]]

_fault = Fault.drawn


def storms(seed: int, until_s: float) -> list[Fault]:
    """What befalls a seed together, begun ``until_s`` at the latest; nothing for the seeds that have none."""
    return one_after_another(Random(f"{seed}/storms"), SHARE, KINDS, until_s)


def one_after_another(chance: Random, share: float, kinds: Sequence[Storm], until_s: float) -> list[Fault]:
    """Storms of these kinds, apart from each other, for a share of the seeds; nothing for the others."""
    if chance.random() >= share:
        return []
    found: list[Fault] = []
    at_s = FIRST_S * (1 + chance.random())
    while at_s < until_s:
        found += chance.choice(kinds)(chance, at_s)
        at_s += APART_S[0] + (APART_S[1] - APART_S[0]) * chance.random()
    return found


def _lagging_standby(chance: Random, at_s: float) -> list[Fault]:
    """A standby or two hear nothing; the primary dies, and soon whoever takes its place."""
    lasts_s = 8 + 8 * chance.random()
    dies_s = at_s + 0.3 + 3 * chance.random()
    lagging = chance.choice((1, 2))
    then = chance.choice(("promoting", "promoting", "running"))
    return [
        *(_fault(chance, "cut_replication", "standby", at_s, lasts_s) for _ in range(lagging)),
        _fault(chance, "crash_host", "primary", dies_s, lasts_s),
        _fault(
            chance, "crash_host", "primary", dies_s, lasts_s, phase=then, after_s=0.7 * chance.random() ** 2
        ),
    ]


def _deposed_leader(chance: Random, at_s: float) -> list[Fault]:
    """Everybody hears late, some writes get no answer, and every lease is gone within a failover."""
    dies_s = at_s + 0.3 + chance.random()
    then = chance.choice(("sealing", "promoting", "running"))
    found = [
        _fault(chance, "late_watches", "any", at_s, 10.0),
        _fault(chance, chance.choice(("kill_postgres", "crash_host")), "primary", dies_s, 5.0),
        _fault(chance, "etcd_revokes", "any", at_s, 0.0, phase=then, after_s=chance.random() ** 2),
    ]
    if chance.random() < 0.5:
        found.append(_fault(chance, "lossy_store", "any", at_s, 10.0))
    return found


def _one_friend(chance: Random, at_s: float) -> list[Fault]:
    """A primary that has clients and one standby, and nobody else; its successor may die, too."""
    found = [_fault(chance, "cut_but_one", "primary", at_s, 6 + 8 * chance.random())]
    if chance.random() < 0.4:
        after_s = 1.5 * chance.random() ** 2
        found.append(_fault(chance, "crash_host", "primary", at_s, 6.0, phase="running", after_s=after_s))
    return found


def _change_under_way(chance: Random, at_s: float) -> list[Fault]:
    """The primary is cut off from the store while a sync set is pending, then dies."""
    hears_s = 0.2 * chance.random() ** 2
    dies_s = hears_s + 3 * chance.random()
    return [
        _fault(
            chance, chance.choice(("crash_host", "cut_replication")), "standby", at_s, 3 + 9 * chance.random()
        ),
        _fault(chance, "cut_etcd", "primary", at_s, 10.0, phase="pending", after_s=hears_s),
        _fault(chance, "crash_host", "primary", at_s, 8.0, phase="pending", after_s=dies_s),
        _fault(
            chance, "cut_replication", "standby", at_s, 8.0, phase="pending", after_s=dies_s * chance.random()
        ),
    ]


def _back_too_soon(chance: Random, at_s: float) -> list[Fault]:
    """A primary that was cut off comes back just as its successor dies."""
    lasts_s = 3.5 + 3 * chance.random()
    return [
        _fault(chance, "cut_host", "primary", at_s, lasts_s),
        _fault(
            chance,
            "crash_host",
            "primary",
            at_s + 0.1,
            8.0,
            phase=chance.choice(("promoting", "running")),
            after_s=1.5 * chance.random() ** 2,
        ),
    ]


def _nobody_left(chance: Random, at_s: float) -> list[Fault]:
    """The standbys die, so that commits wait for nobody; then the keeper stands still or is cut off."""
    gone_s = 5 + 4 * chance.random()
    alone_s = at_s + 1 + gone_s * chance.random()
    found = [_fault(chance, "crash_host", "standby", at_s, gone_s) for _ in range(4)]
    kind = chance.choice(("pause", "cut_etcd", "cut_host", "slow_links"))
    found.append(_fault(chance, kind, "primary", alone_s, 14.0))
    if kind == "slow_links":
        for _ in range(6):
            stands_s = alone_s + 5 * chance.random()
            found.append(_fault(chance, "pause", "primary", stands_s, 0.4 + 1.5 * chance.random()))
    if chance.random() < 0.5:
        found.append(_fault(chance, "kill_postmaster", "primary", alone_s + chance.random(), 0.0))
    return found


def _divided_sites(chance: Random, at_s: float) -> list[Fault]:
    """The sites hear nothing of each other; each has its proxy and its clients."""
    return [_fault(chance, "split_sites", "any", at_s, 8 + 6 * chance.random())]


KINDS: Final[tuple[Storm, ...]] = (
    _lagging_standby,
    _deposed_leader,
    _one_friend,
    _one_friend,
    _change_under_way,
    _back_too_soon,
    _nobody_left,
    _divided_sites,
    *storms_wal.KINDS,
    *storms_late.KINDS,
    *storms_of_lives.KINDS,
)
