"""How soon a primary that hung or went down may be replaced, when others before it did, too (protocol 4).

A query that kills whichever server runs it, or WAL that fills one disk after the other, follows each failover
to the next server. So each such failover in a row has to wait longer after the one before, and at last none
is made until an operator says so. The view counts them; how long the term has lasted is this sentinel's own
measure. ``lost`` is never held back: a host that is gone does not come along.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from common.model.reasons import Reason
from common.model.units import format_duration
from common.model.view import ClusterView
from sentinel.decide import conditions
from sentinel.decide.detection import Verdict
from sentinel.decide.observed import Change, Decision, Observed, next_view

PAUSES_S: Final = (0.0, 0.0, 10.0, 30.0, 120.0)
"""How long a term must have lasted before it may be ended, by the number of damped failovers before it."""

_SHORTEST: Final = 2
_DAMPED: Final = frozenset({"down", "hung"})
_CONTINUE: Final = "pgha failover --continue"


def pause_s(damped: int, *, room_again: bool = False) -> float | None:
    """How long the term must have lasted, in seconds; None: for ever.

    ``room_again``: the primary went down for a full disk that has room by now. What stopped it is over, so
    the shortest pause is enough, and nobody has to be asked: one that stays down makes no room by itself.
    """
    if room_again:
        return PAUSES_S[min(damped, _SHORTEST)]
    return PAUSES_S[damped] if damped < len(PAUSES_S) else None


def hold_back(observed: Observed, view: ClusterView, verdict: Verdict) -> Reason | None:
    """Why the primary is not replaced yet, although the verdict asks for it; None when it may be."""
    if verdict.kind not in _DAMPED or view.continue_in_term == view.term:
        return None
    report = observed.primary_report
    pause = pause_s(view.damped, room_again=report is not None and report.room_again)
    if pause is not None and (pause <= 0 or observed.held(conditions.named(view.term), pause)):
        return None
    uid = view.primary.uid if view.primary else ""
    before = f"{view.damped} failovers in a row were for a primary that hung or went down"
    if pause is None:
        return Reason(
            code="failovers_stopped",
            severity="critical",
            subject=uid,
            text=f"nobody takes over from {uid} by itself: {before}; what brings one server down may "
            "bring down the next",
            fix=f"find out why, then let it go on: {_CONTINUE}",
        )
    return Reason(
        code="failover_held_back",
        severity="critical",
        subject=uid,
        text=f"somebody takes over from {uid} once term {view.term} has lasted "
        f"{format_duration(pause)}: {before}",
        fix=f"{_CONTINUE} lets it go on at once",
    )


def counted(decision: Decision, view: ClusterView, verdict: Verdict) -> Decision:
    """The decision to begin a failover, with that one counted; an operator's word begins the count anew."""
    change = decision.change
    if change is None or verdict.kind not in _DAMPED:
        return decision
    before = 0 if view.continue_in_term == view.term else view.damped
    counting = change.view.changed(damped=before + 1)
    return Decision(replace(change, view=counting), decision.reasons)


def calm(observed: Observed, view: ClusterView) -> Decision:
    """Forget the failovers once a primary has served for ``calm_after``."""
    calm_after_s = observed.spec.timings.calm_after_s
    if not view.damped or not observed.held(conditions.running(view.term), calm_after_s):
        return Decision(None, ())
    text = f"term {view.term} has lasted {format_duration(calm_after_s)}: the failovers before count no more"
    return Decision(Change(next_view(view, damped=0), "calm", text, "primary_served"), ())
