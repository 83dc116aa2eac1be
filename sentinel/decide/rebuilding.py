"""What becomes of standbys that do not stream: a reason for each, a new life for who can stream no more."""

from __future__ import annotations

from typing import Final

from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.view import ClusterView, Member, SyncMember
from sentinel.decide import conditions
from sentinel.decide.observed import Change, Decision, Observed, next_view
from sentinel.decide.standbys import standbys_apart

SAID_AFTER_S: Final = 5.0
"""A restart, a rewind or a small clone is over by then: it is no trouble yet."""

STARVED_AFTER_S: Final = 12.0
"""Longer than reports of positions may be old: both sides have then been seen anew."""


def next_rebuild(observed: Observed, view: ClusterView) -> Decision:
    """Have a standby cloned anew when the WAL that it needs is gone; say who else does not stream.

    Only while there is a route: then the sets in force hold everything acknowledged, and the clone is made
    beside the old data, so nothing is lost by it (I3).
    """
    reasons = tuple(
        _not_streaming(view, report)
        for report in standbys_apart(observed, view)
        if observed.held(conditions.apart(report.uid), SAID_AFTER_S)
    )
    may_begin = view.route is not None and view.paused is None
    starved = [member for member in view.members if may_begin and _is_starved(observed, member)]
    if not starved:
        return Decision(None, reasons)
    lives = {member.uid: member.incarnation for member in starved}
    members = tuple(
        member.changed(rebuild=member.incarnation, clone_from=None) if member.uid in lives else member
        for member in view.members
    )
    names = ", ".join(lives)
    text = f"{names} begin anew as clones: the primary no longer has the WAL that they need next"
    return Decision(Change(next_view(view, members=members), "rebuild", text, "wal_removed"), reasons)


def _is_starved(observed: Observed, member: Member) -> bool:
    if member.incarnation is None or member.rebuild == member.incarnation:
        return False
    life = SyncMember(member.uid, member.incarnation)
    return observed.held(conditions.starved(life), STARVED_AFTER_S)


def _not_streaming(view: ClusterView, report: KeeperReport) -> Reason:
    primary = view.primary.uid if view.primary else "the primary"
    state = report.progress or f"its PostgreSQL is {report.state}"
    if report.state == "running" and report.upstream is not None:
        state += "" if report.upstream.reachable else f" and cannot reach {primary}"
    return Reason(
        code="standby_not_streaming",
        severity="warning",
        subject=report.uid,
        text=f"{report.uid} does not stream from {primary} or has not caught up: {state}",
        fix=f"see the logs of the keeper and of PostgreSQL on {report.uid} if it stays so",
    )
