"""Whole clusters as a pure model: four keepers on two sites, through whatever may happen to them.

The model asserts the invariants I1, I3, I7 and I9 after every event (see tests/support/model).
"""

from __future__ import annotations

import pytest

from common.model.spec import ClusterSpec
from sentinel.decide.lease import LEASE_MARGIN_S
from tests.support.builders import SANDUN_1, SHIQIAO_1
from tests.support.healthy import UIDS, site_of
from tests.support.model.cluster import ClusterModel
from tests.support.model.known import LEASE_S

SEEDS = range(160)
BATCH = 20
ROUNDS_BEGIN = 150
ROUNDS_HEAL = 150


def healthy_cluster(seed: int = 1, **spec: object) -> ClusterModel:
    cluster = ClusterModel(seed, spec=ClusterSpec.model_validate(spec))
    cluster.until_healthy(ROUNDS_BEGIN)
    cluster.kinds.clear()
    return cluster


def primary_of(cluster: ClusterModel) -> str:
    routed = cluster.routed
    assert routed is not None
    return routed.uid


def until_routed_elsewhere(cluster: ClusterModel, old: str) -> None:
    for _ in range(80):
        if cluster.routed is not None and cluster.routed.uid != old:
            return
        cluster.round()
    raise AssertionError("\n".join(cluster.story))


def test_a_new_cluster_comes_up_by_itself() -> None:
    """Four empty hosts become one primary, three streaming standbys, and a sync set on the other site."""
    cluster = ClusterModel(1)
    cluster.until_healthy(ROUNDS_BEGIN)

    assert cluster.kinds[:2] == ["initializing", "primary_named"]
    assert cluster.view is not None
    assert cluster.view.term == 1
    assert cluster.acked


@pytest.mark.parametrize("seed", range(5))
def test_a_crash_costs_one_failover_and_the_old_primary_comes_back(seed: int) -> None:
    """Sealed, named, routed; then everybody is healthy again without a further term."""
    cluster = healthy_cluster(seed)
    old = primary_of(cluster)
    cluster.crash(old)
    until_routed_elsewhere(cluster, old)
    cluster.until_healthy(ROUNDS_HEAL)

    assert [kind for kind in cluster.kinds if kind in {"sealing", "primary_named", "route_set"}] == [
        "sealing",
        "primary_named",
        "route_set",
    ]
    assert cluster.view is not None
    assert cluster.view.term == 2


@pytest.mark.parametrize("seed", range(5))
def test_a_lost_host_is_replaced_and_rejoins(seed: int) -> None:
    """Its keeper says nothing any more: the standbys' and the sentinel's evidence decides."""
    cluster = healthy_cluster(seed)
    old = primary_of(cluster)
    cluster.lose_host(old)
    until_routed_elsewhere(cluster, old)
    cluster.heal()
    cluster.until_healthy(ROUNDS_HEAL)

    assert cluster.kinds.count("sealing") == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_loss_of_the_primarys_site_is_survived(seed: int) -> None:
    """The other site goes on alone, with a sync set of its own, and acknowledges commits."""
    cluster = healthy_cluster(seed)
    old = primary_of(cluster)
    cluster.lose_site(site_of(old))
    until_routed_elsewhere(cluster, old)
    for _ in range(10):
        cluster.round()
    before = len(cluster.acked)
    for _ in range(30):
        cluster.round()

    assert site_of(primary_of(cluster)) != site_of(old)
    assert len(cluster.acked) > before
    cluster.heal()
    cluster.until_healthy(ROUNDS_HEAL)


@pytest.mark.parametrize("seed", range(5))
def test_a_dead_keeper_changes_nothing(seed: int) -> None:
    """PostgreSQL serves on: no failover, and not even a write of the view."""
    cluster = healthy_cluster(seed)
    cluster.kill_keeper(primary_of(cluster))
    for _ in range(100):
        cluster.round()

    assert cluster.kinds == []
    assert "keeper_lost" in {reason.code for reason in cluster.reasons}


@pytest.mark.parametrize("seed", range(5))
def test_a_primary_that_is_cut_off_cannot_acknowledge_after_its_successor_is_named(seed: int) -> None:
    """It runs on and writes, yet what it acknowledged stands on the new primary (I2, I3)."""
    cluster = healthy_cluster(seed)
    old = primary_of(cluster)
    for other in (*UIDS, "sentinel"):
        if other != old:
            cluster.cut(old, other)
    until_routed_elsewhere(cluster, old)
    server = cluster.keepers[old].server

    assert server is not None
    assert server.writable
    assert not set(server.log[-len(server.waiting) :]) & cluster.acked.keys()
    cluster.heal()
    cluster.until_healthy(ROUNDS_HEAL)


@pytest.mark.parametrize("seed", range(5))
def test_a_primary_that_was_only_frozen_is_named_again_or_superseded_once(seed: int) -> None:
    """A pause longer than the lease ends in one failover at most, and in a healthy cluster."""
    cluster = healthy_cluster(seed)
    cluster.freeze(primary_of(cluster))
    for _ in range(40):
        cluster.round()
    cluster.heal()
    cluster.until_healthy(ROUNDS_HEAL)

    assert cluster.kinds.count("sealing") == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_wiped_member_of_the_sync_set_is_cloned_and_never_counted(seed: int) -> None:
    """Its new life enters the set when it streams; the primary stays."""
    cluster = healthy_cluster(seed)
    old = primary_of(cluster)
    wiped = SHIQIAO_1 if site_of(old) == site_of(SANDUN_1) else SANDUN_1
    cluster.wipe(wiped)
    cluster.begin_keeper(wiped)
    cluster.round()
    cluster.until_healthy(ROUNDS_HEAL)

    assert primary_of(cluster) == old
    assert "sealing" not in cluster.kinds


def test_two_acknowledgements_survive_the_loss_of_the_primary_and_another() -> None:
    """With ``acks: 2`` any two hosts may die at once."""
    cluster = ClusterModel(3, spec=ClusterSpec.model_validate({"durability": {"acks": 2}}))
    cluster.until_healthy(ROUNDS_BEGIN)
    old = primary_of(cluster)
    cluster.lose_host(old)
    cluster.lose_host(next(uid for uid in UIDS if site_of(uid) != site_of(old)))
    until_routed_elsewhere(cluster, old)

    assert cluster.view is not None
    assert cluster.view.term == 2


@pytest.mark.parametrize("first", SEEDS[::BATCH])
def test_whatever_happens_nothing_acknowledged_is_lost_and_the_cluster_heals(first: int) -> None:
    """Random faults in random orders; when all is repaired the cluster is healthy within bounded time."""
    for seed in range(first, first + BATCH):
        cluster = ClusterModel(seed)
        try:
            cluster.until_healthy(ROUNDS_BEGIN)
            for _ in range(60):
                if cluster.random.random() < 0.2:
                    cluster.something_breaks()
                cluster.round(lazy=0.4)
            cluster.heal()
            cluster.until_healthy(ROUNDS_HEAL)
        except AssertionError as error:
            raise AssertionError("\n".join([f"seed {seed}", *cluster.story, str(error)])) from error


@pytest.mark.parametrize("seed", range(5))
def test_an_asynchronous_primary_that_crashes_loses_nothing(seed: int) -> None:
    """Its keeper lives: it seals at once, is the quorum by itself, and every commit counts."""
    cluster = healthy_cluster(seed, durability={"mode": "async"})
    old = primary_of(cluster)
    cluster.crash(old)
    cluster.round()
    cluster.until_healthy(ROUNDS_HEAL)

    assert cluster.kinds.count("sealing") == 1
    assert not cluster.given_up


@pytest.mark.parametrize("seed", range(5))
def test_an_asynchronous_primary_is_succeeded_once_its_lease_cannot_live_any_more(seed: int) -> None:
    """Its host is gone: a standby takes over, and what is lost is owned up to when the host is back."""
    cluster = healthy_cluster(seed, durability={"mode": "async"})
    old = primary_of(cluster)
    cluster.lose_host(old)
    lost_at = cluster.world.now
    until_routed_elsewhere(cluster, old)
    waited_s = cluster.world.now - lost_at
    cluster.heal()
    cluster.until_healthy(ROUNDS_HEAL)

    assert waited_s > LEASE_S + LEASE_MARGIN_S
    assert cluster.view is not None
    assert [each.lost_bytes is None for each in cluster.view.forsaken] in ([], [False])
    assert ("wal_lost" in cluster.kinds) != ("no_wal_lost" in cluster.kinds)


@pytest.mark.parametrize("seed", range(5))
def test_an_asynchronous_primary_that_is_cut_off_ends_before_its_successor_is_named(seed: int) -> None:
    """It cannot renew its lease: it is down by then, and has acknowledged nothing since."""
    cluster = healthy_cluster(seed, durability={"mode": "async"})
    old = primary_of(cluster)
    for other in (*UIDS, "sentinel"):
        if other != old:
            cluster.cut(old, other)
    until_routed_elsewhere(cluster, old)
    server = cluster.keepers[old].server

    assert server is not None
    assert not server.running
    cluster.heal()
    cluster.until_healthy(ROUNDS_HEAL)


@pytest.mark.parametrize("seed", range(5))
def test_the_last_member_serves_alone_and_asks_again_when_others_are_back(seed: int) -> None:
    """With ``degrade`` commits wait for nobody once nobody is there, and for somebody as soon as he is."""
    cluster = ClusterModel(seed, uids=(SANDUN_1, SHIQIAO_1))
    cluster.until_healthy(ROUNDS_BEGIN)
    cluster.lose_host(SHIQIAO_1)
    for _ in range(60):
        cluster.round()
    before = len(cluster.acked)
    for _ in range(30):
        cluster.round()

    assert cluster.view is not None
    assert cluster.view.sync.current.k == (0 if primary_of(cluster) == SANDUN_1 else 1)
    assert len(cluster.acked) > before
    cluster.heal()
    cluster.until_healthy(ROUNDS_HEAL)
    assert cluster.view.sync.current.k == 1


@pytest.mark.parametrize("first", SEEDS[::BATCH])
def test_whatever_happens_a_lease_loses_no_more_than_it_says(first: int) -> None:
    """``async`` under random faults: nobody acknowledges beside a successor, and losses are owned up to."""
    for seed in range(first, first + BATCH):
        cluster = ClusterModel(seed, spec=ClusterSpec.model_validate({"durability": {"mode": "async"}}))
        try:
            cluster.until_healthy(ROUNDS_BEGIN)
            for _ in range(80):
                if cluster.random.random() < 0.2:
                    cluster.something_breaks()
                cluster.round(lazy=0.4)
            cluster.heal()
            cluster.until_healthy(ROUNDS_HEAL)
        except AssertionError as error:
            raise AssertionError("\n".join([f"seed {seed}", *cluster.story, str(error)])) from error


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_gives_the_same_run(seed: int) -> None:
    """A failure that was found can be looked at again (I10)."""

    def story() -> list[str]:
        cluster = ClusterModel(seed)
        for _ in range(80):
            if cluster.random.random() < 0.2:
                cluster.something_breaks()
            cluster.round(lazy=0.4)
        return cluster.story

    assert story() == story()
