"""Whole simulated clusters: they come up, stay well when nothing befalls them, and one seed is one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.model.spec import Durability, Timings
from tests.sim.fault import Fault
from tests.sim.run import Result, run
from tests.sim.scenario import Scenario, draw

REGRESSIONS = Path(__file__).parents[2] / "sim" / "regressions.txt"


def scenario(
    *faults: Fault, seed: int = 1, keepers: tuple[int, int] = (2, 2), seconds: float = 30.0
) -> Scenario:
    return Scenario(seed, keepers, Durability(), Timings(), faults, seconds)


def fault(kind: str, at_s: float = 2.0, *, whom: str = "any", lasts_s: float = 5.0, chance: int = 1) -> Fault:
    return Fault(kind, at_s, lasts_s, whom, chance)


def assert_good(result: Result) -> None:
    assert result.is_good, f"{result.scenario}: {'; '.join(map(str, result.violations))}"


def recorded_seeds() -> list[int]:
    lines = (line.partition("#")[0].strip() for line in REGRESSIONS.read_text().splitlines())
    return [int(line) for line in lines if line]


def test_a_cluster_that_nothing_befalls_is_well_and_never_fails_over() -> None:
    """Every commit that a client tries is acknowledged, but for those that standbys refuse."""
    result = run(scenario())

    assert_good(result)
    assert result.terms == 0
    assert result.acknowledged > 100
    assert min(result.checks[name] for name in ("I1", "I2", "I3", "I4", "I5", "I5 reads", "I7", "I9")) > 0


def test_the_death_of_the_primary_is_one_failover() -> None:
    """Its host loses power; a route is there again, nothing is lost."""
    result = run(scenario(fault("crash_host", whom="primary", lasts_s=8.0)))

    assert_good(result)
    assert result.terms == 1


def test_a_fault_that_waits_for_a_phase_begins_in_the_next_one() -> None:
    """Also when it begins to wait only after that phase was entered before: in a second failover."""
    said: list[str] = []
    waiting = Fault("jump_clock", 8.0, 1.0, "primary", 1, "promoting")
    faults = (fault("kill_postgres", whom="primary"), waiting, fault("kill_postgres", 9.0, whom="primary"))
    result = run(scenario(*faults), tell=lambda _, text: said.append(text))

    assert_good(result)
    began = [text.split()[1] for text in said if text.startswith("FAULT") and text.endswith("begins")]
    assert began == ["kill_postgres", "kill_postgres", "jump_clock"]


def test_a_primary_that_is_back_while_nobody_is_named_goes_on_without_a_restart() -> None:
    """It was cut off for long enough to be given up, but not for long enough to be replaced."""
    told: list[str] = []
    result = run(
        scenario(
            Fault("cut_host", 13.0, 0.2, "primary", 1, until="sealing"),
            *(Fault("pause_postgres", 13.0, 4.0, "standby", number, "sealing") for number in range(4)),
            keepers=(3, 0),
        ),
        tell=lambda _, text: told.append(text),
    )

    assert_good(result)
    assert result.terms == 1
    assert any("primary_named_again" in line for line in told)
    assert not any("info sealed" in line and line.startswith("sandun-1/") for line in told)


def test_a_sentinel_whose_lease_was_revoked_takes_another() -> None:
    """It may find out by its candidacy for the leadership."""
    for chance in range(6):
        assert_good(run(scenario(fault("etcd_revokes"), seed=chance, seconds=16.0)))


def test_the_same_seed_gives_the_same_run() -> None:
    """Handle by handle (I10); another one gives another."""
    first, again, other = (run(draw(seed, seconds=20.0), follow=True) for seed in (5, 5, 6))

    assert first == again
    assert first.digest != other.digest


def test_a_fault_may_last_until_a_phase() -> None:
    """The primary is back in the instant in which its term is given up."""
    told: list[tuple[float, str]] = []
    back = Fault("cut_host", 2.0, 0.25, "primary", 1, until="sealing")
    assert_good(run(scenario(back, seconds=20.0), tell=lambda at_s, text: told.append((at_s, text))))

    sealing = next(at_s for at_s, text in told if "info sealing generation" in text)
    ends = next(at_s for at_s, text in told if text.startswith("FAULT cut_host (primary) ends"))
    assert sealing + 0.24 <= ends <= sealing + 0.27


def test_two_members_of_the_sync_set_are_two() -> None:
    """So that a story can tell them apart; both stand in the primary's other site."""
    told: list[str] = []
    each = (fault("busy_host", whom="sync 1"), fault("busy_host", whom="sync 2"))
    assert_good(run(scenario(*each, seconds=10.0), tell=lambda _, text: told.append(text)))

    begun = [text.split()[3] for text in told if text.startswith("FAULT busy_host of")]
    assert len(set(begun)) == 2
    assert len({host.partition("-")[0] for host in begun}) == 1


@pytest.mark.parametrize("seed", recorded_seeds())
def test_what_once_went_wrong_goes_well(seed: int) -> None:
    """The seeds of every bug that was found."""
    assert_good(run(draw(seed)))
