"""Storms around those who come and go: members that enter the sync set, or begin another life."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

from tests.sim.fault import Fault


def newcomer_dies(chance: Random, at_s: float) -> list[Fault]:
    """A standby is back and enters the sync set; before that is done the primary dies, and so does it.

    Either at once, or while the primary, cut off from the store, goes on with the new set for a while.
    """
    away_s = 2.0 + 4 * chance.random()
    armed_s = at_s + away_s - 0.2
    away = Fault.drawn(chance, "fail_starts", chance.choice(("sync 1", "sync 2")), at_s, away_s)
    found = [away, replace(away, kind="kill_postgres")]

    def then(kind: str, whom: str, after_s: float) -> None:
        found.append(Fault.drawn(chance, kind, whom, armed_s, 8.0, phase="entering", after_s=after_s))

    if chance.random() < 0.5:
        dies_s = 0.02 * chance.random()
        then("kill_postgres", "primary", dies_s)
        then(chance.choice(("crash_host", "pause")), "entrant", dies_s + 0.02 * chance.random())
    else:
        dies_s = 2 * chance.random()
        then("cut_etcd", "primary", 0.02 * chance.random() ** 2)
        then("crash_host", "primary", dies_s)
        then(chance.choice(("crash_host", "pause")), "entrant", dies_s + 0.5 + 2.5 * chance.random())
    return found


def one_streams(chance: Random, at_s: float) -> list[Fault]:
    """WAL flows to one standby alone; the primary ends with more than that one has, and comes back."""
    ends_s = at_s + 0.8 + 3 * chance.random()
    return [
        Fault.drawn(chance, "one_streams", "primary", at_s, 14.0),
        Fault.drawn(chance, "cut_replication", "primary", ends_s - 0.3, 0.5),
        Fault.drawn(
            chance, chance.choice(("kill_postgres", "crash_host")), "primary", ends_s, chance.random()
        ),
    ]


def fenced(chance: Random, at_s: float) -> list[Fault]:
    """The primary is switched off by its agent while one that has acknowledged stands still."""
    dies_s = at_s + 0.5 + chance.random()
    still_s = dies_s + 0.2 + 1.3 * chance.random()
    whom = chance.choice(("sync 1", "sync 2"))
    return [
        Fault.drawn(chance, "configure_fences", "any", at_s, 0.0),
        Fault.drawn(chance, chance.choice(("cut_host", "crash_host")), "primary", dies_s, 9.0),
        Fault.drawn(chance, chance.choice(("pause", "crash_host")), whom, still_s, 9.0),
    ]


KINDS: Final = (
    fenced,
    newcomer_dies,
    newcomer_dies,
    one_streams,
    one_streams,
)
