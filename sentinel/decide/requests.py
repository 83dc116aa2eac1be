"""What becomes of the operators' requests: which one is looked at, and who answers it. Pure.

Theory of operation. Requests that have not ended are gone through in order, those under way first. One that
has not begun is cancelled, refused or begun by its plan; one under way takes its next step. A step that
changes the view is one write, in which the request changes too, so a sentinel that takes over finds in the
store exactly what has been done. Requests come after everything that the cluster needs by itself.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, assert_never

from common.model.reasons import Reason
from common.model.requests import (
    EXPIRES_AFTER_S,
    KEPT_FOR_S,
    KEPT_LIMIT,
    AnyOperation,
    Asked,
    Continue,
    Fence,
    Force,
    Pause,
    Reinit,
    Reload,
    Remove,
    Request,
    RequestUpdate,
    Restart,
    Resume,
    Switchover,
    Unfence,
    in_order,
    update,
)
from common.model.view import ClusterView
from sentinel.decide.observed import Decision, Observed
from sentinel.decide.operations.answers import Plan, ended
from sentinel.decide.operations.fence import fence, plan_fence, plan_unfence, unfence
from sentinel.decide.operations.fence import said as said_of_fences
from sentinel.decide.operations.force import force, plan_force
from sentinel.decide.operations.go_on import go_on, plan_continue
from sentinel.decide.operations.pause import pause, plan_pause, plan_resume, resume
from sentinel.decide.operations.pause import said as said_of_pause
from sentinel.decide.operations.reinit import plan_reinit, reinit
from sentinel.decide.operations.reload import plan_reload, reload
from sentinel.decide.operations.remove import plan_remove, remove
from sentinel.decide.operations.restart import plan_restart, restart
from sentinel.decide.operations.switchover import plan_switchover, switchover

_REMOVED_AT_ONCE: Final = 20
"""Old requests that one transaction removes at most."""


def plan_of(  # noqa: C901 - one line for each kind
    observed: Observed, view: ClusterView, operation: AnyOperation
) -> Plan:
    """What would be done about an operation if it were asked for now."""
    match operation:
        case Pause():
            return plan_pause(view)
        case Resume():
            return plan_resume(view)
        case Continue():
            return plan_continue(observed, view)
        case Force():
            return plan_force(observed, view, operation)
        case Fence():
            return plan_fence(observed, view, operation)
        case Unfence():
            return plan_unfence(view, operation)
        case Reinit():
            return plan_reinit(observed, view, operation)
        case Remove():
            return plan_remove(observed, view, operation)
        case Reload():
            return plan_reload(observed, view)
        case Restart():
            return plan_restart(observed, view, operation)
        case Switchover():
            return plan_switchover(observed, view, operation)
        case _:
            assert_never(operation)


def _step(  # noqa: C901 - one line for each kind
    observed: Observed, view: ClusterView, asked: Asked
) -> Decision:
    """The next step of a request that has begun, or begins by it."""
    operation = asked.request.operation
    match operation:
        case Pause():
            return pause(observed, view, asked)
        case Resume():
            return resume(observed, view, asked)
        case Continue():
            return go_on(observed, view, asked)
        case Force():
            return force(observed, view, asked, operation)
        case Fence():
            return fence(observed, view, asked, operation)
        case Unfence():
            return unfence(observed, view, asked, operation)
        case Reinit():
            return reinit(observed, view, asked, operation)
        case Remove():
            return remove(observed, view, asked, operation)
        case Reload():
            return reload(observed, view, asked)
        case Restart():
            return restart(observed, view, asked, operation)
        case Switchover():
            return switchover(observed, view, asked, operation)
        case _:
            assert_never(operation)


def next_request(observed: Observed, view: ClusterView) -> Decision:
    """The first step that a request can take now, and what is to be said of all of them."""
    open_ones = in_order(observed.requests)
    busy = next((each for each in open_ones if _is_busy(each.request)), None)
    reasons = [*said_of_pause(view), *said_of_fences(view)]
    first: Decision | None = None
    for asked in open_ones:
        waits = _why_wait(observed, asked.request, busy)
        if not waits and first is None:
            answer = _answer(observed, view, asked)
            reasons += answer.reasons
            first = answer if answer.change is not None or answer.updates else None
        reasons.append(_open(asked.request, waits))
    if first is None:
        return Decision(None, tuple(reasons), updates=_outdated(observed))
    return Decision(first.change, tuple(reasons), updates=first.updates)


def _is_busy(request: Request) -> bool:
    return request.state == "running" and request.operation.EXCLUSIVE and not request.parent


def _why_wait(observed: Observed, request: Request, busy: Asked | None) -> str:
    """Why a request that has not begun is left alone; empty when it is to be answered."""
    if request.state == "running" or request.cancel is not None:
        return ""
    if request.not_before is not None and observed.now < request.not_before:
        return f"begins at {request.not_before:%Y-%m-%d %H:%M:%S %Z}"
    if busy is not None and request.operation.EXCLUSIVE and request.parent != busy.request.id:
        return f"waits for the end of {busy.request.kind} {busy.request.id}"
    return ""


def _answer(observed: Observed, view: ClusterView, asked: Asked) -> Decision:
    request = asked.request
    if request.state == "running":
        return _step(observed, view, asked)
    if request.cancel is not None:
        return ended(observed, asked, "cancelled", f"cancelled by {request.cancel} before it began")
    due = request.not_before or request.at
    if observed.now > due + timedelta(seconds=EXPIRES_AFTER_S):
        minutes = f"{EXPIRES_AFTER_S / 60:g} minutes"
        return ended(observed, asked, "failed", f"could not begin within {minutes} after {due:%H:%M:%S %Z}")
    if request.operation.TERM_COUNTS and request.not_before is None and request.term != view.term:
        text = f"it was asked for in term {request.term}, and the cluster is in term {view.term} by now"
        return ended(observed, asked, "failed", text)
    plan = plan_of(observed, view, request.operation)
    if plan.refused:
        return ended(observed, asked, "failed", plan.refused)
    if plan.already:
        return ended(observed, asked, "done", plan.already)
    return _step(observed, view, asked)


def _open(request: Request, waits: str) -> Reason:
    how = waits or ("under way" if request.state == "running" else "begins")
    return Reason(
        code="request",
        severity="info",
        subject=request.id,
        text=f"{request.kind}, asked for by {request.by} at {request.at:%Y-%m-%d %H:%M:%S %Z}: {how}",
    )


def _outdated(observed: Observed) -> tuple[RequestUpdate, ...]:
    """Requests that ended long ago, or before many others: they are removed, the oldest first."""
    over = sorted(
        (each for each in observed.requests if not each.request.is_open),
        key=lambda each: (each.request.ended_at or each.request.at, each.request.id),
    )
    oldest = observed.now - timedelta(seconds=KEPT_FOR_S) if over else observed.now
    old = [
        each
        for index, each in enumerate(over)
        if index < len(over) - KEPT_LIMIT or (each.request.ended_at or each.request.at) < oldest
    ]
    return tuple(update(each, None) for each in old[:_REMOVED_AT_ONCE])
