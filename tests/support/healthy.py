"""The documents of a healthy two-site cluster, for tests that then take something away from it."""

from __future__ import annotations

from datetime import UTC, datetime

from common.model.base import Document
from common.model.keys import Keys
from common.model.reasons import Reason, ReasonsDocument
from common.model.reports import (
    KeeperReport,
    ProxyReport,
    SentinelReport,
    StandbySeen,
)
from common.model.spec import ClusterSpec
from common.model.view import (
    ClusterView,
    LineageEntry,
    Member,
    Primary,
    Route,
    SyncMember,
    SyncSet,
    SyncState,
)
from common.model.wal import ZERO, Lsn
from common.status.documents import Documents

NOW = datetime(2026, 3, 1, 3, 0, 0, tzinfo=UTC)
UIDS = ("sandun-1", "sandun-2", "shiqiao-1", "shiqiao-2")
INCARNATIONS = {uid: f"0000000{number}" for number, uid in enumerate(UIDS, 1)}
PORTS = {uid: 24820 + number for number, uid in enumerate(UIDS)}
TERM = 4
SYSTEM = "7300000000000000001"


def site_of(uid: str) -> str:
    return uid.rpartition("-")[0]


def view(home: str = "sandun-1", **fields: object) -> ClusterView:
    """A running view: the primary's other site acknowledges."""
    members = frozenset(SyncMember(u, INCARNATIONS[u]) for u in UIDS if site_of(u) != site_of(home))
    whole: dict[str, object] = {
        "cluster": "demo",
        "generation": 17,
        "term": TERM,
        "phase": "running",
        "system_identifier": SYSTEM,
        "members": tuple(
            Member(uid=u, site=site_of(u), host="127.0.0.1", port=PORTS[u], incarnation=INCARNATIONS[u])
            for u in UIDS
        ),
        "primary": Primary(uid=home, incarnation=INCARNATIONS[home], timeline=2),
        "sync": SyncState(current=SyncSet(id=15, k=1, members=members)),
        "lineage": (
            LineageEntry(term=TERM, timeline=2, fork=ZERO, uid=home, incarnation=INCARNATIONS[home]),
        ),
        "route": Route(
            uid=home,
            incarnation=INCARNATIONS[home],
            term=TERM,
            host="127.0.0.1",
            port=PORTS[home],
        ),
    }
    return ClusterView.model_validate(whole | fields)


def keeper(uid: str, home: str = "sandun-1", **fields: object) -> KeeperReport:
    """A keeper that is as it should be."""
    is_primary = uid == home
    others = tuple(
        StandbySeen(
            member=other.replace("-", "_"),
            incarnation=INCARNATIONS[other],
            term=TERM,
            streaming=True,
            caught_up=True,
        )
        for other in UIDS
        if other != uid
    )
    whole: dict[str, object] = {
        "uid": uid,
        "site": site_of(uid),
        "keeper_id": f"id-{uid}",
        "life": "1",
        "host": "127.0.0.1",
        "port": PORTS[uid],
        "reported_at": NOW,
        "generation": 17,
        "term": TERM,
        "system_identifier": SYSTEM,
        "incarnation": INCARNATIONS[uid],
        "state": "running",
        "role": "primary" if is_primary else "standby",
        "timeline": 2,
        "lsn": Lsn.parse("0/5000000"),
        "standbys": others if is_primary else (),
    }
    return KeeperReport.model_validate(whole | fields)


def proxy(site: str, primary: str = "sandun-1", **fields: object) -> ProxyReport:
    """A proxy that serves the route."""
    whole: dict[str, object] = {
        "uid": f"proxy-{site}",
        "site": site,
        "host": "127.0.0.1",
        "port": 24800,
        "reported_at": NOW,
        "term": TERM,
        "route": primary,
        "sessions": 3,
    }
    return ProxyReport.model_validate(whole | fields)


def sentinel(site: str) -> SentinelReport:
    """A sentinel that is ready."""
    return SentinelReport(uid=f"sentinel-{site}", site=site, reported_at=NOW)


def documents(primary: str = "sandun-1", reasons: tuple[Reason, ...] = (), **fields: object) -> Documents:
    """Everything that stands in the store of a healthy cluster, with some fields replaced."""
    whole: dict[str, object] = {
        "cluster": "demo",
        "spec": ClusterSpec(),
        "view": view(primary),
        "reasons": ReasonsDocument(term=TERM, reasons=reasons),
        "leader": "sentinel-witness",
        "keepers": {uid: keeper(uid, primary) for uid in UIDS},
        "sentinels": {f"sentinel-{site}": sentinel(site) for site in ("sandun", "shiqiao", "witness")},
        "proxies": {f"proxy-{site}": proxy(site, primary) for site in ("sandun", "shiqiao")},
    }
    return Documents(**(whole | fields))  # type: ignore[arg-type]


def stored(cluster: Documents) -> dict[str, bytes]:
    """The documents as they stand in the store, by key."""
    keys = Keys(cluster.cluster)
    single: dict[str, Document | None] = {
        keys.spec: cluster.spec,
        keys.view: cluster.view,
        keys.reasons: cluster.reasons,
    }
    several: dict[str, Document] = {}
    several |= {keys.keeper(uid): report for uid, report in cluster.keepers.items()}
    several |= {keys.sentinel(uid): report for uid, report in cluster.sentinels.items()}
    several |= {keys.proxy(uid): report for uid, report in cluster.proxies.items()}
    found = {key: document.to_bytes() for key, document in (single | several).items() if document}
    if cluster.leader is not None:
        found[keys.leader] = cluster.leader.encode()
    return found
