"""Cloning a standby anew: it leaves the sync set, then the view says that its life ends (protocol 9).

Its old data stay beside until the new ones run, as with every clone; nothing acknowledged depends on them,
since the route proves that the members of the sets in force have it, and it is none of these by then.
"""

from __future__ import annotations

from common.model.requests import Asked, Reinit
from common.model.view import ClusterView
from sentinel.decide.observed import Decision, Observed
from sentinel.decide.operations.answers import Plan, changes, ended, told
from sentinel.decide.operations.members import (
    can_leave,
    is_counted,
    is_primary,
    leaves_first,
    members_with,
    not_now,
    unknown,
)


def plan_reinit(observed: Observed, view: ClusterView, operation: Reinit) -> Plan:
    """What it would mean, or why it cannot be done."""
    uid, source = operation.uid, operation.source
    if (refusal := not_now(view, uid)) is not None:
        return refusal
    member, report = view.member(uid), observed.keepers.get(uid)
    if is_primary(view, uid):
        return Plan(refused=f"{uid} is the primary: it is what the others are cloned from")
    if member is not None and member.kept_down is not None:
        return Plan(refused=f"{uid} is kept down by {member.kept_down}: pgha unfence {uid} first")
    if report is None:
        return Plan(refused=f"the keeper of {uid} has no live report: start it first")
    if report.incarnation is None or report.state in {"initializing", "no_data"}:
        return Plan(already=f"{uid} has no data: it is cloned by itself")
    if source is not None and (text := _bad_source(observed, view, uid, source)):
        return Plan(refused=text)
    if is_counted(view, uid) and not can_leave(observed, view, uid):
        return Plan(
            refused=f"{uid} must acknowledge, and too few others could: bring another standby back first"
        )
    return Plan(
        will=(
            f"{uid} leaves the sync set" if is_counted(view, uid) else f"{uid} is in no sync set",
            f"its data are copied anew from {source or 'the primary'}",
            "the old data are kept until the copy runs: the disk must hold both",
        ),
        harms=True,
    )


def _bad_source(observed: Observed, view: ClusterView, uid: str, source: str) -> str:
    if text := unknown(view, source):
        return f"--from: {text}"
    if source == uid:
        return f"--from: {uid} cannot be cloned from itself"
    if not is_primary(view, source) and source not in {life.uid for life in observed.streaming}:
        return f"--from: {source} does not stream, so a copy of it could be behind for ever"
    return ""


def reinit(observed: Observed, view: ClusterView, asked: Asked, operation: Reinit) -> Decision:
    """The next step: out of the sync set, the end of the old life, the new one running."""
    uid, request = operation.uid, asked.request
    member, report = view.member(uid), observed.keepers.get(uid)
    if member is None:
        return ended(observed, asked, "failed", unknown(view, uid))
    before = request.memo.get(uid)
    if before is None:
        return _begin(observed, view, asked, operation)
    if member.incarnation == before:
        return told(observed, asked, f"{uid} stops")
    if any(life.uid == uid and life.incarnation != before for life in observed.streaming):
        return ended(observed, asked, "done", f"{uid} streams, as {member.incarnation}; it was {before}")
    if request.cancel is not None:
        return ended(observed, asked, "cancelled", f"the clone of {uid} goes on and was not waited for")
    how = (report.progress or f"its PostgreSQL is {report.state}") if report else "its keeper is out of sight"
    return told(observed, asked, f"{uid}: {how}")


def _begin(observed: Observed, view: ClusterView, asked: Asked, operation: Reinit) -> Decision:
    uid, request = operation.uid, asked.request
    if request.cancel is not None:
        return ended(observed, asked, "cancelled", f"cancelled by {request.cancel}; {uid} was left as it is")
    plan = plan_reinit(observed, view, operation)
    if plan.refused or plan.already:
        return ended(observed, asked, "failed", plan.refused or plan.already)
    waits = leaves_first(observed, view, asked, uid)
    if waits is not None:
        return waits
    report = observed.keepers[uid]
    source = None if operation.source is None or is_primary(view, operation.source) else operation.source
    members = members_with(view, uid, rebuild=report.incarnation, clone_from=source)
    noted = asked._replace(request=request.changed(memo={uid: report.incarnation}))
    text = f"{uid} begins anew as a clone of {operation.source or 'the primary'}, says {request.by}"
    return Decision(changes(observed, noted, view, "reinit", text, members=members), ())
