"""A cluster by its sites: who stands where, who follows whom, how far behind. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from pydantic import Field

from common.model.base import Value
from common.model.reports import KeeperReport
from common.status.assemble import assemble
from common.status.documents import Documents
from common.status.model import Health, KeeperRow, LiveFigures, ProxyRow
from common.store.port import StoreMember
from pgha.placement import known_sites, place


class MemberNode(Value):
    """One member. ``streams`` is None on a primary, and where nothing is known."""

    row: KeeperRow
    follows: str | None = Field(default=None, description="uid of the member that it takes WAL from")
    streams: bool | None = None


class SiteNode(Value):
    """One site and what stands there."""

    name: str
    members: tuple[MemberNode, ...]
    proxies: tuple[ProxyRow, ...]
    sentinels: tuple[str, ...]
    etcd: tuple[str, ...]


class Topology(Value):
    """The cluster by its sites; ``etcd_elsewhere`` are members of etcd whose site is not known."""

    cluster: str
    health: Health
    term: int
    phase: str
    primary: str | None
    leader: str | None
    sites: tuple[SiteNode, ...]
    etcd_elsewhere: tuple[str, ...]


def topology(
    documents: Documents, live: Mapping[str, LiveFigures], store: Iterable[StoreMember], now: datetime
) -> Topology:
    """Arrange what is known of a cluster by site."""
    members = tuple(store)
    status, placement = assemble(documents, live, members, now), place(documents, members)
    return Topology(
        cluster=status.cluster,
        health=status.health,
        term=status.term,
        phase=status.phase,
        primary=status.primary,
        leader=status.leader,
        sites=tuple(
            SiteNode(
                name=site,
                members=tuple(
                    _member(row, documents.keepers.get(row.uid)) for row in status.keepers if row.site == site
                ),
                proxies=tuple(row for row in status.proxies if row.site == site),
                sentinels=tuple(row.uid for row in status.sentinels if row.site == site),
                etcd=placement.at(site),
            )
            for site in known_sites(documents)
        ),
        etcd_elsewhere=placement.unknown,
    )


def _member(row: KeeperRow, report: KeeperReport | None) -> MemberNode:
    evidence = report.upstream if report is not None and row.role == "standby" else None
    if evidence is None:
        return MemberNode(row=row)
    return MemberNode(row=row, follows=evidence.uid, streams=evidence.receiving)
