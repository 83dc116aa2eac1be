"""Steps 2 to 4 of a failover: choose, promote, route (protocol, section 5)."""

from __future__ import annotations

from common.model.lineage import extended, has_diverged
from common.model.reports import KeeperReport
from common.model.view import ClusterView, LineageEntry, Primary, SyncSet, SyncState
from common.model.wal import Lsn
from sentinel.decide.candidates import Candidate, sealed_candidates
from sentinel.decide.choice import Choice, choose_primary
from sentinel.decide.durability import sync_set_of_the_sealed
from sentinel.decide.forcing import choose_forced
from sentinel.decide.losses import forsaken_by
from sentinel.decide.observed import Change, Decision, Observed, next_view
from sentinel.decide.sealing import standbys_suffice
from sentinel.decide.switching import SWITCHOVER, with_the_old_primary


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
        and not report.hanging
        and old.uid not in view.out
        and report.timeline == old.timeline
        and report.promotion is not None
        and report.promotion.finished
        and report.promotion.timeline == old.timeline
        and report.promotion.incarnation == old.incarnation
    )
    if not well:
        return None
    named = next_view(
        view,
        phase="promoting",
        primary=old,
        old_primary=None,
        forced=None,
        old_primary_may_start=False,
        old_primary_last=None,
        switching=None,
    )
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
    followers = with_the_old_primary(observed, view, chosen, followers)
    members, k = sync_set_of_the_sealed(observed, chosen.uid, followers)
    named = next_view(
        view,
        phase="promoting",
        primary=Primary(
            uid=chosen.uid, incarnation=chosen.incarnation, timeline=timeline, fork=chosen.position.lsn
        ),
        old_primary=None,
        old_primary_may_start=False,
        old_primary_last=None,
        forsaken=forsaken_by(view, chosen.position.lsn, choice),
        sync=SyncState(current=SyncSet(id=view.generation + 1, k=k, members=members)),
        lineage=lineage,
        floor=Lsn(max(view.floor, choice.least)) if view.forced is None else choice.least,
        forced=None,
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
        only_without=choice.only_without,
    )


def during_sealing(observed: Observed, view: ClusterView) -> Decision:
    """What to do while nobody is primary."""
    again = name_again(observed, view)
    if again is not None:
        return Decision(again, ())
    if view.forced is not None:
        choice = choose_forced(observed, view, sealed_candidates(observed, view), view.forced)
    else:
        choice = choose_primary(observed, view)
    if choice.candidate is not None:
        return Decision(name_primary(observed, view, choice, choice.candidate), ())
    reasons = (choice.reason,)
    if choice.reason.code == SWITCHOVER:
        return Decision(None, reasons)
    if not view.old_primary_may_start and (
        view.sync.lease_protects or not standbys_suffice(observed, view, view.old_primary)
    ):
        change = Change(
            next_view(view, old_primary_may_start=True),
            "old_primary_needed",
            "too few standbys live to make the quorum: the old primary shall seal as soon as it can"
            if not view.sync.lease_protects
            else "no standby need hold the last commits: the old primary shall seal as soon as it can",
            "too_few_to_seal" if not view.sync.lease_protects else "lease_protects",
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
