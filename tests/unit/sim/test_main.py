"""The program that runs seeds: exit codes, traces, and shorter lists of faults."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.model.view import SyncSet
from tests.sim.__main__ import Sum, main, results
from tests.sim.run import run
from tests.sim.scenario import draw
from tests.sim.shrink import shrink

ROOT = Path(__file__).parents[3]


@contextmanager
def too_small_a_quorum() -> Iterator[None]:
    """A bug: one seal less than it takes."""
    right = SyncSet.quorum
    SyncSet.quorum = property(lambda each: max(0, len(each.members) - each.k))  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        SyncSet.quorum = right  # type: ignore[method-assign]


def test_a_bug_is_found_and_its_story_shortened() -> None:
    """A quorum that is one too small is seen; most of the faults were not needed for that."""
    found = next(
        result
        for seed in range(13, 113)  # it is seen soon from here on, and with few faults
        if (result := run(draw(seed, seconds=30.0), canary=too_small_a_quorum)).violations
    )
    shorter = shrink(found, canary=too_small_a_quorum)

    assert found.violations[0].invariant in {"I2", "I3", "I4"}
    assert shorter.violations[0].invariant == found.violations[0].invariant
    assert 0 < len(shorter.scenario.faults) <= len(found.scenario.faults)
    assert run(found.scenario).is_good


def test_seeds_run_side_by_side_as_one_after_the_other() -> None:
    """Each seed gives the same in whichever process."""
    alone = {result.scenario.seed: result for result in results(range(4), 15.0, 1)}
    beside = {result.scenario.seed: result for result in results(range(4), 15.0, 2)}

    assert alone == beside


def test_a_good_sweep_ends_with_0_and_says_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    """Runs, hours, faults, failovers, commits, checks."""
    code = main(["--seeds", "2", "--seconds", "15"])

    assert code == 0
    assert "2 runs" in capsys.readouterr().out


def test_what_many_runs_come_to() -> None:
    """A violation is kept, the rest is counted."""
    whole = Sum()
    for seed in range(2):
        whole.add(run(draw(seed, seconds=15.0)))

    assert whole.runs == 2
    assert whole.bad == []
    assert whole.checks["I2"] > 100


def test_a_trace_is_the_same_in_two_processes() -> None:
    """Line by line, whatever the hashes of texts are where it is started."""

    def lines() -> str:
        ran = subprocess.run(
            [sys.executable, "-m", "tests.sim", "--seed", "3", "--seconds", "15", "--trace"],
            cwd=ROOT,
            env={key: value for key, value in os.environ.items() if key != "PYTHONHASHSEED"},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return ran.stdout

    first, second = lines(), lines()

    assert first == second
    assert len(first.splitlines()) > 50
