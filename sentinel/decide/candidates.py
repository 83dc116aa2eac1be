"""Who has sealed for the view's term, and where: among them a primary is chosen (protocol 5.2). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.model.lineage import Position, agreed_until, has_promotion
from common.model.reports import PromotionReport
from common.model.view import ClusterView, LineageEntry, SyncMember
from common.model.wal import Lsn
from sentinel.decide.observed import Observed
from sentinel.decide.sealing import is_sealed


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sealed member, its final position, and the last promotion that began in its data, if any."""

    uid: str
    incarnation: str
    position: Position
    agreed: Lsn
    began: PromotionReport | None = None

    @property
    def life(self) -> SyncMember:
        """The candidate as a sync set counts it."""
        return SyncMember(self.uid, self.incarnation)

    def must_be_cloned(self, lineage: Sequence[LineageEntry]) -> bool:
        """Whether it began a promotion that is not in the lineage (protocol, section 9)."""
        began = self.began
        return began is not None and not has_promotion(lineage, began.timeline, began.incarnation)


def sealed_candidates(observed: Observed, view: ClusterView) -> tuple[Candidate, ...]:
    """Everybody who has sealed for the view's term."""
    found = []
    for report in observed.keepers.values():
        if is_sealed(observed, report) and report.seal and report.incarnation:
            position, last = report.seal.position, report.promotion
            found.append(
                Candidate(
                    report.uid,
                    report.incarnation,
                    position,
                    agreed_until(position, view.lineage),
                    last if last and last.lies_in(report.incarnation) else None,
                )
            )
    return tuple(sorted(found, key=lambda candidate: candidate.uid))
