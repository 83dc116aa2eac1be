"""Step 1 of a failover: may sealing begin, and who has sealed (protocol, sections 4 and 5.1)."""

from __future__ import annotations

from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.view import ClusterView, Primary, SyncMember, SyncSet
from sentinel.decide.observed import Change, Decision, Observed, next_view


def is_sealed(observed: Observed, report: KeeperReport) -> bool:
    """Whether a report is a seal of the view's term, by the life of the member that the view knows."""
    view = observed.view
    member = view.member(report.uid) if view else None
    return (
        view is not None
        and member is not None
        and report.seal is not None
        and report.seal.term == view.term
        and report.sealed_term == view.term
        and report.incarnation is not None
        and report.incarnation == member.incarnation
        and report.system_identifier == view.system_identifier
        and report.state == "running"
        and report.role == "standby"
    )


def may_have_acknowledged(each: SyncSet) -> bool:
    """Whether a commit can have been acknowledged under a set; with fewer members than ``k`` none can."""
    return len(each.members) >= each.k


def missing_for(each: SyncSet, present: frozenset[SyncMember]) -> int:
    """How many more members of a set must seal before no commit can be acknowledged under it.

    With ``k = 0`` no number of them is enough and none is asked for: see :mod:`sentinel.decide.lease`.
    """
    if each.k == 0 or not may_have_acknowledged(each):
        return 0
    return max(0, each.quorum - len(each.members & present))


def live_members(observed: Observed) -> frozenset[SyncMember]:
    """Lives of members that could seal: a live report with that incarnation, of this cluster's data."""
    view = observed.view
    if view is None:
        return frozenset()
    return frozenset(
        SyncMember(report.uid, report.incarnation)
        for report in observed.keepers.values()
        if report.incarnation
        and report.system_identifier == view.system_identifier
        and report.state not in {"no_data", "cloning", "rewinding", "initializing", "failed"}
        and view.member(report.uid)
        and report.uid not in view.out
    )


def standbys_suffice(observed: Observed, view: ClusterView, primary: Primary | None) -> bool:
    """Whether the standbys with live reports could make the quorum of every set in force."""
    live = live_members(observed)
    standbys = frozenset(member for member in live if primary is None or member.uid != primary.uid)
    return bool(standbys) and all(not missing_for(each, standbys) for each in view.sync.in_force)


def begin_sealing(observed: Observed, why: Reason) -> Decision:
    """Give the term up and ask everybody to seal, if those who live could make a quorum at all."""
    view = observed.view
    if view is None or view.primary is None:
        return Decision(None, ())
    old = view.primary
    suffice = standbys_suffice(observed, view, old)
    if not suffice and not _old_primary_lives(observed, view, old):
        return Decision(None, (why, too_few_live(observed, view)))
    sealing = next_view(
        view,
        term=view.term + 1,
        phase="sealing",
        primary=None,
        old_primary=old,
        old_primary_may_start=view.sync.lease_protects or not suffice,
        old_primary_last=observed.last_report_of(old) if view.sync.lease_protects else None,
        rebuild_beside=False,
        route=None,
        switching=None,
    )
    text = f"term {view.term} ends: {why.text}"
    return Decision(Change(sealing, "sealing", text, why.code, old_primary=old.uid), (why,))


def _old_primary_lives(observed: Observed, view: ClusterView, old: Primary) -> bool:
    """Whether its keeper lives and has its data; one that will not start is tried once more, as a standby."""
    report = observed.keepers.get(old.uid)
    return (
        report is not None
        and report.incarnation == old.incarnation
        and report.system_identifier == view.system_identifier
        and old.uid not in view.out
    )


def too_few_live(observed: Observed, view: ClusterView) -> Reason:
    """Why nothing is promoted, who is missing, and what a human can do."""
    live = live_members(observed)
    missing = sorted(
        {
            member.uid
            for each in view.sync.in_force
            if missing_for(each, live)
            for member in each.members - live
        }
    )
    old = view.primary or view.old_primary
    names = ", ".join(missing) or "none of the standbys"
    return Reason(
        code="too_few_to_seal",
        severity="critical",
        text="nothing is promoted: too few members that may hold the last acknowledged commits have a live "
        f"report; missing: {names}{f', or the old primary {old.uid}' if old else ''}",
        fix="start the keepers of the missing members, or of the old primary, on their data"
        + (f"; {', '.join(sorted(view.out))} would count after pgha unfence" if view.out else "")
        + "; if their data are lost for good: pgha failover --force --dry-run",
    )
