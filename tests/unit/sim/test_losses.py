"""What a failover loses where nobody acknowledges: bounded, and told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from common.model.spec import Durability
from sentinel.decide import choice, failover
from tests.sim.fault import Fault
from tests.sim.run import Result, run
from tests.sim.scenario import Scenario
from tests.unit.sim.test_world import assert_good, fault, scenario


def planted(
    module: object, name: str, instead: Callable[..., Any]
) -> Callable[[], AbstractContextManager[Any]]:
    """A bug, for the time of a run."""

    @contextmanager
    def plant() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, instead)
            yield

    return plant


def lagging() -> Scenario:
    """A standby hears nothing for long, then the primary's host dies; nobody waits for that standby."""
    deaf = fault("cut_replication", 3.0, whom="primary", lasts_s=60.0)
    dies = fault("crash_host", 38.0, whom="primary", lasts_s=60.0)
    wants = Durability(mode="async", max_lag_on_failover="1kB")
    return replace(scenario(deaf, dies, keepers=(1, 1), seconds=70.0), durability=wants)


def crashed() -> Scenario:
    """A primary dies that was alone to have its last commits, and is back."""
    faults: tuple[Fault, ...] = (
        fault("cut_replication", 8.0, whom="primary", lasts_s=4.0),
        fault("crash_host", 10.0, whom="primary", lasts_s=12.0),
    )
    return replace(scenario(*faults, seconds=40.0), durability=Durability(mode="async"))


def brought_down() -> Scenario:
    """A standby hears nothing while the one that acknowledges dies; at ``k = 0`` the primary dies."""
    faults: tuple[Fault, ...] = (
        fault("cut_replication_but_one", 4.0, whom="primary", lasts_s=60.0, chance=5),
        fault("crash_host", 8.0, whom="sync 1", lasts_s=60.0),
        fault("crash_host", 40.0, whom="primary", lasts_s=60.0),
    )
    return replace(scenario(*faults, keepers=(2, 1), seconds=70.0), durability=Durability(survive="site"))


def bad(result: Result) -> str:
    assert result.violations
    assert result.violations[0].invariant == "I3"
    return result.violations[0].text


def test_nobody_takes_over_who_is_too_far_behind() -> None:
    """Until the old primary is back, and then nothing is lost."""
    result = run(lagging())

    assert_good(result)
    assert "I3 told" not in result.checks


def test_a_failover_that_loses_more_than_it_may_is_seen() -> None:
    """The lag is not looked at."""
    result = run(lagging(), canary=planted(choice, "lag_bytes", lambda _view, _position: 0))

    assert "max_lag_on_failover is 1024" in bad(result)


def test_a_loss_within_the_bound_stands_in_the_history() -> None:
    """Once the old primary is back and has said where it ended."""
    result = run(crashed())

    assert_good(result)
    assert result.checks["I3 bound"] > 0
    assert result.checks["I3 told"] > 0


def test_what_was_promised_before_k_fell_to_0_is_lost_within_the_bound_alone() -> None:
    """The one that lagged takes over without what the dead one had acknowledged, and says so in the end."""
    result = run(brought_down())

    assert_good(result)
    assert result.checks["I3 promised before k = 0"] > 0
    assert result.checks["I3 told"] > 0


def test_a_loss_that_nobody_speaks_of_is_seen() -> None:
    """Who is left behind is not remembered."""
    instead = planted(failover, "forsaken_by", lambda view, _fork, _choice: view.forsaken)

    assert "is lost without a word" in bad(run(crashed(), canary=instead))
