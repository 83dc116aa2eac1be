"""Storms about WAL: who has which of it, who says so too early, and what nobody else ever had."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from tests.sim.fault import Fault

Storm = Callable[[Random, float], list[Fault]]

_fault = Fault.drawn

TWO_OF_THE_SET: Final = ("sync 1", "sync 2")


def lagging_replay(chance: Random, at_s: float) -> list[Fault]:
    """Replay of one standby is paused, another one hears nothing, and the primary dies.

    What it acknowledged last only the first of them has, and there it has not been replayed.
    """
    paused, deaf = chance.sample(TWO_OF_THE_SET, 2)
    deaf_s = at_s + 0.5 + 2 * chance.random()
    dies_s = deaf_s + 0.05 + chance.random()
    found = [
        _fault(chance, "cut_replication", deaf, deaf_s, 6.0),
        _fault(chance, chance.choice(("kill_postgres", "crash_host")), "primary", dies_s, 8.0),
    ]
    if chance.random() < 0.7:
        found.append(_fault(chance, "pause_replay", paused, at_s, 10.0))
    return found


def back_at_the_seal(chance: Random, at_s: float) -> list[Fault]:
    """A primary that was cut off is back just when its term is given up; its standbys are overloaded."""
    back_s = 0.1 * chance.random() ** 2
    busy = [_fault(chance, "busy_host", each, at_s, 12.0) for each in TWO_OF_THE_SET]
    return [*busy, _fault(chance, "cut_host", "primary", at_s + 0.5, back_s, until="sealing")]


def tail_of_a_load(chance: Random, at_s: float) -> list[Fault]:
    """A primary goes down within a bulk load that nobody has yet, and is back as its successor goes down.

    Meanwhile the standbys that the successor had take their time to answer.
    """
    gone_s = at_s + 0.4 + 0.4 * chance.random()
    dies_s = gone_s + 5 + 3 * chance.random()
    back_s = dies_s - 0.7 + 1.5 * chance.random()
    kind = chance.choice(("crash_host", "cut_host"))
    slow = [_fault(chance, "pause", each, dies_s - 0.2, 2.5) for each in TWO_OF_THE_SET]
    return [
        _fault(chance, "bulk_load", "primary", at_s, 4.0),
        _fault(chance, "cut_replication", "primary", gone_s - 0.3, 4.0),
        _fault(chance, kind, "primary", gone_s, back_s - gone_s),
        *slow,
        _fault(chance, "kill_postgres", "primary", dies_s, 0.0),
    ]


KINDS: Final[tuple[Storm, ...]] = (lagging_replay, back_at_the_seal, back_at_the_seal, tail_of_a_load)
