"""Where nobody acknowledges: whole services, and a primary that lives by its lease alone."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from common.model.spec import ClusterSpec
from common.status.documents import Documents
from keeper.deadman.wire import log_path
from keeper.lease_fence import KILL_SHARE
from tests.support.cluster import SMALL, Cluster, cluster, small_layout

TTL_S = 20.0
ASYNC = ClusterSpec.from_plain(
    {
        "durability": {"mode": "async"},
        "timings": {"lease_ttl": "20s", "calm_after": "1s"},
        "postgres": {"parameters": SMALL},
    }
)
DEGRADE = ClusterSpec.from_plain({"timings": {"calm_after": "1s"}, "postgres": {"parameters": SMALL}})


@pytest.fixture(scope="module")
def asynchronous() -> Iterator[Cluster]:
    with cluster(small_layout((2, 1)), ASYNC) as made:
        yield made


@pytest.fixture(scope="module")
def degrading() -> Iterator[Cluster]:
    with cluster(small_layout((1, 1)), DEGRADE) as made:
        yield made


def named_after(term: int, seen: Documents) -> bool:
    return seen.view is not None and seen.view.term > term and seen.view.primary is not None


def deadman_says(running: Cluster, uid: str) -> list[dict[str, object]]:
    """The log of a member's deadman."""
    return [json.loads(line) for line in log_path(running.root(uid)).read_text().splitlines()]


def test_a_crash_of_postgresql_alone_loses_nothing(asynchronous: Cluster) -> None:
    """Its keeper lives, so the old primary seals at once and every commit that it has counts."""

    async def story() -> None:
        term = asynchronous.view.term
        async with asynchronous.writing():
            await asynchronous.more_writes()
            await asynchronous.crash(asynchronous.primary)
            await asynchronous.until(lambda seen: named_after(term, seen), "a primary is named")
            await asynchronous.until_well(term=term + 1)
            await asynchronous.more_writes()

        assert asynchronous.view.sync.current.k == 0
        assert asynchronous.view.forsaken == ()

    asynchronous.run(story())


def test_a_keeper_that_is_restarted_in_time_leaves_its_primary_alone(asynchronous: Cluster) -> None:
    """Stopped or killed: the deadman goes on, and the lease of the next life moves its deadline."""

    async def story() -> None:
        old, term = asynchronous.primary, asynchronous.view.term
        postmaster, before = asynchronous.postmaster(old), len(deadman_says(asynchronous, old))
        async with asynchronous.writing():
            for end in (asynchronous.stop_service, asynchronous.kill_service):
                await end(old)
                await asynchronous.start(old)
                await asynchronous.until_well()
                await asynchronous.clock.sleep(TTL_S)
        said = [line["event"] for line in deadman_says(asynchronous, old)[before:]]

        assert asynchronous.view.term == term
        assert asynchronous.postmaster(old) == postmaster
        assert said.count("deadman_has_keeper") == 2
        assert "deadman_fired" not in said

    asynchronous.run(story())


def test_postgresql_is_dead_before_the_lease_of_a_frozen_keeper_ends(asynchronous: Cluster) -> None:
    """The deadman does it; a successor is named later than that, and the old primary comes back."""

    async def story() -> None:
        old, term = asynchronous.primary, asynchronous.view.term
        pid = asynchronous.pid(old)
        os.kill(pid, signal.SIGSTOP)
        try:
            await asynchronous.until(lambda seen: old not in seen.keepers, "its lease has ended")
            when_it_ended = deadman_says(asynchronous, old)[-1]
            await asynchronous.until(lambda seen: named_after(term, seen), "a successor is named")
        finally:
            os.kill(pid, signal.SIGCONT)
        successor = asynchronous.primary
        await asynchronous.until_well(term=term + 1)
        kinds = [event.kind for event in await asynchronous.history() if event.term > term]

        assert successor != old
        assert when_it_ended["event"] == "deadman_killed"
        assert float(str(when_it_ended["after_s"])) < TTL_S / KILL_SHARE
        assert ("wal_lost" in kinds) != ("no_wal_lost" in kinds)

    asynchronous.run(story())


def test_the_last_member_goes_on_alone_and_asks_again_when_the_other_is_back(degrading: Cluster) -> None:
    """Nobody is left to acknowledge, for as long as that lasts; a commit of before it is not lost."""

    async def story() -> None:
        [standby] = degrading.standbys
        async with degrading.writing():
            await degrading.more_writes()
            await degrading.power_cut(standby)
            await degrading.until(
                lambda seen: seen.view is not None and seen.view.sync.current.k == 0, "nobody is asked"
            )
            await degrading.more_writes()
            await degrading.until(lambda _: "nobody_acknowledges " in degrading.reasons(), "it is said")
            await degrading.start(standby)
            await degrading.until_well()
            await degrading.more_writes()

        assert degrading.view.sync.current.k == 1

    degrading.run(story())


def test_the_other_site_takes_over_alone(degrading: Cluster) -> None:
    """It had acknowledged everything, so nothing is lost; then nobody is left to ask."""

    async def story() -> None:
        old, term, [standby] = degrading.primary, degrading.view.term, degrading.standbys
        async with degrading.writing():
            await degrading.more_writes()
            await degrading.power_cut(old)
            await degrading.until(
                lambda seen: (
                    named_after(term, seen) and seen.view is not None and seen.view.route is not None
                ),
                "writers have a route again",
            )
            alone = degrading.view.sync.current.k
            await degrading.more_writes()
            await degrading.start(old)
            await degrading.until_well(term=term + 1)

        assert degrading.primary == standby
        assert alone == 0

    degrading.run(story())


def test_a_lone_primary_ends_with_the_store_and_comes_back_with_it(degrading: Cluster) -> None:
    """Nobody but the store can tell that it is still the only one; by itself it then serves again."""

    async def story() -> None:
        primary, term, [standby] = degrading.primary, degrading.view.term, degrading.standbys
        [etcd] = degrading.demo.layout.etcd
        async with degrading.writing():
            await degrading.more_writes()
            await degrading.power_cut(standby)
            await degrading.until(
                lambda seen: seen.view is not None and seen.view.sync.current.k == 0, "nobody is asked"
            )
            await degrading.more_writes()
            await degrading.kill_service(etcd.uid)
            await degrading.until_true(
                lambda: not (degrading.data(primary) / "postmaster.pid").exists(), "PostgreSQL has stopped"
            )
            await degrading.start(etcd.uid)
            await degrading.until(lambda seen: named_after(term, seen), "a primary is named")
            await degrading.start(standby)
            await degrading.until_well(term=term + 1)
            await degrading.more_writes()

    degrading.run(story())
