"""Who could take over from a primary that is well: what a switchover asks for (protocol, section 8). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from common.model.view import ClusterView, Member, SyncMember
from sentinel.decide.durability import allowed_members
from sentinel.decide.observed import Observed


@dataclass(frozen=True, slots=True)
class Target:
    """The member that is to take over, or why nobody can: one of the two."""

    member: Member | None
    refused: str = ""


def choose_target(observed: Observed, view: ClusterView, *, to: str | None, site: str | None) -> Target:
    """The member that was asked for, or the best standby, of a site where one was asked for.

    Among those who could: the primary's own site first, then ``priority``, then uid, as in a failover. All of
    them have caught up, and the target gets the rest before it is promoted.
    """
    named = view.primary
    if named is None or view.route is None or view.phase != "running":
        return Target(
            None, f"there is no primary that serves: the phase is {view.phase}, in term {view.term}"
        )
    if observed.primary_report is None:
        return Target(
            None, f"the keeper of the primary {named.uid} has no live report, and only it can stop it"
        )
    if to is not None:
        return _asked_for(observed, view, to, named.uid)
    home = observed.site_of(named.uid)
    if site is not None and site not in {member.site for member in view.members}:
        known = ", ".join(sorted({member.site for member in view.members}))
        return Target(None, f"no member stands on site {site!r}; there are {known}")
    if site is not None and site == home:
        return Target(None, f"the primary {named.uid} stands on site {site} already")
    others = [
        member for member in view.members if member.uid != named.uid and (site is None or member.site == site)
    ]
    problems = {member.uid: why_not(observed, view, member) for member in others}
    able = [member for member in others if not problems[member.uid]]
    if not able:
        return Target(
            None, "nobody can take over: " + ("; ".join(problems.values()) or "there is no standby")
        )
    best = min(able, key=lambda m: (m.site != home, -observed.spec.member(m.uid).priority, m.uid))
    return Target(best)


def _asked_for(observed: Observed, view: ClusterView, uid: str, primary: str) -> Target:
    member = view.member(uid)
    if member is None:
        known = ", ".join(each.uid for each in view.members)
        return Target(None, f"{uid!r} is no member of this cluster; there are {known}")
    if uid == primary:
        return Target(None, f"{uid} is the primary already")
    problem = why_not(observed, view, member)
    return Target(None, problem) if problem else Target(member)


def why_not(observed: Observed, view: ClusterView, member: Member) -> str:
    """Why a member that is not primary cannot take over now; empty when it can."""
    uid, report, spec = member.uid, observed.keepers.get(member.uid), observed.spec
    if report is None:
        return f"the keeper of {uid} has no live report"
    if spec.member(uid).no_failover:
        return f"{uid} has no_failover in the spec"
    if uid in view.out:
        return f"{uid} is kept down: pgha unfence {uid} lets it begin again"
    if member.restart is not None and member.restart == report.start_id:
        return f"{uid} is about to be restarted"
    if report.state != "running" or report.role != "standby":
        return f"PostgreSQL of {uid} is {report.state}" + (f" as {report.role}" if report.role else "")
    if member.incarnation is None or SyncMember(uid, member.incarnation) not in observed.streaming:
        return f"{uid} does not stream from the primary, or has not caught up since it connected"
    durability = spec.durability
    if durability.mode == "strict":
        left = would_acknowledge(observed, view, uid)
        if len(left) < durability.acks:
            return (
                f"with {uid} as primary commits would wait: mode is strict, {durability.acks} must "
                f"acknowledge, and there would be {len(left)}: {', '.join(sorted(left)) or 'nobody'}"
            )
    return ""


def would_acknowledge(observed: Observed, view: ClusterView, uid: str) -> frozenset[str]:
    """Who, as things are, could acknowledge for a new primary as the spec wants it, the old one too."""
    well = {member.uid for member in observed.streaming}
    if view.primary is not None:
        well.add(view.primary.uid)
    return allowed_members(observed, uid) & well
