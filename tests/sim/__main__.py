"""``python -m tests.sim``: run many seeds, or one and see what happens in it.

Exit code 0: nothing was violated; 1: something was, and is shown; 2: wrong usage.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.sim import canaries_hunt
from tests.sim.run import Result, run
from tests.sim.scenario import draw
from tests.sim.shrink import shrink

TRACE_LINES: int = 120
CHUNK: int = 4


@dataclass
class Sum:
    """What many runs come to."""

    runs: int = 0
    seconds: float = 0.0
    acknowledged: int = 0
    terms: int = 0
    faults: int = 0
    bad: list[Result] = field(default_factory=list)
    checks: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        """Count one."""
        self.runs += 1
        self.seconds += result.seconds
        self.acknowledged += result.acknowledged
        self.terms += result.terms
        self.faults += result.causes
        self.checks.update(result.checks)
        if not result.is_good:
            self.bad.append(result)

    def __str__(self) -> str:
        return (
            f"{self.runs} runs, {self.seconds / 3600:.1f} simulated hours, {self.faults} faults, "
            f"{self.terms} failovers, {self.acknowledged} acknowledged commits, "
            f"{self.checks.total()} checks, {len(self.bad)} violations"
        )


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description="Simulate clusters and faults.")
    parser.add_argument("--seeds", type=int, default=300, help="how many")
    parser.add_argument("--start", type=int, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seconds", type=float, default=60.0, help="simulated, of each run")
    parser.add_argument("--trace", action="store_true", help="with --seed: say all that happens")
    parser.add_argument("--no-shrink", action="store_true", help="show violations with all their faults")
    parser.add_argument("--canary", metavar="NAME", help="plant this bug and look for a seed that shows it")
    parser.add_argument("--canaries", action="store_true", help="check every planted bug, as CI does")
    asked = parser.parse_args(arguments)
    if asked.canaries:
        return canaries_hunt.all_of_them(asked.jobs, asked.start)
    if asked.canary is not None:
        begins = asked.start or 0
        return canaries_hunt.one(asked.canary, range(begins, begins + asked.seeds), asked.seconds)
    if asked.seed is not None:
        return one(asked.seed, asked.seconds, trace=asked.trace)
    began, found = time.monotonic(), Sum()
    seeds = range(asked.start or 0, (asked.start or 0) + asked.seeds)
    for result in results(seeds, asked.seconds, asked.jobs):
        found.add(result)
        if not result.is_good:
            say(f"seed {result.scenario.seed}: {result.violations[0]}")
    say(f"{found}; {time.monotonic() - began:.0f} s")
    if not found.bad:
        return 0
    first = min(found.bad, key=lambda result: result.scenario.seed)
    show(first if asked.no_shrink else shrink(first))
    return 1


def results(seeds: range, seconds: float, jobs: int) -> Iterator[Result]:
    """Run them, side by side when asked to; those of one process come in its order."""
    work = partial(one_result, seconds=seconds)
    if jobs == 1:
        yield from map(work, seeds)
        return
    with multiprocessing.get_context("fork").Pool(jobs, initializer=gc.freeze) as pool:
        yield from pool.imap_unordered(work, seeds, chunksize=CHUNK)


def one_result(seed: int, seconds: float) -> Result:
    """One run of a seed."""
    return run(draw(seed, seconds))


def one(seed: int, seconds: float, *, trace: bool) -> int:
    """Run one seed, say what it was and what became of it."""
    scenario = draw(seed, seconds)
    say(str(scenario))
    for fault in scenario.faults:
        say(f"  {fault}")
    result = run(scenario, tell=(lambda at_s, text: say(f"{at_s:9.3f} {text}")) if trace else None)
    if result.is_good:
        say(
            f"good: {result.seconds:.1f} s, {result.acknowledged} commits acknowledged, "
            f"{result.terms} failovers, well again after {result.well_after_s:.1f} s"
        )
        return 0
    for violation in result.violations:
        say(f"VIOLATED {violation}")
    return 1


def show(result: Result) -> None:
    """A violation with the faults that it takes, and the last lines of what happened."""
    lines: list[str] = []
    again = run(result.scenario, tell=lambda at_s, text: lines.append(f"{at_s:9.3f} {text}"))
    say("")
    say(f"{again.scenario}; left of them, and enough:")
    for fault in again.scenario.faults:
        say(f"  {fault}")
    for line in lines[-TRACE_LINES:]:
        say(line)
    for violation in again.violations:
        say(f"VIOLATED {violation}")
    say(f"see all of it: python -m tests.sim --seed {again.scenario.seed} --trace")


def say(text: str) -> None:
    """One line for a person."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def begin() -> None:
    """Start anew with hashes that are the same in every process: sets of texts then have one order."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        os.execve(sys.executable, [sys.executable, "-m", "tests.sim", *sys.argv[1:]], environment)  # noqa: S606
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    begin()
