"""Storms for what hardly anything else shows; drawn apart, so that the other seeds stay as they are."""

from __future__ import annotations

from random import Random
from typing import Final

from tests.sim.fault import Fault
from tests.sim.storms import Storm, one_after_another
from tests.sim.storms_late import successor_before_the_laggards
from tests.sim.storms_wal import back_at_the_seal, lagging_replay

SHARE: Final = 0.25
"""Of the seeds, which have only a few faults beside them."""

_fault = Fault.drawn


def rare_storms(seed: int, until_s: float) -> list[Fault]:
    """What befalls a seed, begun ``until_s`` at the latest; nothing for the seeds that have none."""
    return one_after_another(Random(f"{seed}/rare storms"), SHARE, KINDS, until_s)


def late_answer(chance: Random, at_s: float) -> list[Fault]:
    """Commits wait for nobody, since nobody hears the primary; its keeper stops as it renews its lease."""
    alone_s = at_s + 3 + 5 * chance.random()
    return [
        _fault(chance, "cut_replication", "primary", at_s, 12.0),
        _fault(chance, "stop_in_keepalive", "primary", alone_s, 6.0),
    ]


def backup_put_back(chance: Random, at_s: float) -> list[Fault]:
    """The primary loses the store, then its power; a standby that it counts comes back from a base backup."""
    cut_s = at_s + chance.random()
    dies_s = cut_s + 0.5 + 3 * chance.random()
    return [
        _fault(chance, "restore_backup", chance.choice(("sync 1", "sync 2")), at_s, 0.0),
        _fault(chance, "cut_etcd", "primary", cut_s, 6.0),
        _fault(chance, "crash_host", "primary", dies_s, 8.0),
    ]


def fenced_while_one_hangs(chance: Random, at_s: float) -> list[Fault]:
    """The primary is switched off by its agent; one that may have acknowledged lives, and cannot seal."""
    dies_s = at_s + 0.5 + chance.random()
    hangs_s = dies_s + 2.5 * chance.random()
    kind = chance.choice(("pause_postgres", "pause_postgres", "hang_disk", "pause"))
    return [
        _fault(chance, "configure_fences", "any", at_s, 0.0),
        _fault(chance, chance.choice(("cut_host", "crash_host", "pause_host")), "primary", dies_s, 9.0),
        _fault(chance, kind, chance.choice(("sync 1", "sync 2")), hangs_s, 9.0),
    ]


KINDS: Final[tuple[Storm, ...]] = (
    late_answer,
    late_answer,
    backup_put_back,
    fenced_while_one_hangs,
    fenced_while_one_hangs,
    fenced_while_one_hangs,
    successor_before_the_laggards,
    lagging_replay,
    back_at_the_seal,
    back_at_the_seal,
)
"""Those that show more seldom what they are for come more often."""
