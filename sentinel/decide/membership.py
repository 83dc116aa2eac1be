"""Who belongs to the cluster: joining, changed addresses and lives, leaving."""

from __future__ import annotations

from common.model.names import member_name
from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.spec import ClusterSpec
from common.model.units import format_duration
from common.model.view import ClusterView, Member, Route
from sentinel.decide import conditions
from sentinel.decide.bootstrap import member_of
from sentinel.decide.failover import promoted
from sentinel.decide.observed import Change, Decision, Observed, next_view

DEFAULT_SITE_LIMIT = 7
"""Members of one site where the spec does not list sites."""


def why_not_join(observed: Observed, view: ClusterView, report: KeeperReport) -> Reason | None:
    """The reason for which a keeper may not become a member; None when it may."""
    spec = observed.spec

    def refused(code: str, text: str, fix: str) -> Reason:
        return Reason(code=code, severity="warning", subject=report.uid, text=f"{report.uid} {text}", fix=fix)

    name = member_name(report.uid)
    alike = next((member for member in view.members if member_name(member.uid) == name), None)
    if alike is not None:
        return refused(
            "name_taken",
            f"cannot join: PostgreSQL would call it {name!r}, as it calls {alike.uid}",
            "give one of the two keepers another uid",
        )
    if report.system_identifier not in {None, view.system_identifier}:
        return refused(
            "foreign_data",
            f"holds data of another cluster: system identifier {report.system_identifier}, "
            f"ours is {view.system_identifier}",
            f"give {report.uid} an empty directory, or the name of its own cluster",
        )
    if report.state == "failed" and report.incarnation is None:
        return refused(
            "unusable_directory",
            "cannot join: its directory holds something that it may not touch",
            f"give {report.uid} an empty directory, and start its keeper again",
        )
    wanted = spec.member(report.uid).site
    if wanted is not None and wanted != report.site:
        return refused(
            "wrong_site",
            f"says that it stands on site {report.site}, but the spec says {wanted}",
            "correct the keeper's --site or the spec",
        )
    if spec.sites and report.site not in {site.name for site in spec.sites}:
        return refused(
            "unknown_site",
            f"stands on site {report.site!r}, which the spec does not list",
            "add the site to the spec, or correct the keeper's --site",
        )
    limit = site_limit(spec, report.site)
    if sum(member.site == report.site for member in view.members) >= limit:
        return refused(
            "site_full",
            f"cannot join: site {report.site} has its {limit} members",
            "raise max_members of the site in the spec",
        )
    return None


def site_limit(spec: ClusterSpec, name: str) -> int:
    """How many members one site may have."""
    return next((site.max_members for site in spec.sites if site.name == name), DEFAULT_SITE_LIMIT)


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
        so_far = view.changed(members=tuple(members))
        refusal = why_not_join(observed, so_far, report)
        if refusal is not None:
            reasons.append(refusal)
            continue
        if not promoted(view, observed.primary_report):
            continue  # it could not clone yet: the primary may still lack its roles
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
    return member.uid not in needed and observed.held(
        conditions.keeper_gone(member.uid), observed.spec.timings.remove_after_s
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
