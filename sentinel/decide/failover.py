"""Steps 2 to 4 of a failover: choose, promote, route (protocol, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.model.lineage import (
    Position,
    agreed_until,
    can_be_extended,
    contains,
    extended,
    has_diverged,
    has_promotion,
)
from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.view import ClusterView, LineageEntry, Primary, SyncMember, SyncSet, SyncState
from common.model.wal import ZERO, Lsn
from sentinel.decide import conditions
from sentinel.decide.durability import sync_set_of_the_sealed
from sentinel.decide.observed import Change, Decision, Observed, next_view
from sentinel.decide.sealing import is_sealed, missing_for, standbys_suffice, too_few_live


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sealed member, its final position, and the timeline of the last promotion that it began, if any."""

    uid: str
    incarnation: str
    position: Position
    agreed: Lsn
    began: int | None = None

    @property
    def life(self) -> SyncMember:
        """The candidate as a sync set counts it."""
        return SyncMember(self.uid, self.incarnation)

    def must_be_cloned(self, lineage: Sequence[LineageEntry]) -> bool:
        """Whether it began a promotion that is not in the lineage (protocol, section 9)."""
        return self.began is not None and not has_promotion(lineage, self.began, self.incarnation)


@dataclass(frozen=True, slots=True)
class Choice:
    """The member to promote, or None with the reason why nobody is (yet)."""

    candidate: Candidate | None
    reason: Reason
    least: Lsn = ZERO
    """``L``: every commit that was acknowledged under the sets in force lies at or before it."""


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
                    last.timeline if last and last.incarnation == report.incarnation else None,
                )
            )
    return tuple(sorted(found, key=lambda candidate: candidate.uid))


def choose_primary(observed: Observed, view: ClusterView) -> Choice:
    """Choose among the safe, as soon as enough have sealed that no acknowledged commit can be missing."""
    sealed = sealed_candidates(observed, view)
    lives = frozenset(candidate.life for candidate in sealed)
    old = view.old_primary
    old_sealed = next((c for c in sealed if old and c.life == (old.uid, old.incarnation)), None)
    waited = (
        observed.held(conditions.sealing(view.term), observed.spec.timings.restart_after_s)
        or view.old_primary_may_start
    )
    if all(not missing_for(each, lives) for each in view.sync.in_force):
        counted = {member for each in view.sync.in_force for member in each.members}
        positions = [candidate.agreed for candidate in sealed if candidate.life in counted]
        least = Lsn(max([view.floor, *positions]))
    elif old_sealed is not None and waited:
        least = Lsn(max(view.floor, old_sealed.agreed))
    else:
        return Choice(None, _waiting_for_seals(observed, view, lives))
    return _among_the_safe(observed, view, sealed, least, waited=waited)


def _among_the_safe(
    observed: Observed, view: ClusterView, sealed: tuple[Candidate, ...], least: Lsn, *, waited: bool
) -> Choice:
    safe = [
        candidate
        for candidate in sealed
        if contains(candidate.position, view.lineage, least)
        and can_be_extended(candidate.position, view.lineage)
        and not candidate.must_be_cloned(view.lineage)
    ]
    if not safe:
        return Choice(None, _nobody_safe(sealed, least), least)
    eligible = [candidate for candidate in safe if not observed.spec.member(candidate.uid).no_failover]
    if not eligible:
        return Choice(None, _nobody_eligible(safe), least)
    old = view.old_primary
    others = [candidate for candidate in eligible if old is None or candidate.uid != old.uid]
    if not others and not waited:
        return Choice(None, _old_primary_last(eligible[0]), least)
    home = observed.site_of(old.uid) if old else ""
    chosen = min(
        others or eligible,
        key=lambda c: (
            -c.agreed,
            has_diverged(c.position, view.lineage),
            observed.site_of(c.uid) != home,
            -observed.spec.member(c.uid).priority,
            c.uid,
        ),
    )
    text = (
        f"{chosen.uid} holds everything up to {least} and is at {chosen.position.lsn}; "
        f"safe: {', '.join(c.uid for c in safe)}; sealed: {', '.join(c.uid for c in sealed)}"
    )
    return Choice(
        chosen, Reason(code="candidate_chosen", severity="info", subject=chosen.uid, text=text), least
    )


def name_again(observed: Observed, view: ClusterView) -> Change | None:
    """Name the old primary again, without a restart, when it turns out to be up and well after all.

    Its report must have been made after it saw this sealing view, or it could be the past speaking.
    """
    old = view.old_primary
    report = observed.keepers.get(old.uid) if old else None
    if old is None or report is None:
        return None
    well = (
        report.writable
        and report.incarnation == old.incarnation
        and report.system_identifier == view.system_identifier
        and report.generation >= view.generation
        and report.sealed_term < view.term
        and report.timeline == old.timeline
        and report.promotion is not None
        and report.promotion.finished
        and report.promotion.timeline == old.timeline
        and report.promotion.incarnation == old.incarnation
    )
    if not well:
        return None
    named = next_view(view, phase="promoting", primary=old, old_primary=None, old_primary_may_start=False)
    text = f"{old.uid} is up and well after all: it stays primary, in term {view.term}"
    return Change(named, "primary_named_again", text, "old_primary_well", new_primary=old.uid)


def greatest_timeline(observed: Observed, view: ClusterView) -> int:
    """The greatest timeline that a view has named or a report of this cluster's data shows (I9)."""
    seen = (
        max(report.timeline, report.greatest_timeline)
        for report in observed.keepers.values()
        if report.system_identifier == view.system_identifier
    )
    return max([view.greatest_timeline, *seen])


def note_timelines(observed: Observed, view: ClusterView) -> Decision:
    """Remember a timeline that no view has named, as a promotion by hand makes one: no number comes twice."""
    greatest = greatest_timeline(observed, view)
    if greatest == view.greatest_timeline:
        return Decision(None, ())
    noted = next_view(view, greatest_timeline=greatest)
    text = f"timeline {greatest} was seen, which no view has named"
    return Decision(Change(noted, "timeline_seen", text, "unknown_timeline", timeline=greatest), ())


def name_primary(observed: Observed, view: ClusterView, choice: Choice, chosen: Candidate) -> Change:
    """Step 3 as one write: the new primary, its timeline, lineage, sync set and floor."""
    timeline = 1 + greatest_timeline(observed, view)
    entry = LineageEntry(
        term=view.term,
        timeline=timeline,
        fork=chosen.position.lsn,
        uid=chosen.uid,
        incarnation=chosen.incarnation,
    )
    lineage = extended(view.lineage, chosen.position, entry)
    followers = frozenset(
        candidate.life
        for candidate in sealed_candidates(observed, view)
        if not has_diverged(candidate.position, lineage) and not candidate.must_be_cloned(lineage)
    )
    members, k = sync_set_of_the_sealed(observed, chosen.uid, followers)
    named = next_view(
        view,
        phase="promoting",
        primary=Primary(
            uid=chosen.uid, incarnation=chosen.incarnation, timeline=timeline, fork=chosen.position.lsn
        ),
        old_primary=None,
        old_primary_may_start=False,
        sync=SyncState(current=SyncSet(id=view.generation + 1, k=k, members=members)),
        lineage=lineage,
        floor=Lsn(max(view.floor, choice.least)),
        greatest_timeline=timeline,
    )
    old = view.old_primary.uid if view.old_primary else None
    return Change(
        named,
        "primary_named",
        choice.reason.text,
        choice.reason.code,
        old_primary=old,
        new_primary=chosen.uid,
        lsn=chosen.position.lsn,
        timeline=timeline,
    )


def during_sealing(observed: Observed, view: ClusterView) -> Decision:
    """What to do while nobody is primary."""
    again = name_again(observed, view)
    if again is not None:
        return Decision(again, ())
    choice = choose_primary(observed, view)
    if choice.candidate is not None:
        return Decision(name_primary(observed, view, choice, choice.candidate), ())
    reasons = (choice.reason,)
    if not view.old_primary_may_start and not standbys_suffice(observed, view, view.old_primary):
        change = Change(
            next_view(view, old_primary_may_start=True),
            "old_primary_needed",
            "too few standbys live to make the quorum: the old primary shall seal as soon as it can",
            "too_few_to_seal",
        )
        return Decision(change, reasons)
    return Decision(None, reasons)


def promoted(view: ClusterView, report: KeeperReport | None) -> bool:
    """Whether the named primary says that it is writable in this term, as it was named."""
    named = view.primary
    return (
        named is not None
        and report is not None
        and report.writable
        and report.incarnation == named.incarnation
        and report.timeline == named.timeline
        and report.promotion is not None
        and report.promotion.finished
        and report.promotion.timeline == named.timeline
        and report.promotion.incarnation == named.incarnation
        and report.sync is not None
        and report.sync.term == view.term
    )


def _waiting_for_seals(observed: Observed, view: ClusterView, lives: frozenset[SyncMember]) -> Reason:
    missing = sorted({m.uid for each in view.sync.in_force for m in each.members - lives})
    if standbys_suffice(observed, view, view.old_primary):
        return Reason(
            code="sealing",
            severity="critical",
            text=f"waiting for the seals of term {view.term}: {', '.join(missing)}",
        )
    return too_few_live(observed, view)


def _nobody_safe(sealed: tuple[Candidate, ...], least: Lsn) -> Reason:
    return Reason(
        code="nobody_safe",
        severity="critical",
        text=f"nothing is promoted: nobody who sealed holds everything acknowledged, up to {least}; "
        + ", ".join(f"{c.uid} ends at {c.agreed}" for c in sealed),
        fix="start the keepers of the other members on their data",
    )


def _nobody_eligible(safe: list[Candidate]) -> Reason:
    return Reason(
        code="nobody_eligible",
        severity="critical",
        text=f"nothing is promoted: {', '.join(c.uid for c in safe)} would be safe but may not be promoted",
        fix="clear no_failover of one of them in the spec",
    )


def _old_primary_last(candidate: Candidate) -> Reason:
    return Reason(
        code="old_primary_last",
        severity="critical",
        subject=candidate.uid,
        text=f"only {candidate.uid}, which was primary when it went down, is safe; "
        "others have until restart_after to seal",
    )
