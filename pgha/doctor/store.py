"""etcd and the services around PostgreSQL: where they stand, and what the loss of each site leaves. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from common.model.units import format_duration
from pgha.doctor.finding import Finding, Seen, grouped
from pgha.placement import known_sites

KEEPALIVES_PER_LEASE: Final = 3
SLOW_SHARE: Final = 0.25
"""Of the time between two keepalives: slower reads than that leave too little for a second try."""

_RELEASE = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_CORRUPTING: Final = ((3, 5, 0), (3, 5, 2))
_OLDEST: Final = (3, 4, 0)


def check_store(seen: Seen) -> Iterator[Finding]:
    """Etcd's members, releases and speed; sentinels and proxies by site."""
    yield from _quorum(seen)
    yield from _releases(seen)
    yield from _speed(seen)
    yield from _services(seen)


def _quorum(seen: Seen) -> Iterator[Finding]:
    placement = seen.placement
    count = len(placement.site_of)
    if not count:
        return
    if count == 1 or count % 2 == 0:
        yield Finding(
            code="etcd_members",
            severity="warning" if count == 1 else "info",
            subject="etcd",
            text=f"etcd has {count} member{'s' if count > 1 else ''}",
            means="the loss of one is the loss of all" if count == 1 else "the last one adds no safety",
            fix="run three or five members, on three sites",
        )
    if placement.unknown:
        yield Finding(
            code="etcd_sites_unknown",
            severity="warning" if count > 1 else "info",
            subject="etcd",
            text=f"the sites of these members of etcd are not known: {', '.join(placement.unknown)}",
            means="whether a majority survives the loss of a site cannot be said",
            fix="give each member a name with its site in it, such as etcd-SITE",
        )
        return
    for site in known_sites(seen.documents):
        if count > 1 and placement.survives(site) is False:
            yield Finding(
                code="etcd_majority_on_site",
                severity="warning",
                subject=site,
                text=f"without site {site} etcd has {placement.left_without(site)} of {count} members left "
                f"and needs {placement.majority}",
                means="nothing fails over by itself once that site is lost; a primary elsewhere goes on "
                "while its standbys attest",
                fix="put one member on each of three sites; a witness needs no PostgreSQL",
            )


def _releases(seen: Seen) -> Iterator[Finding]:
    versions = {member.name or member.endpoint: member.version for member in seen.store if member.version}
    for name, version in sorted(versions.items()):
        match = _RELEASE.match(version)
        release = tuple(int(part) for part in match.groups()) if match else _OLDEST
        if _CORRUPTING[0] <= release <= _CORRUPTING[1]:
            yield Finding(
                code="etcd_corrupts",
                severity="critical",
                subject=name,
                text=f"{name} runs etcd {version}",
                means="3.5.0 to 3.5.2 can corrupt data when they are killed under load (etcd #13766)",
                fix="upgrade it to the newest 3.5 or later",
            )
        elif release < _OLDEST:
            yield Finding(
                code="etcd_too_old",
                severity="warning",
                subject=name,
                text=f"{name} runs etcd {version}",
                means="pgha is written for and tested with 3.4 and later",
                fix="upgrade it",
            )
    if len(set(versions.values())) > 1:
        yield Finding(
            code="etcd_releases_differ",
            severity="info",
            subject="etcd",
            text=f"members of etcd of different releases: {grouped(versions)}",
            means="so it should be during an upgrade only",
            fix="bring all to one release",
        )


def _speed(seen: Seen) -> Iterator[Finding]:
    lease_s = seen.spec.timings.lease_ttl_s
    period_s = lease_s / KEEPALIVES_PER_LEASE
    if seen.reads_s and max(seen.reads_s) > SLOW_SHARE * period_s:
        slowest_ms = max(seen.reads_s) * 1000
        yield Finding(
            code="etcd_slow",
            severity="critical" if max(seen.reads_s) > period_s else "warning",
            subject="etcd",
            text=f"the slowest of {len(seen.reads_s)} reads of etcd took {slowest_ms:.0f} ms; leases of "
            f"{format_duration(lease_s)} are renewed every {period_s * 1000:.0f} ms",
            means="leases may end although nobody is dead: reports vanish, and with k = 0 the primary stops",
            fix="give etcd a disk of its own, see its metrics of fsync, or raise timings.lease_ttl",
        )
    if seen.least_lease_s is not None and seen.least_lease_s > lease_s:
        yield Finding(
            code="etcd_grants_longer_leases",
            severity="warning",
            subject="etcd",
            text=f"etcd grants no lease shorter than {format_duration(seen.least_lease_s)}, the spec asks "
            f"for {format_duration(lease_s)}",
            means="a dead host is noticed that much later: etcd grants one and a half times its election "
            "timeout at least",
            fix="lower etcd's --election-timeout as far as the network between the sites allows",
        )


def _services(seen: Seen) -> Iterator[Finding]:
    documents = seen.documents
    sentinels = {report.site for report in documents.sentinels.values()}
    if len(documents.sentinels) > 1 and len(sentinels) == 1:
        yield Finding(
            code="sentinels_on_one_site",
            severity="warning",
            subject=next(iter(sentinels)),
            text=f"all {len(documents.sentinels)} sentinels stand on {next(iter(sentinels))}",
            means="without that site nobody decides anything",
            fix="run one on each site, and one on the witness",
        )
    members = {member.site for member in documents.view.members} if documents.view else set()
    for site in sorted(members):
        proxies = [report.uid for report in documents.proxies.values() if report.site == site]
        if len(proxies) < 2:  # noqa: PLR2004 - one of them may die
            yield Finding(
                code="few_proxies",
                severity="info",
                subject=site,
                text=f"{len(proxies) or 'no'} prox{'y' if len(proxies) == 1 else 'ies'} on site {site}",
                means="clients of that site lose their only way in when its host dies"
                if proxies
                else "clients of that site must go through another one's",
                fix=f"run two of them on {site}",
            )
