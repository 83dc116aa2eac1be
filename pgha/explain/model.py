"""A cluster at an instant in which something has just died, as the decision core is shown it. Pure.

Keepers and servers of the model do at once what real ones do in time: whoever lives and streams seals, is
promoted, follows, acknowledges. Whoever streams is taken to be level with the primary, since a seal replays
all that has arrived; who is ahead by some bytes at the instant itself cannot be known before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.model.lineage import Position, has_diverged
from common.model.names import member_name
from common.model.reports import (
    KeeperReport,
    PromotionReport,
    SealReport,
    StandbySeen,
    SyncReport,
    UpstreamReport,
)
from common.model.view import ClusterView, Primary, SyncMember, SyncSet
from common.model.wal import Lsn
from sentinel.decide.observed import Observed


@dataclass(frozen=True)
class Living:
    """The members that are left, as they reported before the fault, and where each one's WAL ends."""

    reports: Mapping[str, KeeperReport]
    ends: Mapping[str, Lsn]

    @classmethod
    def after(cls, before: Observed, lost: frozenset[str]) -> Living:
        """Who is left of the cluster once the hosts of the lost are gone."""
        primary = before.primary_report
        level = {member.uid for member in before.streaming}
        ends = {
            uid: Lsn(max(report.lsn, primary.lsn)) if primary is not None and uid in level else report.lsn
            for uid, report in before.keepers.items()
        }
        return cls({uid: report for uid, report in before.keepers.items() if uid not in lost}, ends)

    def reports_under(self, view: ClusterView) -> dict[str, KeeperReport]:
        """What they report once they have done what a view says."""
        followers = self._followers(view)
        return {uid: self._report(view, report, followers) for uid, report in self.reports.items()}

    def _report(
        self, view: ClusterView, report: KeeperReport, followers: frozenset[SyncMember]
    ) -> KeeperReport:
        if not _obeys(view, report):
            return report
        obeys = {"generation": view.generation, "term": view.term}
        named = view.primary
        if named is not None and named.uid == report.uid:
            return report.model_copy(update=obeys | _as_primary(view, named, report, followers))
        if view.phase == "sealing" and report.role == "standby":
            return report.model_copy(update=obeys | self._as_sealed(view, report))
        streams = SyncMember(report.uid, report.incarnation or "") in followers
        evidence = UpstreamReport(
            uid=named.uid if named else "",
            reachable=named is not None and named.uid in self.reports,
            receiving=streams,
            term=view.term,
        )
        if named is None or report.role != "standby":
            return report.model_copy(update=obeys)
        return report.model_copy(update=obeys | {"upstream": evidence})

    def _as_sealed(self, view: ClusterView, report: KeeperReport) -> dict[str, object]:
        seal = SealReport(
            term=view.term, lsn=self.ends[report.uid], timeline=report.timeline, history=report.history
        )
        return {"sealed_term": view.term, "seal": seal, "lsn": seal.lsn}

    def _followers(self, view: ClusterView) -> frozenset[SyncMember]:
        """Who streams from the named primary, if that one lives: all whose WAL lies in the lineage."""
        named = view.primary
        if named is None or named.uid not in self.reports:
            return frozenset()
        return frozenset(
            SyncMember(uid, report.incarnation)
            for uid, report in self.reports.items()
            if uid != named.uid
            and report.role == "standby"
            and report.incarnation is not None
            and _obeys(view, report)
            and not has_diverged(Position(report.history, report.timeline, self.ends[uid]), view.lineage)
        )


def _obeys(view: ClusterView, report: KeeperReport) -> bool:
    """Whether it runs, in the life that the view knows, on the cluster's data."""
    member = view.member(report.uid)
    return (
        member is not None
        and report.state == "running"
        and report.incarnation is not None
        and report.incarnation == member.incarnation
        and report.system_identifier == view.system_identifier
    )


def _as_primary(
    view: ClusterView, named: Primary, report: KeeperReport, followers: frozenset[SyncMember]
) -> dict[str, object]:
    """Promoted, or primary still, with those who follow, and with what they acknowledge."""
    seen = tuple(
        StandbySeen(
            member=member_name(member.uid),
            incarnation=member.incarnation,
            term=view.term,
            streaming=True,
            caught_up=True,
        )
        for member in sorted(followers)
    )
    fields: dict[str, object] = {"standbys": seen, "sync": _sync(view, followers), "seal": None}
    if report.role == "primary":
        return fields
    promotion = PromotionReport(
        term=view.term,
        timeline=named.timeline,
        incarnation=named.incarnation or "",
        finished=True,
        fork=named.fork,
    )
    return fields | {
        "role": "primary",
        "timeline": named.timeline,
        "promotion": promotion,
        "lsn": named.fork,
        "upstream": None,
    }


def _sync(view: ClusterView, followers: frozenset[SyncMember]) -> SyncReport:
    def is_acknowledged(each: SyncSet) -> bool:
        return len(each.members & followers) >= each.k

    applied = view.sync.target if is_acknowledged(view.sync.target) else view.sync.current
    return SyncReport(
        term=view.term,
        applied=applied.id,
        confirmed=tuple(each.id for each in view.sync.in_force if is_acknowledged(each)),
    )
