"""Standbys that do not stream: who they are, and whether one can ever stream again. Pure evidence."""

from __future__ import annotations

from common.model.reports import KeeperReport
from common.model.view import ClusterView, SyncMember
from sentinel.decide.observed import Observed


def standbys_apart(observed: Observed, view: ClusterView) -> tuple[KeeperReport, ...]:
    """Reports of members, other than the primary, that do not stream although their keepers live."""
    primary = view.primary.uid if view.primary else ""
    streaming = {member.uid for member in observed.streaming}
    return tuple(
        observed.keepers[member.uid]
        for member in view.members
        if member.uid not in {primary, *view.out}
        and member.uid in observed.keepers
        and member.uid not in streaming
    )


def starving(observed: Observed, view: ClusterView, primary: KeeperReport) -> frozenset[SyncMember]:
    """Lives that reach the primary and have replayed all they have, which ends before its oldest WAL."""
    return frozenset(
        SyncMember(report.uid, report.incarnation)
        for report in standbys_apart(observed, view)
        if report.incarnation is not None
        and report.state == "running"
        and report.role == "standby"
        and report.run_dry
        and report.upstream is not None
        and report.upstream.uid == primary.uid
        and report.upstream.reachable
        and not report.upstream.receiving
        and report.lsn < primary.oldest_wal
    )
