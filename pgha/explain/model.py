"""A cluster at an instant in which something has just died, as the decision core is shown it. Pure.

Keepers and servers of the model do at once what real ones do in time: whoever lives and streams seals, is
promoted, follows, acknowledges. Whoever streams is taken to be level with the primary, since a seal replays
all that has arrived; who is ahead by some bytes at the instant itself cannot be known before it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
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
from common.model.view import ClusterView, LineageEntry, Member, Primary, SyncMember, SyncSet
from common.model.wal import Lsn
from sentinel.decide.observed import Observed


class Instant:
    """One instant, from which any number of faults are tried: where each WAL ends, whoever dies then.

    It keeps what runs have asked it: on a large cluster most of a run is as in the one before.
    """

    def __init__(self, before: Observed) -> None:
        self.before = before
        primary = before.primary_report
        level = {member.uid for member in before.streaming}
        self.ends: Mapping[str, Lsn] = {
            uid: Lsn(max(report.lsn, primary.lsn)) if primary is not None and uid in level else report.lsn
            for uid, report in before.keepers.items()
        }
        self._agreeing: dict[tuple[LineageEntry, ...], frozenset[str]] = {}
        self._told: dict[tuple[str, bool, bool], KeeperReport] = {}

    def agreeing(self, lineage: tuple[LineageEntry, ...]) -> frozenset[str]:
        """Whose WAL lies in a lineage to its end."""
        if lineage not in self._agreeing:
            self._agreeing[lineage] = frozenset(
                uid
                for uid, report in self.before.keepers.items()
                if not has_diverged(Position(report.history, report.timeline, self.ends[uid]), lineage)
            )
        return self._agreeing[lineage]

    def told(self, view: ClusterView, report: KeeperReport, evidence: UpstreamReport) -> KeeperReport:
        """A standby's report under a view; the one under the view of this instant begins every run."""
        obeys = {"generation": view.generation, "term": view.term, "upstream": evidence}
        if view is not self.before.view:
            return report.model_copy(update=obeys)
        key = (report.uid, evidence.reachable, evidence.receiving)
        if key not in self._told:
            self._told[key] = report.model_copy(update=obeys)
        return self._told[key]


@dataclass(frozen=True)
class Living:
    """The members that are left after an instant, as they reported before it."""

    reports: Mapping[str, KeeperReport]
    instant: Instant

    @classmethod
    def after(cls, instant: Instant, lost: frozenset[str]) -> Living:
        """Who is left of the cluster once the hosts of the lost are gone."""
        left = {uid: report for uid, report in instant.before.keepers.items() if uid not in lost}
        return cls(left, instant)

    def reports_under(self, view: ClusterView) -> dict[str, KeeperReport]:
        """What they report once they have done what a view says."""
        members = {member.uid: member for member in view.members}
        obedient = {uid for uid, report in self.reports.items() if _obeys(view, members.get(uid), report)}
        followers = self._followers(view, obedient)
        evidence = {streams: self._evidence(view, streams=streams) for streams in (False, True)}
        return {
            uid: self._report(view, report, followers, evidence) if uid in obedient else report
            for uid, report in self.reports.items()
        }

    def _evidence(self, view: ClusterView, *, streams: bool) -> UpstreamReport:
        """What a standby knows of the named primary."""
        uid = view.primary.uid if view.primary else ""
        return UpstreamReport(uid=uid, reachable=uid in self.reports, receiving=streams, term=view.term)

    def _report(
        self,
        view: ClusterView,
        report: KeeperReport,
        followers: frozenset[SyncMember],
        evidence: Mapping[bool, UpstreamReport],
    ) -> KeeperReport:
        obeys = {"generation": view.generation, "term": view.term}
        named = view.primary
        if named is not None and named.uid == report.uid:
            return report.model_copy(update=obeys | _as_primary(view, named, report, followers))
        if view.phase == "sealing" and report.role == "standby":
            return report.model_copy(update=obeys | self._as_sealed(view, report))
        if named is None or report.role != "standby":
            return report.model_copy(update=obeys)
        streams = SyncMember(report.uid, report.incarnation or "") in followers
        return self.instant.told(view, report, evidence[streams])

    def _as_sealed(self, view: ClusterView, report: KeeperReport) -> dict[str, object]:
        seal = SealReport(
            term=view.term,
            lsn=self.instant.ends[report.uid],
            timeline=report.timeline,
            history=report.history,
        )
        return {"sealed_term": view.term, "seal": seal, "lsn": seal.lsn}

    def _followers(self, view: ClusterView, obedient: Container[str]) -> frozenset[SyncMember]:
        """Who streams from the named primary, if that one lives: all whose WAL lies in the lineage."""
        named = view.primary
        if named is None or named.uid not in self.reports:
            return frozenset()
        agreeing = self.instant.agreeing(view.lineage)
        return frozenset(
            SyncMember(uid, report.incarnation)
            for uid, report in self.reports.items()
            if uid != named.uid
            and report.role == "standby"
            and report.incarnation is not None
            and uid in obedient
            and uid in agreeing
        )


def _obeys(view: ClusterView, member: Member | None, report: KeeperReport) -> bool:
    """Whether it runs, in the life that the view knows, on the cluster's data."""
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
