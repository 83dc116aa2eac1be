"""Each known way to go wrong, put into a cluster that is well, is found; one that is well has none."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from common.model.examination import DiskSeen, HostExamination, Setting, SlotSeen
from common.model.reasons import Reason
from common.model.spec import ClusterSpec
from common.status.clocks import ClockOffset
from common.status.documents import Documents
from common.store.port import StoreMember, StorePeer
from pgha.commands.doctor import render
from pgha.doctor.diagnose import diagnose
from pgha.doctor.finding import Finding, Seen
from pgha.doctor.settings import NAMES
from pgha.explain.explanation import explain
from pgha.placement import place
from tests.support.builders import SANDUN_1, SHIQIAO_1, keeper, running_view
from tests.support.healthy import NOW, UIDS, documents, proxy, sentinel

GB = 1 << 30
TWO_ON_SANDUN = ("e-sandun-1", "e-sandun-2", "e-shiqiao")

WELL = {
    "archive_command": "pgbackrest",
    "archive_library": "",
    "archive_mode": "on",
    "autovacuum": "on",
    "data_checksums": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "hot_standby": "on",
    "ignore_checksum_failure": "off",
    "max_connections": "100",
    "max_locks_per_transaction": "64",
    "max_prepared_transactions": "0",
    "max_replication_slots": "64",
    "max_wal_senders": "32",
    "max_worker_processes": "8",
    "password_encryption": "scram-sha-256",
    "restart_after_crash": "off",
    "synchronous_commit": "on",
    "wal_level": "replica",
    "wal_log_hints": "on",
    "wal_segment_size": "4194304",
    "zero_damaged_pages": "off",
}


def host(uid: str, settings: dict[str, str] | None = None, **fields: Any) -> HostExamination:
    values = {**WELL, **(settings or {})}
    whole: dict[str, Any] = {
        "uid": uid,
        "received": NOW,
        "wall": NOW,
        "architecture": "x86_64",
        "settings": {name: Setting(value=value, context="sighup") for name, value in values.items()},
        "collations": {"libc": "2.36", "icu": "153.120"},
        "disks": (DiskSeen(place="data", path="/data", free_bytes=500 * GB, size_bytes=1000 * GB),),
        "slots": (SlotSeen(name="shiqiao_1_00000003_4", wal_status="reserved", active=False),),
    }
    return HostExamination.model_validate(whole | fields)


def etcd(version: str = "3.5.21", names: tuple[str, ...] = ("e-sandun", "e-shiqiao", "e-witness")) -> Any:
    peers = tuple(StorePeer(name, ()) for name in names)
    return tuple(
        StoreMember(f"http://{name}", name, is_leader=False, version=version, problem="", peers=peers)
        for name in names
    )


def well(**fields: Any) -> Seen:
    """A cluster in which nothing is to be found."""
    proxies = {
        f"p-{site}-{number}": proxy(site, uid=f"p-{site}-{number}")
        for site in ("sandun", "shiqiao")
        for number in (1, 2)
    }
    found: Documents = fields.pop("documents", None) or documents(
        view=running_view(),
        keepers={uid: keeper(uid, postgres_version=150018) for uid in UIDS},
        proxies=proxies,
    )
    whole: dict[str, Any] = {
        "hosts": {uid: host(uid) for uid in UIDS},
        "clocks": {uid: ClockOffset(0.0, 0.01) for uid in UIDS},
        "silent": {},
        "store": etcd(),
        "reads_s": (0.002, 0.003),
        "least_lease_s": 2.0,
        "now": NOW,
    }
    whole |= fields
    return Seen(documents=found, placement=place(found, whole["store"]), **whole)


def with_host(**fields: Any) -> Seen:
    """One host that is not like the others."""
    seen = well()
    return replace(seen, hosts={**seen.hosts, SHIQIAO_1: host(SHIQIAO_1, **fields)})


def with_setting(name: str, value: str) -> Seen:
    return with_host(settings={name: value})


def with_spec(**plain: Any) -> Seen:
    seen = well()
    return replace(seen, documents=replace(seen.documents, spec=ClusterSpec.from_plain(plain)))


def with_documents(**fields: Any) -> Seen:
    seen = well()
    return well(documents=replace(seen.documents, **fields))


def found_in(seen: Seen) -> tuple[Finding, ...]:
    return diagnose(seen, explain(seen.documents, {}, seen.store, None, NOW))


def disk(free_bytes: int) -> dict[str, Any]:
    return {"disks": (DiskSeen(place="wal", path="/wal", free_bytes=free_bytes, size_bytes=1000 * GB),)}


def slot(name: str, status: str = "reserved") -> dict[str, Any]:
    return {"slots": (SlotSeen(name=name, wal_status=status, active=False),)}


def keepers_of(versions: dict[str, int]) -> Seen:
    return with_documents(
        keepers={uid: keeper(uid, postgres_version=versions.get(uid, 150018)) for uid in UIDS}
    )


def test_a_cluster_that_is_well_has_nothing_to_report() -> None:
    """And everything that the rules need is asked for."""
    assert found_in(well()) == ()
    assert set(WELL) == set(NAMES)


WAYS: dict[str, tuple[Callable[[], Seen], str, str]] = {
    "clocks": (lambda: well(clocks={"a": ClockOffset(0, 0.01), "b": ClockOffset(1, 0.01)}), "warning", "a"),
    "silent": (lambda: well(silent={"proxy-1": "refused"}), "warning", "proxy-1"),
    "down": (lambda: with_host(problem="PostgreSQL is down"), "warning", SHIQIAO_1),
    "architecture": (lambda: with_host(architecture="aarch64"), "critical", ""),
    "segments": (lambda: with_setting("wal_segment_size", "16777216"), "critical", "wal_segment_size"),
    "majors": (lambda: keepers_of({SHIQIAO_1: 160004}), "critical", ""),
    "minors": (lambda: keepers_of({SHIQIAO_1: 150017}), "warning", ""),
    "libc": (lambda: with_host(collations={"libc": "2.31", "icu": "153.120"}), "critical", "libc"),
    "icu": (lambda: with_host(collations={"libc": "2.36", "icu": "153.14"}), "critical", "icu"),
    "mismatch": (lambda: with_host(mismatched_databases=("shop",)), "warning", SHIQIAO_1),
    "disk": (lambda: with_host(**disk(20 * GB)), "warning", SHIQIAO_1),
    "full": (lambda: with_host(**disk(1 << 20)), "critical", SHIQIAO_1),
    "slot lost": (lambda: with_host(**slot("shiqiao_2_00000004_4", "lost")), "warning", SHIQIAO_1),
    "slot foreign": (lambda: with_host(**slot("debezium")), "warning", SHIQIAO_1),
    "fsync": (lambda: with_setting("fsync", "off"), "critical", "fsync"),
    "local": (lambda: with_setting("synchronous_commit", "local"), "critical", "synchronous_commit"),
    "remote write": (
        lambda: with_setting("synchronous_commit", "remote_write"),
        "warning",
        "synchronous_commit",
    ),
    "checksums": (lambda: with_setting("data_checksums", "off"), "warning", "data_checksums"),
    "minimal": (lambda: with_setting("wal_level", "minimal"), "critical", "wal_level"),
    "role": (
        lambda: with_host(weak_commits=("synchronous_commit=off for app",)),
        "warning",
        "synchronous_commit",
    ),
    "lower": (lambda: with_setting("max_connections", "50"), "warning", "max_connections"),
    "few senders": (lambda: with_setting("max_wal_senders", "3"), "warning", "max_wal_senders"),
    "archive": (lambda: with_setting("archive_command", ""), "warning", "archive_command"),
    "hba": (lambda: with_host(hba_errors=("line 3: bad",)), "critical", SHIQIAO_1),
    "trust": (
        lambda: with_spec(postgres={"hba": ["host all all all trust"]}),
        "warning",
        "postgres.hba",
    ),
    "md5": (
        lambda: with_spec(postgres={"md5_users": [{"user": "kong", "network": "10.0.0.0/8"}]}),
        "warning",
        "kong",
    ),
    "slots": (lambda: with_spec(postgres={"max_slot_wal_keep_size": "1TB"}), "warning", SANDUN_1),
    "one etcd": (lambda: well(store=etcd(names=("e-witness",))), "warning", "etcd"),
    "no names": (lambda: well(store=etcd(names=("a", "b", "c"))), "warning", "etcd"),
    "majority": (
        lambda: well(store=etcd(names=("e-sandun-1", "e-sandun-2", "e-shiqiao"))),
        "warning",
        "sandun",
    ),
    "corrupts": (lambda: well(store=etcd("3.5.1")), "critical", "e-sandun"),
    "old": (lambda: well(store=etcd("3.3.27")), "warning", "e-sandun"),
    "slow": (lambda: well(reads_s=(0.4,)), "warning", "etcd"),
    "very slow": (lambda: well(reads_s=(0.01, 1.2)), "critical", "etcd"),
    "leases": (lambda: well(least_lease_s=8.0), "warning", "etcd"),
    "sentinels": (
        lambda: with_documents(sentinels={"a": sentinel("sandun"), "b": sentinel("sandun")}),
        "warning",
        "sandun",
    ),
    "reason": (
        lambda: with_documents(
            reasons=documents(
                reasons=(Reason(code="x", severity="critical", subject="s", text="t", fix="f"),)
            ).reasons
        ),
        "critical",
        "s",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_known_way_to_go_wrong_is_found(way: str) -> None:
    """As bad as it is, by what it is about, with what it means and what to do."""
    make, severity, subject = WAYS[way]
    found = [each for each in found_in(make()) if each.subject == subject and each.severity == severity]

    assert found, found_in(make())
    assert all(each.text and each.fix for each in found)
    assert all(each.means for each in found if each.code != "x")


def test_the_worst_comes_first_and_each_once() -> None:
    """The same complaint of a service and of doctor is one finding."""
    said = Reason(code="clocks_apart", severity="warning", subject="a", text="their words", fix="f")
    seen = well(clocks={"a": ClockOffset(0, 0.01), "b": ClockOffset(1, 0.01)}, reads_s=(5.0,))
    reported = replace(seen.documents, reasons=documents(reasons=(said,)).reasons)
    found = found_in(replace(seen, documents=reported))

    assert [each.code for each in found] == ["etcd_slow", "clocks_apart"]


def test_a_mode_that_asks_nobody_makes_local_commits_no_finding() -> None:
    """The spec says so already."""
    seen = with_setting("synchronous_commit", "local")
    asynchronous = ClusterSpec.from_plain({"durability": {"mode": "async"}})
    found = found_in(replace(seen, documents=replace(seen.documents, spec=asynchronous)))

    assert "setting_synchronous_commit" not in {each.code for each in found}


def test_a_site_that_is_not_survived_is_named_with_the_reason() -> None:
    """By the what-if of explain."""
    found = next(
        each for each in found_in(well(store=etcd(names=TWO_ON_SANDUN))) if each.code == "site_not_survived"
    )

    assert found.subject == "sandun"
    assert "etcd would have 1 of its 3 members left" in found.text


def test_the_text_shows_what_it_means_and_what_to_do() -> None:
    """And counts at the end."""
    out = io.StringIO()
    render(found_in(with_setting("fsync", "off")), 4, Console(file=out, width=80, markup=False))
    lines = out.getvalue().splitlines()

    assert lines[0] == "critical: fsync is off (shiqiao-1)"
    assert lines[1].startswith("    means: ")
    assert lines[2].startswith("    to do: ")
    assert lines[-1] == "4 hosts looked at: 1 critical, 0 warning, 0 info"
