"""``pgha doctor`` on a real cluster: what is wrong on a host is seen, and nothing else is called wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cluster import Cluster, cluster, small_layout
from tests.support.commands import pgha
from tests.support.standstill import stopped

EXPECTED = {
    "disk_low",
    "etcd_corrupts",
    "etcd_members",
    "etcd_sites_unknown",
    "etcd_slow",
    "few_proxies",
    "no_archive",
    "setting_data_checksums",
    "site_loss_not_survived",
    "site_not_survived",
    "slots_may_fill_disk",
}
"""What the small cluster of the tests lacks by design, or this machine by chance."""


LIMIT_S = 20.0


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(small_layout((1, 1))) as made:
        yield made


def findings(running: Cluster) -> dict[str, dict[str, Any]]:
    said = pgha(running, "doctor", "-o", "json")
    worst = [each["severity"] for each in said.json]
    assert said.code == (2 if "critical" in worst else 1 if "warning" in worst else 0)
    return {each["code"]: each for each in said.json}


def test_a_cluster_that_is_well_shows_only_what_it_lacks_by_design(running: Cluster) -> None:
    """Every host was looked at: settings, collations, disks, slots."""
    text = pgha(running, "doctor")

    assert findings(running).keys() <= EXPECTED
    assert "2 hosts looked at" in text.out
    assert "to do: " in text.out


def test_what_somebody_does_to_a_server_is_found(running: Cluster) -> None:
    """A role that does not wait for standbys, a slot that nobody uses, rules that PostgreSQL cannot take."""
    primary = running.primary

    async def harm() -> None:
        await running.value(primary, "CREATE ROLE careless")
        await running.value(primary, "ALTER ROLE careless SET synchronous_commit = off")
        await running.value(primary, "SELECT pg_create_physical_replication_slot('forgotten', true)")

    async def repair() -> None:
        await running.value(primary, "SELECT pg_drop_replication_slot('forgotten')")
        await running.value(primary, "DROP ROLE careless")

    running.run(harm())
    hba = running.data(primary) / "pg_hba.conf"
    before = hba.read_text()
    try:
        hba.write_text(before + "host all all nonsense\n")
        found = findings(running)
        limit = time.monotonic() + LIMIT_S
        while "foreign_slot_idle" not in found and time.monotonic() < limit:
            found = findings(running)  # a keeper looks at its slots once a second
    finally:
        hba.write_text(before)
        running.run(repair())

    assert "synchronous_commit=off for careless" in found["weak_commits"]["text"]
    assert "forgotten" in found["foreign_slot_idle"]["text"]
    assert found["hba_errors"]["severity"] == "critical"
    assert found["hba_errors"]["subject"] == primary


def test_a_keeper_that_is_away_is_named_and_the_others_are_looked_at(running: Cluster) -> None:
    """Its PostgreSQL serves on; only nobody there answers."""
    [standby] = running.standbys
    with stopped([running.pid(standby)]):
        found = findings(running)
    running.run(running.until_well())

    assert {"api_unreachable", "keeper_missing"} & found.keys()
    if "api_unreachable" in found:
        assert found["api_unreachable"]["subject"] == standby


def test_a_cluster_that_does_not_exist_is_critical(running: Cluster) -> None:
    """No spec, no leader."""
    said = pgha(running, "doctor", "--cluster", "other")

    assert said.code == 2
    assert "holds no spec of cluster other" in said.out
