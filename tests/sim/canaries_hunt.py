"""Looks for canaries: the simulator must see each planted bug; this counts the seeds that it takes."""

from __future__ import annotations

import gc
import multiprocessing
import random
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.sim.canaries import Canary, all_canaries
from tests.sim.run import run
from tests.sim.scenario import draw

RECORDED: Final = Path(__file__).with_name("canary_seeds.txt")
FRESH: Final = 20
MANY: Final = 300
"""Fresh seeds where the recorded one shows nothing: some bugs take fifty, and any change moves all seeds."""
SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    """By which seed a canary was found, after how many that showed nothing, and what was violated."""

    canary: str
    seed: int
    after: int
    invariant: str
    text: str
    at_s: float

    def __str__(self) -> str:
        return f"{self.canary}: seed {self.seed} ({self.after + 1} tried): {self.invariant} {self.text}"


def recorded() -> dict[str, int]:
    """The seed of each canary that is recorded to show it."""
    lines = (line.partition("#")[0].split() for line in RECORDED.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if words}


def shows(canary: Canary, seed: int, seconds: float = SECONDS) -> tuple[str, str, float] | None:
    """The first violation of a run with the bug planted, if it is one that the bug should cause."""
    result = run(draw(seed, seconds), canary=canary.plant, safety_only=True)
    for violation in result.violations[:1]:
        if violation.invariant in canary.breaks:
            return violation.invariant, violation.text, violation.at_s
    return None


def hunt(canary: Canary, seeds: Iterable[int], seconds: float = SECONDS) -> Found | None:
    """Try seed after seed until one shows it."""
    for after, seed in enumerate(seeds):
        seen = shows(canary, seed, seconds)
        if seen is not None:
            return Found(canary.name, seed, after, *seen)
    return None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one canary: with its recorded seed, and with fresh ones."""

    canary: str
    recorded: Found | None
    fresh: Found | None
    took_s: float


def judge(name: str, start: int, count: int) -> Verdict:
    """Run one canary with its recorded seed, then with fresh seeds until one shows it.

    One that was never seen is not tried again: that takes more seeds than CI has time for.
    """
    began = time.monotonic()
    canary, seeds = all_canaries()[name], recorded()
    known = hunt(canary, [seeds[name]]) if name in seeds else None
    enough = count if known else max(count, MANY)
    fresh = hunt(canary, range(start, start + enough)) if name in seeds else None
    return Verdict(name, known, fresh, time.monotonic() - began)


def all_of_them(jobs: int, start: int | None) -> int:
    """Check every canary, as CI does.

    The exit code is 1 when one that was seen before is seen no more, neither by its recorded seed nor by a
    fresh one: any change of the code moves what a seed stands for.
    """
    begins = random.SystemRandom().randrange(10**6, 10**9) if start is None else start
    began = time.monotonic()
    names, known = list(all_canaries()), recorded()
    unseen: list[str] = []
    fresh = 0
    for verdict in _side_by_side(names, begins, jobs):
        by_recorded, by_fresh = verdict.recorded, verdict.fresh
        fresh += by_fresh is not None
        if by_recorded is None and by_fresh is None:
            unseen.append(verdict.canary)
        _say(
            f"{verdict.canary:28} recorded: {by_recorded.invariant if by_recorded else 'none'}, "
            + (f"fresh {by_fresh.invariant} after {by_fresh.after + 1}" if by_fresh else "fresh: none")
            + f", {verdict.took_s:.0f} s"
        )
    _say(
        f"{len(names)} canaries: {len(names) - len(unseen)} seen, {fresh} of them within {FRESH} fresh seeds "
        f"from {begins} on; {time.monotonic() - began:.0f} s"
    )
    for name in unseen:
        _say(f"NOT SEEN{'' if name in known else ', nor ever before'}: {name}")
    return 1 if known.keys() & set(unseen) else 0


def _side_by_side(names: list[str], start: int, jobs: int) -> Iterator[Verdict]:
    work = partial(judge, start=start, count=FRESH)
    if jobs == 1:
        yield from map(work, names)
        return
    with multiprocessing.get_context("fork").Pool(jobs, initializer=gc.freeze) as pool:
        yield from pool.imap_unordered(work, names)


def one(name: str, seeds: range, seconds: float) -> int:
    """Hunt one canary; the exit code is 1 when no seed shows it."""
    canary = all_canaries()[name]
    found = hunt(canary, seeds, seconds)
    _say(str(found) if found else f"{name}: none of {len(seeds)} seeds from {seeds.start} on shows it")
    return 0 if found else 1


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
