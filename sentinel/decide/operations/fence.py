"""Keeping one member's PostgreSQL down, its data as they are, and letting it begin again.

A standby leaves the sync set first, where others can take its place, so that no failover needs it. From a
primary a failover begins in the same write: nothing acknowledged is lost, by the seals of the others, and
where these could not make a quorum it is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from common.model.reasons import Reason
from common.model.requests import Asked, Fence, RequestUpdate, Unfence, update
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
from sentinel.decide.sealing import begin_sealing, standbys_suffice

OFF: Final = frozenset({"stopped", "down", "failed", "no_data"})
_WITHOUT_DATA: Final = frozenset({"no_data", "cloning", "rewinding", "initializing"})


def plan_fence(observed: Observed, view: ClusterView, operation: Fence) -> Plan:
    """What it would mean, or why it cannot be done."""
    uid = operation.uid
    member = view.member(uid)
    if member is not None and member.kept_down is not None:
        return Plan(already=f"{uid} is kept down by {member.kept_down}")
    if (refusal := not_now(view, uid)) is not None:
        return refusal
    report = observed.keepers.get(uid)
    if report is not None and report.state in _WITHOUT_DATA:
        return Plan(refused=f"PostgreSQL of {uid} is {report.state}: there are no data to keep")
    kept = f"PostgreSQL of {uid} is stopped, its data stay as they are, and it is not promoted"
    if is_primary(view, uid):
        return _plan_for_the_primary(observed, view, uid, kept)
    if not is_counted(view, uid) or can_leave(observed, view, uid):
        return Plan(will=(kept,), harms=True)
    if observed.spec.durability.mode == "strict":
        return Plan(
            refused=f"{uid} must acknowledge, and too few others could: with mode strict every commit would "
            "wait; bring another standby back first, or set durability.mode to degrade"
        )
    return Plan(
        will=(kept, f"too few others can acknowledge: commits wait until {uid} is done without"), harms=True
    )


def _plan_for_the_primary(observed: Observed, view: ClusterView, uid: str, kept: str) -> Plan:
    if view.sync.lease_protects:
        return Plan(
            refused=f"{uid} is primary and no standby acknowledges: only {uid} is sure to have every commit; "
            "make another member primary first"
        )
    others = frozenset(member.uid for member in view.members) - view.out - {uid}
    may_follow = [each for each in others if not observed.spec.member(each).no_failover]
    if not may_follow or not standbys_suffice(observed, view, view.primary):
        return Plan(refused=f"{uid} is primary, and too few others live to take over from it")
    return Plan(will=(f"a failover from {uid} begins, without loss", kept), harms=True)


def fence(observed: Observed, view: ClusterView, asked: Asked, operation: Fence) -> Decision:
    """The next step: out of the sync set, noted in the view, stopped."""
    uid, request = operation.uid, asked.request
    member, report = view.member(uid), observed.keepers.get(operation.uid)
    if member is None:
        return ended(observed, asked, "failed", unknown(view, uid))
    if member.kept_down is not None:
        if report is None:
            text = f"{uid} counts no more; its keeper is gone, and stops PostgreSQL as soon as it is back"
            return ended(observed, asked, "done", text)
        if report.state in OFF:
            return ended(observed, asked, "done", f"PostgreSQL of {uid} is stopped and kept as it is")
        return told(observed, asked, f"PostgreSQL of {uid} is being stopped")
    if request.cancel is not None:
        return ended(observed, asked, "cancelled", f"cancelled by {request.cancel}; {uid} was left as it is")
    if view.phase != "running":
        return Decision(None, ())
    if not is_primary(view, uid):
        waits = leaves_first(observed, view, asked, uid)
        if waits is not None:
            return waits
        text = f"{uid} is kept down, says {request.by}"
        members = members_with(view, uid, kept_down=request.word)
        return Decision(changes(observed, asked, view, "fenced_member", text, members=members), ())
    return _fence_the_primary(observed, view, asked, operation)


def _fence_the_primary(observed: Observed, view: ClusterView, asked: Asked, operation: Fence) -> Decision:
    uid, request = operation.uid, asked.request
    plan = plan_fence(observed, view, operation)
    why = Reason(
        code="primary_fenced", severity="critical", subject=uid, text=f"{uid} is kept down, says {request.by}"
    )
    begun = begin_sealing(observed, why).change if not plan.refused else None
    if begun is None:
        return ended(observed, asked, "failed", plan.refused or f"no failover from {uid} can begin now")
    members = members_with(begun.view, uid, kept_down=request.word)
    noted = request.told(begun.text, observed.now)
    return Decision(
        replace(
            begun,
            view=begun.view.changed(members=members),
            requests=(update(asked, noted),),
            by=request.by,
        ),
        (),
    )


def plan_unfence(view: ClusterView, operation: Unfence) -> Plan:
    """What it would mean."""
    uid = operation.uid
    member = view.member(uid)
    if member is None:
        return Plan(refused=unknown(view, uid))
    if member.kept_down is None:
        return Plan(already=f"{uid} is not kept down")
    return Plan(
        will=(
            f"PostgreSQL of {uid} starts as a standby again; it was kept down by {member.kept_down}",
            "if its history has diverged it is rewound or cloned: look at its data before",
        ),
        harms=True,
    )


def unfence(observed: Observed, view: ClusterView, asked: Asked, operation: Unfence) -> Decision:
    """Take the word back, then wait until it streams."""
    uid, request = operation.uid, asked.request
    member, report = view.member(uid), observed.keepers.get(uid)
    if member is None:
        return ended(observed, asked, "failed", unknown(view, uid))
    if member.kept_down is not None:
        text = f"{uid} may begin again, says {request.by}"
        members = members_with(view, uid, kept_down=None)
        begun = changes(observed, asked, view, "unfenced_member", text, members=members)
        return Decision(replace(begun, requests=(*begun.requests, *_overtaken(observed, uid, text))), ())
    if any(life.uid == uid for life in observed.streaming) or is_primary(view, uid):
        return ended(observed, asked, "done", f"{uid} is back")
    if request.cancel is not None:
        return ended(observed, asked, "cancelled", f"{uid} may begin again; how it does was not waited for")
    return told(observed, asked, f"PostgreSQL of {uid} is {report.state if report else 'out of sight'}")


def _overtaken(observed: Observed, uid: str, text: str) -> tuple[RequestUpdate, ...]:
    """Fences of a member that still wait for it to stop: they end with the word that takes them back."""
    return tuple(
        update(each, each.request.ended("cancelled", text, observed.now))
        for each in observed.requests
        if each.request.state == "running"
        and isinstance(each.request.operation, Fence)
        and each.request.operation.uid == uid
    )


def said(view: ClusterView) -> tuple[Reason, ...]:
    """Whose PostgreSQL is kept down, since when and by whom."""
    return tuple(
        Reason(
            code="kept_down",
            severity="warning",
            subject=member.uid,
            text=f"PostgreSQL of {member.uid} is kept down, by {member.kept_down}",
            fix=f"pgha unfence {member.uid} lets it begin again",
        )
        for member in view.members
        if member.kept_down is not None
    )
