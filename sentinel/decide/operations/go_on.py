"""An operator's word that a failover which is held back may begin (protocol, section 11: damping)."""

from __future__ import annotations

from common.model.requests import Asked
from common.model.view import ClusterView
from sentinel.decide.detection import judge_primary
from sentinel.decide.observed import Decision, Observed
from sentinel.decide.operations.answers import Plan, ends_with


def plan_continue(observed: Observed, view: ClusterView) -> Plan:
    """What the word would mean."""
    if view.continue_in_term == view.term:
        return Plan(already=f"a failover from the primary of term {view.term} may begin at once already")
    if view.primary is None:
        return Plan(already=f"a failover is under way: term {view.term} has no primary yet")
    verdict = judge_primary(observed)
    now = verdict.reason.text if verdict.reason else "it is well now: nothing happens until it is not"
    return Plan(
        will=(f"a failover from {view.primary.uid}, primary of term {view.term}, may begin at once", now)
    )


def go_on(observed: Observed, view: ClusterView, asked: Asked) -> Decision:
    """Note the word in the view: it counts in this term and need not be taken back."""
    text = f"a failover from the primary of term {view.term} may begin at once, says {asked.request.by}"
    return ends_with(observed, asked, view, "failover_allowed", text, continue_in_term=view.term)
