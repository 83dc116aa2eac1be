"""Faults of some seeds alone: hangs, stories, long pauses, doubled requests, sites with their leader."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from common.store.port import Put
from tests.sim.extras import LONGEST_PAUSE_S, WEIGHTS, extras
from tests.sim.run import run
from tests.sim.scenario import LONGEST_S, draw
from tests.unit.sim.test_etcd import Stage
from tests.unit.sim.test_world import assert_good, fault, scenario

UNTIL_S = 42.0


def reasons(kind: str, lasts_s: float) -> tuple[int, list[str]]:
    """How many failovers a fault of the primary leads to, and what was said of it."""
    said: list[str] = []
    result = run(
        scenario(fault(kind, 3.0, whom="primary", lasts_s=lasts_s)), tell=lambda _, text: said.append(text)
    )
    assert_good(result)
    return result.terms, [line for line in said if " sealing " in line]


@pytest.mark.parametrize("kind", ["hang_disk", "pause_postgres"])
def test_a_primary_that_hangs_for_longer_than_hang_timeout_is_replaced(kind: str) -> None:
    """Its keeper lives and says so; a moment's silence costs nothing."""
    replaced, said = reasons(kind, 12.0)
    kept, nothing = reasons(kind, 2.0)

    assert replaced == 1
    assert "reason=primary_hung" in said[0]
    assert (kept, nothing) == (0, [])


def test_a_primary_that_goes_down_again_and_again_is_held_back_for_longer_each_time() -> None:
    """Each dies as soon as it serves; who is on call has it go on in the end, and I8 allows for that."""
    first = fault("kill_postgres", 1.0, whom="primary")
    deaths = [replace(first, at_s=each) for each in (6.0, 11.0, 16.0, 35.0)]
    said: list[str] = []
    result = run(scenario(first, *deaths, seconds=60.0), tell=lambda _, text: said.append(text))

    assert_good(result)
    assert any("failover_held_back" in line for line in said)


@pytest.mark.parametrize("kind", ["cut_proxies", "doubled_requests", "crash_site_and_leader"])
def test_each_is_survived(kind: str) -> None:
    """Of every role, with several chances."""
    for chance in range(3):
        result = run(scenario(fault(kind, 3.0, whom="primary", lasts_s=10.0, chance=chance)))
        assert_good(result)
        assert result.terms == (kind == "crash_site_and_leader")


def test_proxies_that_lose_the_keepers_alone_cost_nobody_the_primary() -> None:
    """Clients fail meanwhile; sentinels have no reason to act."""
    result = run(scenario(fault("cut_proxies", 3.0, chance=2, lasts_s=12.0)))

    assert_good(result)
    assert result.terms == 0


def test_a_run_is_long_enough_for_its_longest_pause() -> None:
    """The process wakes up in it, up to two minutes later."""
    drawn = [draw(seed) for seed in range(300)]
    longest = [max(each.lasts_s for each in found.faults) for found in drawn if found.seconds > 60]

    assert longest
    assert all(LONGEST_S < each <= LONGEST_PAUSE_S for each in longest)
    assert run(next(found for found in drawn if found.seconds > 60)).is_good


def test_every_kind_is_drawn_and_the_same_for_the_same_seed() -> None:
    """With weights of its own for each seed."""
    kinds = {each.kind for seed in range(400) for each in extras(seed, UNTIL_S)}

    assert kinds >= {*WEIGHTS, "hang_disk", "pause_postgres", "pause"}
    assert extras(7, UNTIL_S) == extras(7, UNTIL_S)


def test_what_may_be_asked_twice_is_done_twice_and_a_transaction_never() -> None:
    """A doubled request for a lease leaves one that nobody knows; a doubled keepalive comes late."""
    stage = Stage()
    stage.etcd.doubled = 1.0
    leases: list[int] = []

    async def story() -> None:
        await stage.store.grant_lease(5)
        before = stage.etcd.data.revision
        await stage.store.transact([], [Put("/k", b"1")])
        await asyncio.sleep(4.5)
        leases.extend(stage.etcd.data._leases)
        assert stage.etcd.data.revision == before + 1

    stage.run(story())

    assert len(leases) == 2
