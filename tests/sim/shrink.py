"""Fewer faults that still break the same: what a person wants to read first."""

from __future__ import annotations

from dataclasses import replace

from tests.sim.run import Canary, Result, run
from tests.sim.scenario import Scenario


def shrink(result: Result, *, canary: Canary | None = None) -> Result:
    """Leave out one fault after the other, and again, as long as the same invariant is violated."""
    best = result
    wanted = result.violations[0].invariant
    shorter = True
    while shorter:
        shorter = False
        for index in reversed(range(len(best.scenario.faults))):
            tried = run(without(best.scenario, index), canary=canary)
            if tried.violations and tried.violations[0].invariant == wanted:
                best, shorter = tried, True
    return best


def without(scenario: Scenario, index: int) -> Scenario:
    """The scenario but for one fault."""
    faults = scenario.faults
    return replace(scenario, faults=faults[:index] + faults[index + 1 :])
