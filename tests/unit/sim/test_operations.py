"""What operators do to simulated clusters: restored stores, and the word that ends what nobody else may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random

import pytest

from common.model.spec import Durability
from sentinel.standing import Standing
from tests.sim.fault import Fault
from tests.sim.run import Result, run
from tests.sim.scenario import draw
from tests.unit.sim.test_world import assert_good, fault, scenario


@contextmanager
def sentinels_that_believe_any_store() -> Iterator[None]:
    """A bug: what is remembered is compared with nothing."""
    right = Standing.judge
    Standing.judge = lambda _self, _documents: None  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Standing.judge = right  # type: ignore[method-assign]


def story(*faults: Fault, keepers: tuple[int, int] = (2, 2)) -> tuple[Result, list[str]]:
    """A run, and all that was said in it."""
    said: list[str] = []
    result = run(scenario(*faults, keepers=keepers), tell=lambda _, text: said.append(text))
    return result, said


@pytest.mark.parametrize("chance", [0, 1, 2, 4, 5, 6])
def test_a_restored_store_suspends_all_until_an_operator_accepts_it(chance: int) -> None:
    """With and without a new cluster id and higher revisions; a failover before it makes backups old."""
    restore = fault("restore_store", 8.0, lasts_s=0.5, chance=chance)
    result, said = story(restore, fault("kill_postgres", 3.0, whom="primary"))

    assert_good(result)
    assert result.checks["I1 restored"] > 0
    assert any("etcd is restored" in line for line in said)
    assert any("pgha resume: generation" in line for line in said)


def test_a_backup_with_the_view_that_all_have_obeyed_suspends_nobody() -> None:
    """Its cluster id is that of before and its revision is raised: nothing that matters was lost."""
    result, said = story(fault("restore_store", 8.0, lasts_s=0.5, chance=3))

    assert_good(result)
    assert any("and a million, the same cluster id" in line for line in said)
    assert "pgha resume: no service is suspended" in said


def test_sentinels_that_go_on_in_a_restored_store_are_seen() -> None:
    """Their first view follows the restored one, and not what the keepers have obeyed."""
    faults = [
        fault("kill_postgres", 6.0, whom="primary"),
        fault("restore_store", 7.0, lasts_s=0.5, chance=6),
    ]
    result = run(scenario(*faults), canary=sentinels_that_believe_any_store)

    assert any("no operator has accepted it" in each.text for each in result.violations)


def test_a_resume_that_nobody_needs_changes_nothing() -> None:
    """The command says so and writes nothing."""
    result, said = story(fault("resume", 5.0))

    assert_good(result)
    assert "pgha resume: no service is suspended" in said


def test_failovers_that_were_stopped_go_on_by_an_operator_s_word() -> None:
    """A primary that goes down again and again; somebody has it go on, before and after all is healed."""
    first = fault("kill_postgres", 1.0, whom="primary")
    deaths = [replace(first, phase="running", after_s=0.6, at_s=1.1 + each) for each in range(5)]
    result, said = story(first, *deaths, fault("continue_failover", 14.0))

    assert_good(result)
    assert any("pgha continue: done" in line for line in said)


def test_what_dies_while_the_cluster_is_paused_is_replaced_once_the_pause_ends() -> None:
    """Nobody takes over meanwhile; who asked for the pause ends it, or who is on call."""
    paused = fault("pause_cluster", 2.0, lasts_s=8.0)
    dies = fault("kill_postgres", 5.0, whom="primary")
    result, said = story(paused, dies)
    left, _ = story(replace(paused, lasts_s=60.0), dies)

    assert_good(result)
    assert_good(left)
    assert result.terms == left.terms == 1
    assert any("pgha pause: done" in line for line in said)


@pytest.mark.parametrize("whom", ["primary", "standby"])
def test_who_is_kept_down_is_stopped_and_comes_back(whom: str) -> None:
    """From a primary a failover begins; somebody ends the fence, or who is on call."""
    fenced = fault("fence_member", 3.0, whom=whom, lasts_s=6.0)
    result, said = story(fenced)
    left, _ = story(replace(fenced, lasts_s=60.0), fault("kill_postgres", 6.0, whom="primary"))

    assert_good(result)
    assert_good(left)
    assert result.terms == (1 if whom == "primary" else 0)
    assert any("pgha fence: done" in line for line in said)
    assert any("pgha unfence: done" in line for line in said)


def test_a_primary_is_restarted_by_a_switchover_while_leaders_die() -> None:
    """One change of the primary, for one request; nothing is lost."""
    deaths = [fault("kill", 3.0 + at, whom="leader") for at in (0.3, 1.5)]
    result, said = story(fault("restart_member", 3.0, whom="primary"), *deaths)

    assert_good(result)
    assert result.terms == 1
    assert any(line.startswith("pgha restart: ") for line in said)


@pytest.mark.parametrize("kind", ["reinit_member", "restart_member"])
@pytest.mark.parametrize("chance", range(3))
def test_a_standby_begins_anew_while_leaders_die(kind: str, chance: int) -> None:
    """Whoever leads goes on where the one before has stopped."""
    deaths = [fault("kill", 3.0 + at, whom="leader") for at in (0.3, 0.6, 2.0)]
    result, said = story(fault(kind, 3.0, whom="standby", chance=chance), *deaths)

    assert_good(result)
    assert any(line.startswith(f"pgha {kind.removesuffix('_member')}: ") for line in said)


def test_seeds_draw_what_operators_do_and_most_have_none_of_it() -> None:
    """Each kind comes, in some seeds."""
    kinds = [{each.kind for each in draw(seed).faults} for seed in range(200)]
    wanted = {"restore_store", "resume", "continue_failover", "pause_cluster"}
    wanted |= {"fence_member", "reinit_member", "restart_member"}

    assert wanted <= set.union(*kinds)
    assert sum(bool(wanted & each) for each in kinds) < 120


def test_a_fence_agent_switches_a_lost_primary_off_and_somebody_switches_it_on_again() -> None:
    """The wait for a lease that has ended is over with it; the board may also answer with an error."""
    mode = Durability(mode="async")
    configured = fault("configure_fences", 1.0, chance=2)
    lost = fault("cut_host", 4.0, whom="primary", lasts_s=15.0)
    fenced = 0
    for seed in range(3):
        said: list[str] = []
        wanted = replace(scenario(configured, lost, seed=seed), durability=mode)
        result = run(wanted, tell=lambda _, text, said=said: said.append(text))  # type: ignore[misc]
        assert_good(result)
        fenced += any(line.startswith("FENCED") for line in said)

    assert fenced


def test_who_must_not_be_promoted_is_not_until_an_operator_says_otherwise() -> None:
    """With one standby that may not, nobody takes over before somebody on call has read the status."""
    kept = fault("change_members", 2.0, chance=no_failover_of("shiqiao-1"))
    dies = fault("crash_host", 6.0, whom="primary", lasts_s=60.0)
    result, said = story(kept, dies, keepers=(1, 1))

    assert_good(result)
    assert any('"no_failover":true' in line for line in said)


def no_failover_of(uid: str) -> int:
    """Chances of a fault for which that one member of two is not to be promoted."""
    return next(each for each in range(100) if _kept_back(each) == uid)


def _kept_back(chance: int) -> str:
    drawn = Random(chance)
    for _ in range(2):
        drawn.randrange(5)
    return drawn.choice(("sandun-1", "shiqiao-1")) if drawn.random() < 0.4 else ""
