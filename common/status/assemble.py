"""From documents, live figures and ages to the state that people are shown. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

from common.model.reasons import SUSPENDED, Reason, worst_first
from common.model.reports import KeeperReport
from common.model.view import ClusterView
from common.model.wal import Lsn
from common.status.clocks import clocks_apart
from common.status.documents import Documents, no_spec
from common.status.model import (
    Health,
    KeeperRow,
    LiveFigures,
    ProxyRow,
    SentinelRow,
    StatusView,
    StoreRow,
    SyncRow,
)
from common.store.port import StoreMember


def assemble(
    documents: Documents,
    live: Mapping[str, LiveFigures],
    store: Iterable[StoreMember],
    now: datetime,
) -> StatusView:
    """Put together what is known; ``live`` holds the keepers that answered, ``now`` tells the ages."""
    view = documents.view
    members = tuple(store)
    clocks = clocks_apart({uid: each.clock for uid, each in live.items() if each.clock is not None})
    reasons = worst_first((*_reasons(documents, members), *([clocks] if clocks else [])))
    primary = view.member(view.primary.uid) if view and view.primary else None
    return StatusView(
        cluster=documents.cluster,
        health=health_of(documents, reasons),
        term=view.term if view else 0,
        generation=view.generation if view else 0,
        phase=view.phase if view else "none",
        primary=view.primary.uid if view and view.primary else None,
        primary_site=primary.site if primary else None,
        route=f"{view.route.host}:{view.route.port}" if view and view.route else None,
        leader=documents.leader,
        mode=documents.spec.durability.mode if documents.spec else "",
        sync=_sync_rows(view),
        keepers=_keeper_rows(documents, live, now),
        sentinels=tuple(
            SentinelRow(
                uid=uid,
                site=report.site,
                leader=uid == documents.leader,
                age_s=_age_s(report.reported_at, now),
            )
            for uid, report in documents.sentinels.items()
        ),
        proxies=tuple(
            ProxyRow(
                uid=uid,
                site=report.site,
                address=f"{report.host}:{report.port}",
                route=report.route,
                term=report.term,
                sessions=report.sessions,
                parked=report.parked,
                age_s=_age_s(report.reported_at, now),
            )
            for uid, report in documents.proxies.items()
        ),
        store=tuple(
            StoreRow(
                endpoint=member.endpoint,
                name=member.name,
                leader=member.is_leader,
                version=member.version,
                problem=member.problem,
            )
            for member in members
        ),
        reasons=reasons,
    )


def health_of(documents: Documents, reasons: Iterable[Reason]) -> Health:
    """Suspended is the worst, since nothing is repaired then; no route comes next; remarks do not count.

    A proxy that alone knew another store makes the cluster degraded, not suspended.
    """
    said = tuple(reasons)
    if any(each.code == SUSPENDED and each.subject not in documents.proxies for each in said):
        return "suspended"
    if documents.view is None or documents.view.route is None:
        return "no_primary"
    return "degraded" if any(reason.severity != "info" for reason in said) else "healthy"


def _age_s(reported_at: datetime, now: datetime) -> float:
    return round(max(0.0, (now - reported_at).total_seconds()), 3)


def _sync_rows(view: ClusterView | None) -> tuple[SyncRow, ...]:
    if view is None:
        return ()
    return tuple(
        SyncRow(k=each.k, members=tuple(sorted(m.uid for m in each.members)), pending=index > 0)
        for index, each in enumerate(view.sync.in_force)
    )


def _keeper_rows(
    documents: Documents, live: Mapping[str, LiveFigures], now: datetime
) -> tuple[KeeperRow, ...]:
    view = documents.view
    rows = [
        KeeperRow(
            uid=member.uid,
            site=member.site,
            address=f"{member.host}:{member.port}",
            sync=_sync_of(view, member.uid),
        )
        for member in (view.members if view else ())
        if member.uid not in documents.keepers
    ]
    end = _end_of_wal(documents, live)
    for uid, report in documents.keepers.items():
        row = _figures(report, live.get(uid), end)
        rows.append(
            row.model_copy(update={"sync": _sync_of(view, uid), "age_s": _age_s(report.reported_at, now)})
        )
    return tuple(sorted(rows, key=lambda row: (row.site, row.uid)))


def _end_of_wal(documents: Documents, live: Mapping[str, LiveFigures]) -> Lsn | None:
    """The primary's end of WAL, as fresh as it is known."""
    view = documents.view
    if view is None or view.primary is None:
        return None
    uid = view.primary.uid
    if uid in live and live[uid].role == "primary":
        return live[uid].lsn
    report = documents.keepers.get(uid)
    return report.lsn if report is not None and report.writable else None


def _figures(report: KeeperReport, live: LiveFigures | None, end: Lsn | None) -> KeeperRow:
    """A keeper's row: the live figures where it answered, else those of its report."""
    role = live.role if live else report.role
    lsn = live.lsn if live else report.lsn
    return KeeperRow(
        uid=report.uid,
        site=report.site,
        address=f"{report.host}:{report.port}",
        role=role or "-",
        state=live.state if live else report.state,
        progress=report.progress,
        timeline=(live.timeline if live else report.timeline) or None,
        lsn=lsn or None,
        lag_bytes=max(0, end - lsn) if role == "standby" and end is not None and lsn else None,
        lag_s=live.lag_s if live and role == "standby" else None,
        figures="live" if live else "report",
    )


def _sync_of(view: ClusterView | None, uid: str) -> Literal["primary", "sync", "pending", "-"]:
    if view is None:
        return "-"
    if view.primary is not None and view.primary.uid == uid:
        return "primary"
    if any(member.uid == uid for member in view.sync.current.members):
        return "sync"
    if any(member.uid == uid for each in view.sync.pending for member in each.members):
        return "pending"
    return "-"


def _reasons(documents: Documents, store: tuple[StoreMember, ...]) -> Iterable[Reason]:
    """What the leader and the services say, and what only a reader of the store can see."""
    said = documents.reasons.reasons if documents.reasons is not None else ()
    yield from said
    named = {(reason.code, reason.subject) for reason in said}
    yield from (each for each in documents.malformed if (each.code, each.subject) not in named)
    for keeper in documents.keepers.values():
        yield from keeper.reasons
    for proxy in documents.proxies.values():
        yield from proxy.reasons
    yield from _missing_parts(documents)
    for member in store:
        if member.problem:
            yield Reason(
                code="store_member_unreachable",
                severity="warning",
                subject=member.endpoint,
                text=f"etcd at {member.endpoint} does not answer: {member.problem}",
                fix="see to that etcd member; the cluster needs a majority of them",
            )
        for alarm in member.alarms:
            yield Reason(
                code="store_alarm",
                severity="critical",
                subject=member.endpoint,
                text=f"etcd at {member.endpoint} raises the alarm {alarm}",
                fix="free its space (compact and defragment), then clear the alarm with etcdctl alarm disarm",
            )


def _missing_parts(documents: Documents) -> Iterable[Reason]:
    if documents.spec is None and not documents.spec_is_malformed:
        yield no_spec(documents.cluster)
    if documents.leader is None:
        yield Reason(
            code="no_leader",
            severity="critical",
            text="no sentinel leads, so nothing that fails now is repaired",
            fix="start pgha-sentinel, on two sites and a witness at best",
        )
