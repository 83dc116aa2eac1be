"""Leaders that pause, resign and are replaced, in a running cluster."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator

import pytest

from common.model.spec import ClusterSpec
from tests.support.cluster import SMALL, UNDAMPED, Cluster, cluster

SPEC = ClusterSpec.from_plain(
    {
        "durability": {"survive": "node"},
        "postgres": {"parameters": SMALL},
        "timings": {**UNDAMPED, "lease_ttl": "12s"},
    }
)

LEASE_LEFT_S = 8.0
"""Of a lease of 12 s that is renewed every four seconds so much is left at least."""


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(spec=SPEC) as made:
        yield made


def leader_of(running: Cluster) -> str:
    leader = running.documents.leader
    assert leader is not None
    return leader


def other_than(running: Cluster, leader: str) -> str:
    return next(place.uid for place in running.demo.layout.sentinels if place.uid != leader)


def test_a_leader_that_slept_past_its_lease_writes_nothing_with_its_old_token(running: Cluster) -> None:
    """The other one leads a failover meanwhile; the sleeper wakes as a follower and changes nothing."""

    async def story() -> None:
        term, primary, sleeper = running.view.term, running.primary, leader_of(running)
        successor = other_than(running, sleeper)
        async with running.writing():
            await running.more_writes()
            running.demo.services[sleeper].signal(signal.SIGSTOP)
            try:
                await running.until(lambda seen: seen.leader == successor, "the other sentinel leads")
                await running.crash(primary)
                await running.until(
                    lambda seen: seen.view and seen.view.term > term and seen.view.route,
                    "a route in a new term",
                )
            finally:
                running.demo.services[sleeper].signal(signal.SIGCONT)
            await running.more_writes()
            await running.until_well(term=term + 1)
            await asyncio.sleep(3.0)

        assert leader_of(running) == successor
        assert running.view.term == term + 1
        assert running.documents.sentinels[sleeper].leader is False
        writers = [event.sentinel for event in await running.history() if event.term > term]
        assert set(writers) == {successor}

    running.run(story())


def test_a_leader_that_is_told_to_end_hands_over_at_once(running: Cluster) -> None:
    """The other one leads before the lease of the first could have ended, and clients notice nothing."""

    async def story() -> None:
        first = leader_of(running)
        successor = other_than(running, first)
        term = running.view.term
        async with running.writing() as statements:
            await running.more_writes()
            began_s = time.monotonic()
            running.demo.services[first].signal(signal.SIGTERM)
            await running.until(lambda seen: seen.leader == successor, "the other sentinel leads")
            took_s = time.monotonic() - began_s
            await running.stop_service(first)
            await running.start(first)
            await running.until_well()

        assert took_s < LEASE_LEFT_S
        assert running.view.term == term
        assert [each for each in statements if each.result != "ok"] == []

    running.run(story())
