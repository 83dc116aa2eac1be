"""Canaries sing: a bug that is planted is seen, leaves nothing behind, and is never planted in the void."""

from __future__ import annotations

import sys
from random import Random
from typing import Any

import pytest

from common.model.spec import Durability, Timings
from sentinel.decide import core
from tests.sim import storms_late, storms_of_lives, storms_rare, storms_wal
from tests.sim.canaries import PRODUCT, Canary, NothingToReplace, all_canaries, attribute, function
from tests.sim.canaries_hunt import recorded
from tests.sim.fault import Fault
from tests.sim.run import run
from tests.sim.scenario import Scenario

PORT = "tests.sim.postgres.standby"
"""The collaborator of the product in which some bugs are planted."""

CANARIES = tuple(all_canaries().values())


def lost_primary(kind: str = "crash_host") -> Scenario:
    fault = Fault(kind, 2.0, 12.0, "primary", 1)
    return Scenario(1, (2, 2), Durability(), Timings(), (fault,), 20.0)


def product() -> dict[str, Any]:
    """Everything that a module of the product, or a class in one, names."""
    found: dict[str, Any] = {}
    for name, module in sys.modules.items():
        if name.partition(".")[0] not in PRODUCT and name != PORT:
            continue
        for key, value in vars(module).items():
            found[f"{name}.{key}"] = value
            if isinstance(value, type):
                found.update({f"{name}.{key}.{each}": of for each, of in vars(value).items()})
    return found


def differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [name for name in before if after.get(name) is not before[name]]


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_a_canary_replaces_something_and_takes_it_away_again(canary: Canary) -> None:
    """A bug that is planted nowhere would be found by nobody; one that stays would be found everywhere."""
    before = product()
    with canary.plant():
        planted = differing(before, product())

    assert planted
    assert not differing(before, product())


def test_what_is_gone_cannot_be_replaced() -> None:
    """A canary whose place in the code has moved says so instead of planting nothing."""
    with pytest.raises(NothingToReplace), function(lost_primary, lost_primary):
        pass
    with pytest.raises(NothingToReplace), attribute(Scenario, "no_such_method", None):
        pass


def test_a_planted_function_is_replaced_wherever_it_was_imported() -> None:
    """Also in modules that hold it under their own name."""
    decide = core.decide

    with function(decide, None):
        assert core.decide is None
    assert core.decide is decide


def test_what_is_recorded_is_a_canary() -> None:
    """A seed for a bug that nobody plants any more would be a promise of nothing."""
    assert recorded().keys() <= all_canaries().keys()


@pytest.mark.parametrize("name", ["empty_names_at_promotion", "seal_not_durable"])
def test_a_canary_is_seen_in_one_failover(name: str) -> None:
    """Without it the very same run is good."""
    canary = all_canaries()[name]
    planted = run(lost_primary(), canary=canary.plant, safety_only=True)
    clean = run(lost_primary(), safety_only=True)

    assert {violation.invariant for violation in planted.violations} <= canary.breaks
    assert planted.violations
    assert clean.is_good


def test_a_dropped_floor_is_seen_where_a_standby_lags() -> None:
    """The primary dies, then its successor, and only the member that heard neither of them is left."""
    faults = (
        Fault("cut_replication", 3.0, 13.0, "standby", 1),
        Fault("crash_host", 5.5, 13.0, "primary", 1),
        Fault("crash_host", 5.5, 13.0, "primary", 1, "promoting", 0.04),
    )
    story = Scenario(5, (3, 0), Durability(), Timings(), faults, 24.0)
    planted = run(story, canary=all_canaries()["drop_the_floor"].plant, safety_only=True)

    assert [violation.invariant for violation in planted.violations] == ["I3"]
    assert run(story, safety_only=True).is_good


SHAPES = ((3, 0), (3, 2), (2, 2))


def story_of(storm: storms_wal.Storm, seed: int) -> Scenario:
    faults = tuple(storm(Random(seed), 3.0))
    durability = Durability(mode="strict" if seed % 2 else "degrade")
    return Scenario(seed, SHAPES[seed % 3], durability, Timings(), faults, 24.0)


def divided(chance: Random, at_s: float) -> list[Fault]:
    return [Fault.drawn(chance, "cut_site", "primary", at_s, 9.0)]


@pytest.mark.parametrize(
    ("name", "storm"),
    [
        ("position_not_final", storms_wal.lagging_replay),
        ("seal_while_receiving", storms_wal.back_at_the_seal),
        ("choose_by_lsn", storms_wal.tail_of_a_load),
        ("attest_by_old_heartbeat", divided),
        ("forget_pending_in_quorum", storms_of_lives.newcomer_dies),
        ("new_life_without_route", storms_of_lives.one_streams),
        ("fenced_counts_as_sealed", storms_rare.fenced_while_one_hangs),
        ("count_recloned_as_in_sync", storms_rare.backup_put_back),
        ("deadman_counts_from_answer", storms_rare.late_answer),
        ("drop_the_floor", storms_late.successor_before_the_laggards),
        ("skip_leader_compare", storms_late.stopped_writer),
        ("skip_view_compare", storms_late.late_write),
        ("start_on_an_old_view", storms_late.candidate_without_store),
        ("adopt_report_of_old_term", storms_late.named_again),
    ],
)
def test_a_canary_is_seen_in_its_storm(name: str, storm: storms_wal.Storm) -> None:
    """Not each time: who is first is chance. Without the bug the very same story goes well."""
    canary = all_canaries()[name]

    def is_seen_in(story: Scenario) -> bool:
        found = run(story, canary=canary.plant, safety_only=True).violations
        return bool(found) and found[0].invariant in canary.breaks

    seen = next((story for story in (story_of(storm, seed) for seed in range(60)) if is_seen_in(story)), None)
    assert seen is not None
    assert run(seen, safety_only=True).is_good
