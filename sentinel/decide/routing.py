"""May clients be sent to the primary (protocol 5.4 and I7)."""

from __future__ import annotations

from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.view import ClusterView, Route
from common.model.wal import Lsn
from sentinel.decide import conditions
from sentinel.decide.failover import promoted
from sentinel.decide.observed import Change, Decision, Observed, next_view
from sentinel.decide.sync_set import in_words


def route_for(observed: Observed, view: ClusterView) -> Decision:
    """Set the route once the primary's first record is safe, or say what it waits for."""
    report = observed.primary_report
    named = view.primary
    is_past = report is not None and report.generation < view.route_after
    if named is None or report is None or is_past or not promoted(view, report):
        return Decision(None, (_waiting_for_promotion(observed, view, report),))
    applied, confirmed = (report.sync.applied, report.sync.confirmed) if report.sync else (None, ())
    waiting = [each for each in view.sync.in_force if each.id not in confirmed]
    if applied not in {each.id for each in view.sync.in_force}:
        waiting = [*view.sync.in_force]
    if not waiting and named.incarnation is not None and (member := view.member(named.uid)):
        route = Route(
            uid=named.uid,
            incarnation=named.incarnation,
            term=view.term,
            host=member.host,
            port=member.port,
            api_url=report.api_url,
        )
        routed = next_view(
            view,
            phase="running",
            route=route,
            switching=None,
            rebuild_beside=False,
            floor=Lsn(max(view.floor, named.fork)),
        )
        text = f"writers go to {named.uid} at {member.host}:{member.port} in term {view.term}"
        change = Change(
            routed,
            "route_set",
            text,
            "primary_confirmed",
            new_primary=named.uid,
            lsn=named.fork,
            timeline=named.timeline,
        )
        return Decision(change, ())
    reason = Reason(
        code="waiting_for_standbys",
        severity="critical",
        subject=named.uid,
        text=f"{named.uid} is writable but has no route yet: its first record must be flushed by "
        + " and by ".join(in_words(each) for each in waiting),
        fix="bring a standby back" if _slow(observed, view) else "",
    )
    anybody_may_have_diverged = len(view.lineage) > 1
    if _slow(observed, view) and anybody_may_have_diverged and not view.rebuild_beside:
        change = Change(
            next_view(view, rebuild_beside=True),
            "rebuild_beside",
            "standbys are missing: diverged members may come back by a clone beside their data",
            "waiting_for_standbys",
        )
        return Decision(change, (reason,))
    return Decision(None, (reason,))


def _slow(observed: Observed, view: ClusterView) -> bool:
    return observed.held(conditions.promoting(view.term), observed.spec.timings.restart_after_s)


def _waiting_for_promotion(observed: Observed, view: ClusterView, report: KeeperReport | None) -> Reason:
    named = view.primary
    uid = named.uid if named else ""
    state = f"it is {report.state} as {report.role or 'nothing'}" if report else "it has no live report"
    late = observed.held(conditions.promoting(view.term), observed.spec.timings.promote_timeout_s)
    return Reason(
        code="promoting",
        severity="critical",
        subject=uid,
        text=f"{uid} is being made primary of term {view.term}: {state}",
        fix=f"see the log of {uid}'s keeper, and start the keepers of the members that are missing: another "
        "one is promoted as soon as enough of them live"
        if late
        else "",
    )
