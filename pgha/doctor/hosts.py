"""Hosts that are not alike, or not well: clocks, disks, slots, releases, sort orders. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from common.model.names import parse_standby_name
from common.model.units import format_size
from common.status.clocks import clocks_apart
from pgha.doctor.finding import Finding, Seen, grouped

LOW_SHARE: Final = 0.10
LOW_BYTES: Final = 1 << 30
FULL_BYTES: Final = 64 << 20
"""Below this a keeper calls the disk full."""

_MINOR: Final = 10_000
"""``server_version_num`` is 150018 for 15.18."""


def check_hosts(seen: Seen) -> Iterator[Finding]:
    """Everything that is compared between hosts or looked at on one."""
    yield from _unreachable(seen)
    yield from _clocks(seen)
    yield from _alike(seen)
    yield from _versions(seen)
    yield from _collations(seen)
    yield from _disks(seen)
    yield from _slots(seen)


def _unreachable(seen: Seen) -> Iterator[Finding]:
    for uid, why in sorted(seen.silent.items()):
        yield Finding(
            code="api_unreachable",
            severity="warning",
            subject=uid,
            text=f"the API of {uid} does not answer: {why}",
            means="status shows old figures, proxies cannot ask for an attestation when etcd is away, and "
            "nothing below could be checked there",
            fix=f"let the hosts reach --api-host and --api-port of {uid}, and see that it runs",
        )
    for uid, host in sorted(seen.hosts.items()):
        if host.problem:
            yield Finding(
                code="not_examined",
                severity="warning",
                subject=uid,
                text=f"{uid} could not be looked at whole: {host.problem}",
                means="what is checked on a running server was not checked there",
                fix="see pgha status, then run doctor again",
            )


def _clocks(seen: Seen) -> Iterator[Finding]:
    apart = clocks_apart(seen.clocks)
    if apart is not None:
        yield Finding(
            code=apart.code,
            severity=apart.severity,
            subject=apart.subject,
            text=apart.text,
            means="no decision of pgha rests on these clocks, but clients' may: Kong's nodes, for one, ask "
            "for what is newer than what they saw",
            fix=apart.fix,
        )


def _alike(seen: Seen) -> Iterator[Finding]:
    architectures = {uid: host.architecture for uid, host in seen.hosts.items()}
    if len(set(architectures.values())) > 1:
        yield Finding(
            code="architectures_differ",
            severity="critical",
            subject="",
            text=f"hosts of different architectures: {grouped(architectures)}",
            means="data files of one architecture cannot be read, or are read wrongly, on another",
            fix="put all members of a cluster on one architecture",
        )
    segments = seen.settings("wal_segment_size")
    if len(set(segments.values())) > 1:
        yield Finding(
            code="wal_segment_sizes_differ",
            severity="critical",
            subject="wal_segment_size",
            text=f"WAL segments of different sizes: {grouped(segments)}",
            means="one of them does not hold a copy of the others' data",
            fix="clone the member that differs anew",
        )


def _versions(seen: Seen) -> Iterator[Finding]:
    numbers = {
        uid: report.postgres_version
        for uid, report in seen.documents.keepers.items()
        if report.postgres_version
    }
    majors = {uid: str(number // _MINOR) for uid, number in numbers.items()}
    if len(set(majors.values())) > 1:
        yield Finding(
            code="major_versions_differ",
            severity="critical",
            subject="",
            text=f"PostgreSQL of different major versions: {grouped(majors)}",
            means="a standby of another major version cannot replay the primary's WAL",
            fix="run one major version on all members of a cluster",
        )
    elif len(set(numbers.values())) > 1:
        minors = {uid: f"{number // _MINOR}.{number % _MINOR}" for uid, number in numbers.items()}
        yield Finding(
            code="minor_versions_differ",
            severity="warning",
            subject="",
            text=f"PostgreSQL of different minor versions: {grouped(minors)}",
            means="so it should be during an upgrade only: fixes of the newer one are missing elsewhere",
            fix="upgrade the others, standbys first",
        )
    ours = {
        report.uid: report.version
        for reports in (seen.documents.keepers, seen.documents.sentinels, seen.documents.proxies)
        for report in reports.values()
        if report.version
    }
    if len(set(ours.values())) > 1:
        yield Finding(
            code="releases_differ",
            severity="info",
            subject="",
            text=f"services of different releases of pgha: {grouped(ours)}",
            means="as it should be during an upgrade, and only then",
            fix="bring all services to one release",
        )


def _collations(seen: Seen) -> Iterator[Finding]:
    for provider in ("libc", "icu"):
        versions = {
            uid: host.collations[provider] for uid, host in seen.hosts.items() if provider in host.collations
        }
        if len(set(versions.values())) > 1:
            yield Finding(
                code="collation_versions_differ",
                severity="critical",
                subject=provider,
                text=f"hosts sort text by different versions of {provider}: {grouped(versions)}",
                means="an index on text that was made on one host is wrong on another: after a failover "
                "queries miss rows and unique indexes take duplicates",
                fix="run one release of the operating system on all members; until then set no_failover "
                "for the odd ones, and REINDEX after a failover between them",
            )
    for uid, host in sorted(seen.hosts.items()):
        if host.mismatched_databases:
            names = ", ".join(host.mismatched_databases)
            yield Finding(
                code="collation_version_changed",
                severity="warning",
                subject=uid,
                text=f"on {uid} text sorts differently than when these databases were made: {names}",
                means="their indexes on text may be wrong there",
                fix="REINDEX each of them on the primary, then ALTER DATABASE ... REFRESH COLLATION VERSION",
            )


def _disks(seen: Seen) -> Iterator[Finding]:
    kept = seen.spec.postgres.max_slot_wal_keep_size
    for uid, host in sorted(seen.hosts.items()):
        for disk in host.disks:
            shown = (
                f"{format_size(disk.free_bytes)} of {format_size(disk.size_bytes)} are free on {disk.path}"
            )
            if disk.free_bytes < max(LOW_BYTES, LOW_SHARE * disk.size_bytes):
                yield Finding(
                    code="disk_low",
                    severity="critical" if disk.free_bytes < FULL_BYTES else "warning",
                    subject=uid,
                    text=f"{uid}: {shown}",
                    means="a server whose WAL finds no room goes down, and the next after it",
                    fix=f"make room on {disk.path} of {uid}",
                )
        place = next(iter(host.disks), None)  # the WAL's, where it has one of its own
        if place is not None and place.free_bytes < kept:
            yield Finding(
                code="slots_may_fill_disk",
                severity="warning",
                subject=uid,
                text=f"{uid}: {format_size(place.free_bytes)} are free for WAL, and slots may keep "
                f"{format_size(kept)}",
                means="a member that is away for long enough fills the disk of the one that keeps WAL for it",
                fix="lower postgres.max_slot_wal_keep_size in the spec, or give WAL more room",
            )


def _slots(seen: Seen) -> Iterator[Finding]:
    for uid, host in sorted(seen.hosts.items()):
        for slot in host.slots:
            if slot.wal_status in {"lost", "unreserved"}:
                yield Finding(
                    code="slot_lost_wal",
                    severity="warning",
                    subject=uid,
                    text=f"slot {slot.name} of {uid} is {slot.wal_status}: WAL that it should keep is going",
                    means="who uses it must be cloned anew, or soon must be",
                    fix="raise postgres.max_slot_wal_keep_size if members are away for long",
                )
            elif not slot.active and parse_standby_name(slot.name) is None:
                yield Finding(
                    code="foreign_slot_idle",
                    severity="warning",
                    subject=uid,
                    text=f"slot {slot.name} of {uid} is not pgha's and nobody uses it",
                    means="it keeps WAL until max_slot_wal_keep_size is reached",
                    fix=f"if nobody needs it: SELECT pg_drop_replication_slot('{slot.name}')",
                )
