"""A pause: nothing is done that nobody has asked for (protocol, section 11).

A failover that has begun is finished, since half of one leaves nobody primary. Promises and fences go on:
a pause never lets anything be acknowledged that would not be without it.
"""

from __future__ import annotations

from common.model.reasons import Reason
from common.model.requests import Asked
from common.model.view import ClusterView
from sentinel.decide.detection import Verdict
from sentinel.decide.observed import Decision, Observed
from sentinel.decide.operations.answers import Plan, ends_with


def plan_pause(view: ClusterView) -> Plan:
    """What a pause would mean."""
    if view.paused is not None:
        return Plan(already=f"the cluster has been paused by {view.paused}")
    return Plan(
        will=(
            "no failover begins by itself, no keeper joins or leaves, nothing is cloned anew",
            "a PostgreSQL that goes down is not started again",
            "what is asked for with pgha is done as ever; pgha resume ends the pause",
        ),
        harms=True,
    )


def pause(observed: Observed, view: ClusterView, asked: Asked) -> Decision:
    """Pause the cluster: one write."""
    word = asked.request.word
    return ends_with(observed, asked, view, "paused", f"paused by {word.by}", paused=word)


def plan_resume(view: ClusterView) -> Plan:
    """What the end of the pause would mean."""
    if view.paused is None:
        return Plan(already="the cluster is not paused")
    return Plan(will=(f"the pause by {view.paused} ends: failovers begin by themselves again",))


def resume(observed: Observed, view: ClusterView, asked: Asked) -> Decision:
    """End the pause: one write."""
    text = f"resumed by {asked.request.by}; it was paused by {view.paused}"
    return ends_with(observed, asked, view, "resumed", text, paused=None)


def held_back_by_pause(view: ClusterView, verdict: Verdict) -> Reason | None:
    """Why the primary is not replaced although the verdict asks for it; None where no pause keeps it.

    The word for this term that lets a failover go on counts in a pause, too: somebody has asked for it.
    """
    if view.paused is None or view.phase != "running" or view.continue_in_term == view.term:
        return None
    uid = view.primary.uid if view.primary else ""
    return Reason(
        code="failover_paused",
        severity="critical",
        subject=uid,
        text=f"nobody takes over from {uid} ({verdict.kind}): the cluster has been paused by {view.paused}",
        fix="pgha failover --continue lets this one begin, pgha resume ends the pause",
    )


def said(view: ClusterView) -> tuple[Reason, ...]:
    """That the cluster is paused, since when and by whom."""
    if view.paused is None:
        return ()
    return (
        Reason(
            code="paused",
            severity="warning",
            text=f"nothing is done by itself: the cluster has been paused by {view.paused}",
            fix="pgha resume ends the pause",
        ),
    )
