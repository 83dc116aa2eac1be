"""The simulated network: what passes, how fast, and what does not."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.sim.loop import SimLoop, simulate
from tests.sim.network import API, CLIENT, ETCD, LOOPBACK_S, Link, Network


def two_sites(seed: int = 1) -> Network:
    network = Network(random.Random(seed))
    for host, site in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        network.add_host(host, site)
    return network


def test_a_path_takes_longer_between_sites_than_within_one() -> None:
    """And next to nothing on one host."""
    network = two_sites()
    near, far = network.path("a1", "a2", ETCD), network.path("a1", "b1", ETCD)

    assert near is not None
    assert far is not None
    assert network.path("a1", "a1", ETCD) == LOOPBACK_S
    assert LOOPBACK_S < near < far


def test_a_cut_swallows_one_direction_and_if_asked_one_kind() -> None:
    """The other direction and the other kinds go on, until everything is healed."""
    network = two_sites()
    network.cut("a1", "b1", ETCD)

    assert network.path("a1", "b1", ETCD) is None
    assert network.path("a1", "b1", CLIENT) is not None
    assert network.path("b1", "a1", ETCD) is not None

    network.cut("b1", "a1")
    assert network.path("b1", "a1", CLIENT) is None
    network.heal_all()
    assert network.path("a1", "b1", ETCD) is not None
    assert network.path("b1", "a1", CLIENT) is not None


def test_the_same_seed_gives_the_same_latencies() -> None:
    """With jitter and loss."""

    def latencies(seed: int) -> list[float | None]:
        network = two_sites(seed)
        network.set_site_link("a", "b", Link(0.01, 0.01, loss=0.3))
        return [network.path("a1", "b1", ETCD) for _ in range(50)]

    assert latencies(1) == latencies(1)
    assert latencies(1) != latencies(2)
    assert max(latency or 0 for latency in latencies(1)) > 0.2


def test_a_host_without_power_is_silent_and_its_processes_are_dead() -> None:
    """Until it has power again; the processes stay dead."""
    network = two_sites()
    process = network.start("a1", "keeper")
    network.power_off("a1")

    assert process.is_dead
    assert network.path("a2", "a1", ETCD) is None
    assert network.path("a1", "a1", ETCD) is None

    network.power_on("a1")
    assert network.path("a2", "a1", ETCD) is not None
    assert process.is_dead


def test_two_groups_are_split_and_one_host_is_isolated() -> None:
    """Within a group everything goes on."""
    network = two_sites()
    network.split(("a1", "a2"), ("b1",))
    assert not network.is_open("a1", "b1", ETCD)
    assert not network.is_open("b1", "a2", ETCD)
    assert network.is_open("a1", "a2", ETCD)

    network.heal_all()
    network.isolate("a1", ETCD)
    assert not network.is_open("a2", "a1", ETCD)
    assert network.is_open("a2", "a1", CLIENT)
    assert network.is_open("a2", "b1", ETCD)


def test_a_question_is_answered_by_a_process_that_lives_and_can_be_reached() -> None:
    """Refused by a dead one's kernel; in silence nobody knows whether it was answered."""
    network = two_sites()
    answered: list[float] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        process = network.start("b1", "keeper")

        async def answer() -> str:
            await asyncio.sleep(0.1)
            answered.append(loop.time())
            return "attested"

        async def ask() -> str:
            return await network.call("a1", process, API, answer, timeout_s=1)

        assert await ask() == "attested"
        network.cut("b1", "a1")
        with pytest.raises(TimeoutError):
            await ask()
        assert len(answered) == 2
        network.heal_all()
        process.pause()
        with pytest.raises(TimeoutError):
            await ask()
        assert len(answered) == 2
        process.resume()
        await asyncio.sleep(1)
        assert len(answered) == 3
        process.kill()
        with pytest.raises(ConnectionRefusedError):
            await ask()
        network.power_off("b1")
        with pytest.raises(TimeoutError):
            await ask()

    simulate(story(), SimLoop())
