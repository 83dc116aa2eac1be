"""Who belongs to the cluster: joining, changed addresses and lives, leaving."""

from __future__ import annotations

from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.units import format_duration
from common.model.view import ClusterView, Member, Route
from sentinel.decide import conditions
from sentinel.decide.failover import promoted
from sentinel.decide.joining import member_of, why_not_join
from sentinel.decide.observed import Change, Decision, Observed, next_view


def next_membership(observed: Observed, view: ClusterView) -> Decision:
    """Bring the members in line with the reports: all that changed in one write."""
    reasons: list[Reason] = []
    members: list[Member] = []
    told: list[str] = []
    for member in view.members:
        report = observed.keepers.get(member.uid)
        if _may_leave(observed, view, member):
            told.append(
                f"{member.uid} leaves: gone for {format_duration(observed.spec.timings.remove_after_s)}"
            )
            continue
        updated, notes = _updated(view, member, report)
        members.append(updated)
        told += notes
        if report is None:
            reasons.append(_keeper_missing(observed, view, member))
        elif report.system_identifier not in {None, view.system_identifier}:
            reasons.append(_foreign_data(view, report))
    for uid in sorted(set(observed.keepers) - {member.uid for member in view.members}):
        report = observed.keepers[uid]
        refusal = why_not_join(
            observed.spec, report, members=members, system_identifier=view.system_identifier
        )
        if refusal is not None:
            reasons.append(refusal)
            continue
        if not promoted(view, observed.primary_report):
            continue  # it could not clone yet: the primary may still lack its roles
        if view.paused is not None:
            continue
        members.append(member_of(report))
        told.append(f"{uid} joins from site {report.site}")
    if tuple(members) == view.members:
        return Decision(None, tuple(reasons))
    route = _route_at_new_address(view, tuple(members))
    changed = next_view(view, members=tuple(sorted(members, key=lambda m: m.uid)), route=route)
    return Decision(Change(changed, "membership", "; ".join(told), "reports_changed"), tuple(reasons))


def _updated(view: ClusterView, member: Member, report: KeeperReport | None) -> tuple[Member, list[str]]:
    """The entry as the report has it. The primary's incarnation is detection's question, not ours."""
    if report is None or report.system_identifier not in {None, view.system_identifier}:
        return member, []
    is_primary = view.primary is not None and view.primary.uid == member.uid
    incarnation = member.incarnation if is_primary else report.incarnation or member.incarnation
    seen = (report.host, report.port, report.site, incarnation)
    if seen == (member.host, member.port, member.site, member.incarnation):
        return member, []
    updated = member.changed(host=report.host, port=report.port, site=report.site, incarnation=incarnation)
    notes = []
    if incarnation != member.incarnation:
        notes.append(f"{member.uid} begins a new life as {incarnation}")
    if (updated.host, updated.port, updated.site) != (member.host, member.port, member.site):
        notes.append(f"{member.uid} is now at {updated.host}:{updated.port}, site {updated.site}")
    return updated, notes


def _route_at_new_address(view: ClusterView, members: tuple[Member, ...]) -> Route | None:
    if view.route is None:
        return None
    entry = next((member for member in members if member.uid == view.route.uid), None)
    return view.route.changed(host=entry.host, port=entry.port) if entry else view.route


def _may_leave(observed: Observed, view: ClusterView, member: Member) -> bool:
    """Gone for long, and nothing that a failover may need."""
    needed = {m.uid for each in view.sync.in_force for m in each.members}
    needed |= {named.uid for named in (view.primary, view.old_primary) if named is not None}
    return (
        view.paused is None
        and member.uid not in needed
        and observed.held(conditions.keeper_gone(member.uid), observed.spec.timings.remove_after_s)
    )


def _keeper_missing(observed: Observed, view: ClusterView, member: Member) -> Reason:
    is_primary = view.primary is not None and view.primary.uid == member.uid
    streams = any(life.uid == member.uid for life in observed.streaming)
    detail = "its PostgreSQL still streams" if streams else "its PostgreSQL does not stream"
    return Reason(
        code="keeper_missing",
        severity="warning",
        subject=member.uid,
        text=f"the keeper of {member.uid} has no live report"
        + ("" if is_primary else f"; {detail} from the primary"),
        fix=f"see to the host of {member.uid} and start pgha-keeper there",
    )


def _foreign_data(view: ClusterView, report: KeeperReport) -> Reason:
    return Reason(
        code="foreign_data",
        severity="critical",
        subject=report.uid,
        text=f"{report.uid} now holds data of another cluster: system identifier "
        f"{report.system_identifier}, ours is {view.system_identifier}; it is left alone and not counted",
        fix=f"give {report.uid} back its own directory, or an empty one",
    )
