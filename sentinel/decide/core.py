"""The decision of the leader sentinel: one change at most, and every reason.

Theory of operation. ``decide`` is a pure function of what one sentinel sees. It asks one question
after the other, most urgent first, and the first that wants a change gets it; the next pass starts
from the view that this change made. So each change is one write, and a sentinel that takes over
carries on from the view alone.

    no view          bootstrap.begin
    initializing     bootstrap.complete
    sealing          note_fenced, failover.during_sealing     (choose, name), membership
    promoting        detection, route_for, sync set, membership, rebuild, timelines
    running          detection, sync set, switching.prepare, membership, rebuild, timelines
    switching        detection, switching.during_switching
    whenever none of these wants a change: what operators have asked for
"""

from __future__ import annotations

from common.model.reasons import Reason, worst_first
from common.model.view import ClusterView
from sentinel.decide import bootstrap, conditions
from sentinel.decide.damping import calm, counted, hold_back
from sentinel.decide.detection import judge_primary
from sentinel.decide.failover import during_sealing, note_timelines, promoted
from sentinel.decide.fence import note_fenced, whom_to_fence
from sentinel.decide.losses import next_loss
from sentinel.decide.membership import next_membership
from sentinel.decide.observed import Decision, Observed
from sentinel.decide.operations.pause import held_back_by_pause
from sentinel.decide.rebuilding import next_rebuild
from sentinel.decide.requests import next_request
from sentinel.decide.routing import route_for
from sentinel.decide.sealing import begin_sealing, standbys_suffice
from sentinel.decide.switching import during_switching, prepare, with_request
from sentinel.decide.sync_set import next_sync_set


def decide(observed: Observed) -> Decision:
    """Return the one change to make now, if any, and the reasons in force, worst first."""
    decision = with_request(observed, _decide(observed))
    asked = next_request(observed, observed.view) if observed.view is not None else Decision(None, ())
    said = tuple(reason for report in observed.keepers.values() for reason in report.reasons)
    return Decision(
        decision.change or asked.change,
        worst_first((*decision.reasons, *asked.reasons, *said)),
        fence=whom_to_fence(observed),
        updates=() if decision.change is not None else asked.updates,
    )


def _decide(observed: Observed) -> Decision:
    view = observed.view
    if view is None:
        return bootstrap.begin(observed)
    if view.phase == "initializing":
        return bootstrap.complete(observed, view)
    if view.phase == "sealing":
        return _sealing(observed, view)
    return _with_a_primary(observed, view)


def _sealing(observed: Observed, view: ClusterView) -> Decision:
    """Choose and name, else learn of new lives: a seal counts only by the life that the view names."""
    fenced = note_fenced(observed, view)
    if fenced.change is not None:
        return fenced
    decision = during_sealing(observed, view)
    members = next_membership(observed, view)
    return Decision(decision.change or members.change, (*decision.reasons, *members.reasons))


def _with_a_primary(observed: Observed, view: ClusterView) -> Decision:
    verdict = judge_primary(observed)
    reasons: list[Reason] = [verdict.reason] if verdict.reason else []
    if verdict.kind in {"down", "hung", "lost"} and verdict.reason:
        held_back = held_back_by_pause(view, verdict) or hold_back(observed, view, verdict)
        if held_back is None:
            decision = counted(begin_sealing(observed, verdict.reason), view, verdict)
            return _with_membership_reasons(observed, view, decision)
        reasons.append(held_back)
        fenced = note_fenced(observed, view)
        return _with_membership_reasons(observed, view, Decision(fenced.change, tuple(reasons)))
    if view.phase == "switching":
        return _with_membership_reasons(observed, view, during_switching(observed, view))
    questions = [
        next_sync_set,
        prepare,
        next_loss,
        next_membership,
        next_rebuild,
        note_timelines,
        note_fenced,
        calm,
    ]
    if view.phase == "promoting":
        silent = _silent_candidate(observed, view)
        if silent is not None:
            return begin_sealing(observed, silent)
        questions.insert(0, route_for)
    change = None
    for question in questions:
        answer = question(observed, view)
        reasons += answer.reasons
        change = change or answer.change
    return Decision(change, tuple(reasons))


def _silent_candidate(observed: Observed, view: ClusterView) -> Reason | None:
    """A candidate that has not finished within ``promote_timeout``, when others could go on without it."""
    if view.primary is None or promoted(view, observed.primary_report):
        return None
    if not observed.held(conditions.promoting(view.term), observed.spec.timings.promote_timeout_s):
        return None
    if not standbys_suffice(observed, view, view.primary):
        return None
    return Reason(
        code="promotion_timed_out",
        severity="critical",
        subject=view.primary.uid,
        text=f"{view.primary.uid} has not finished its promotion of term {view.term} within promote_timeout",
    )


def _with_membership_reasons(observed: Observed, view: ClusterView, decision: Decision) -> Decision:
    """Say who is missing also while the members themselves must not change."""
    return Decision(decision.change, (*decision.reasons, *next_membership(observed, view).reasons))
