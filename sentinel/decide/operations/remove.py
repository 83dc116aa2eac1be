"""Having a member leave the cluster whose keeper is gone for good, before ``remove_after`` does it."""

from __future__ import annotations

from common.model.requests import Asked, Remove
from common.model.view import ClusterView
from sentinel.decide.observed import Decision, Observed
from sentinel.decide.operations.answers import Plan, ended, ends_with, told
from sentinel.decide.operations.members import is_counted, is_primary, not_now, unknown


def plan_remove(observed: Observed, view: ClusterView, operation: Remove) -> Plan:
    """What it would mean, or why it cannot be done."""
    uid = operation.uid
    if unknown(view, uid) and uid not in observed.keepers:
        return Plan(already=f"{uid} is no member of the cluster")
    if (refusal := not_now(view, uid)) is not None:
        return refusal
    if is_primary(view, uid):
        return Plan(refused=f"{uid} is the primary: make another member primary first")
    if uid in observed.keepers:
        return Plan(refused=f"the keeper of {uid} lives, and would join again: stop it first")
    lines = [f"{uid} is forgotten, and the others give up the WAL that they hold back for it"]
    if is_counted(view, uid):
        lines.insert(0, f"{uid} leaves the sync set first")
    return Plan(will=tuple(lines), harms=True)


def remove(observed: Observed, view: ClusterView, asked: Asked, operation: Remove) -> Decision:
    """The next step: out of the sync set, then out of the view. A failover never needs it then (I4)."""
    uid, request = operation.uid, asked.request
    if request.cancel is not None:
        return ended(observed, asked, "cancelled", f"cancelled by {request.cancel}; {uid} is still a member")
    plan = plan_remove(observed, view, operation)
    if plan.already:
        return ended(observed, asked, "done", plan.already)
    if plan.refused and view.phase == "running":
        return ended(observed, asked, "failed", plan.refused)
    if plan.refused:
        return Decision(None, ())
    if is_counted(view, uid):
        return told(observed, asked, f"{uid} leaves the sync set first, as soon as enough others stream")
    members = tuple(member for member in view.members if member.uid != uid)
    return ends_with(observed, asked, view, "removed", f"{uid} was removed by {request.by}", members=members)
