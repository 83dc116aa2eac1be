"""The steps of an attempt at a switchover, each from the view alone (protocol, section 8). Pure.

Theory of operation. An operator's request has put ``switching`` into the view; from there on the attempt is
the cluster's own business, and goes on or is given up whatever becomes of the request's document.

    running      the primary prepares          -> switching, without a route
    switching    it drains, and stops in order -> sealing, in a new term, as soon as the target has it all
    sealing      the target is named           (choice.choose_primary asks handed_over)
    promoting    the route is set              (routing.route_for)

In the first two the attempt may be given up: the primary stays, in its term.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from common.model.lineage import can_be_extended, contains
from common.model.reasons import Reason
from common.model.reports import SwitchingReport
from common.model.requests import Asked, update
from common.model.units import format_duration
from common.model.view import ClusterView, Switching, SyncMember
from common.model.wal import Lsn
from sentinel.decide import conditions
from sentinel.decide.candidates import Candidate
from sentinel.decide.durability import allowed_members
from sentinel.decide.observed import Change, Decision, Observed, next_view
from sentinel.decide.targets import why_not

SWITCHOVER: Final = "switchover"
"""The code of what an attempt waits for, and of what it does."""

PREPARED_WITHIN_S: Final = 600.0
"""For the checkpoints, and for the target to come close."""

STOPPED_WITHIN_S: Final = 40.0
"""For the stop after the drain: more than the keeper gives it before it kills."""

OTHERS_WITHIN_S: Final = 0.5
"""So long the target waits, sealed, for those who are to acknowledge for it."""


def reported(observed: Observed, attempt: Switching, uid: str | None) -> SwitchingReport | None:
    """What a keeper that lives says of just this attempt."""
    report = observed.keepers.get(uid) if uid else None
    said = report.switching if report is not None else None
    return said if said is not None and said.id == attempt.id else None


def prepare(observed: Observed, view: ClusterView) -> Decision:
    """While the route stands: wait for the primary to be ready, then take the route away."""
    attempt = view.switching
    if attempt is None or view.phase != "running":
        return Decision(None, ())
    problem = _why_not_go_on(observed, view, attempt)
    if not problem and observed.held(conditions.attempt(attempt.id, "running"), PREPARED_WITHIN_S):
        problem = f"it was not prepared within {format_duration(PREPARED_WITHIN_S)}"
    if problem:
        return Decision(_given_up(view, problem), ())
    said = reported(observed, attempt, view.primary.uid if view.primary else None)
    if said is None or not said.ready:
        return Decision(None, (_waiting(attempt, "the primary makes checkpoints, the target comes close"),))
    if view.sync.pending:
        return Decision(None, (_waiting(attempt, "a change of the sync set is under way"),))
    text = (
        f"new clients wait; sessions have {format_duration(attempt.drain_s)} to end, then "
        f"{view.primary.uid if view.primary else ''} stops for {attempt.target.uid}"
    )
    change = Change(next_view(view, phase="switching", route=None), "switching", text, SWITCHOVER)
    return Decision(change, ())


def during_switching(observed: Observed, view: ClusterView) -> Decision:
    """Without a route: the term ends once the target has everything; in time, or the primary goes on."""
    attempt, old = view.switching, view.primary
    if attempt is None or old is None:
        return Decision(None, ())
    stopped = reported(observed, attempt, old.uid)
    record = stopped.shut_down if stopped is not None else None
    if record is not None and _holds(observed, view, attempt, record):
        return Decision(_seal(observed, view, attempt, record), ())
    problem = _why_not_go_on(observed, view, attempt, stopped=record is not None)
    if not problem and observed.held(
        conditions.attempt(attempt.id, "switching"), attempt.drain_s + STOPPED_WITHIN_S
    ):
        problem = f"{old.uid} did not stop in time"
    patience_s = observed.spec.timings.restart_after_s
    if not problem and record is not None and observed.held(conditions.shut_down(attempt.id), patience_s):
        problem = (
            f"{attempt.target.uid} does not have the last WAL {format_duration(patience_s)} after the stop"
        )
    if problem:
        return Decision(_given_up(view, problem), ())
    waits_for = f"{old.uid} to stop" if record is None else f"{attempt.target.uid} to have all of its WAL"
    return Decision(None, (_waiting(attempt, f"it waits for {waits_for}", "critical"),))


def _holds(observed: Observed, view: ClusterView, attempt: Switching, record: Lsn) -> bool:
    """Whether the target, in the life that was chosen, has the shutdown record of the primary's timeline."""
    report = observed.keepers.get(attempt.target.uid)
    said = reported(observed, attempt, attempt.target.uid)
    return (
        report is not None
        and said is not None
        and said.holds is not None
        and said.holds > record
        and report.incarnation == attempt.target.incarnation
        and view.primary is not None
        and report.timeline == view.primary.timeline
    )


def _why_not_go_on(
    observed: Observed, view: ClusterView, attempt: Switching, *, stopped: bool = False
) -> str:
    """What has changed since the attempt began; empty while it can be done."""
    asked = request_of(observed, attempt)
    if asked is not None and asked.request.cancel is not None and not stopped:
        return f"cancelled by {asked.request.cancel}"
    member = view.member(attempt.target.uid)
    if member is None or member.incarnation != attempt.target.incarnation:
        return f"{attempt.target.uid} is not in the life any more in which it was chosen"
    if view.phase == "running":
        return why_not(observed, view, member)
    report = observed.keepers.get(member.uid)
    if report is None:
        return f"the keeper of {member.uid} has no live report"
    if report.state != "running" or report.role != "standby":
        return f"PostgreSQL of {member.uid} is {report.state}"
    return ""


def _given_up(view: ClusterView, problem: str) -> Change:
    """The primary stays, in its term; where the route has gone it is set again once that may be."""
    fields: dict[str, Any] = {}
    if view.phase == "switching":
        fields = {"phase": "promoting", "route": None, "route_after": view.generation + 1}
    uid = view.primary.uid if view.primary else ""
    text = f"the switchover is given up, {uid} stays primary: {problem}"
    return Change(next_view(view, switching=None, **fields), "switchover_given_up", text, SWITCHOVER)


def _seal(observed: Observed, view: ClusterView, attempt: Switching, record: Lsn) -> Change:
    """The end of the term: the old primary is shut down, and the target has its last record."""
    old, uid = view.primary, attempt.target.uid
    sealing = next_view(
        view,
        term=view.term + 1,
        phase="sealing",
        primary=None,
        old_primary=old,
        old_primary_may_start=_needs_the_old_primary(observed, view, uid),
        old_primary_last=None,
        rebuild_beside=False,
        route=None,
        switching=attempt.changed(shut_down=record),
    )
    text = f"term {view.term} ends: {old.uid if old else ''} is shut down and {uid} has all of its WAL"
    return Change(sealing, "sealing", text, SWITCHOVER, old_primary=old.uid if old else None, lsn=record)


def _needs_the_old_primary(observed: Observed, view: ClusterView, uid: str) -> bool:
    """Whether too few others could acknowledge for a new primary: then the old one shall be back at once."""
    old = view.primary.uid if view.primary else ""
    well = {
        each.uid
        for each in observed.keepers.values()
        if each.state == "running" and each.role == "standby" and each.uid != old
    }
    return len(allowed_members(observed, uid) & well) < observed.spec.durability.wanted_acks


def handed_over(view: ClusterView, sealed: Sequence[Candidate]) -> Candidate | None:
    """The target, once it is sealed and holds the shutdown record: nothing acknowledged lies behind that."""
    attempt = view.switching
    if attempt is None or attempt.shut_down is None:
        return None
    target = next((candidate for candidate in sealed if candidate.life == attempt.target), None)
    if target is None or not _has_it_all(view, attempt.shut_down, target):
        return None
    return None if target.must_be_cloned(view.lineage) else target


def is_awaited(observed: Observed, view: ClusterView, sealed: Sequence[Candidate]) -> Reason | None:
    """What a switchover in its new term waits for, as long as it may; then section 5.2 chooses as ever."""
    attempt = view.switching
    if attempt is None or attempt.shut_down is None:
        return None
    uid, timings = attempt.target.uid, observed.spec.timings
    lives = {candidate.life for candidate in sealed}
    if attempt.target not in lives:
        if uid not in observed.keepers or observed.held(
            conditions.sealing(view.term), timings.restart_after_s
        ):
            return None
        return _waiting(attempt, f"{uid} seals", "critical")
    allowed = allowed_members(observed, uid)
    others = sum(life.uid in allowed for life in lives)
    enough = view.old_primary_may_start or others >= observed.spec.durability.wanted_acks
    if enough or observed.held(conditions.sealing(view.term), OTHERS_WITHIN_S):
        return None
    return _waiting(attempt, f"those who are to acknowledge for {uid} seal", "critical")


def _has_it_all(view: ClusterView, record: Lsn, candidate: Candidate) -> bool:
    """Whether a position lies beyond the beginning of the shutdown record, which is the last one."""
    old = view.old_primary
    return (
        old is not None
        and candidate.position.timeline == old.timeline
        and contains(candidate.position, view.lineage, Lsn(record + 1))
        and can_be_extended(candidate.position, view.lineage)
    )


def with_the_old_primary(
    observed: Observed, view: ClusterView, chosen: Candidate, followers: frozenset[SyncMember]
) -> frozenset[SyncMember]:
    """Those who follow a new primary, with the old one where durability needs it.

    It has not sealed, but its history is known: it was shut down in order, and its data end where the chosen
    one's do.
    """
    attempt, old = view.switching, view.old_primary
    if attempt is None or attempt.shut_down is None or old is None or old.incarnation is None:
        return followers
    allowed = allowed_members(observed, chosen.uid)
    enough = sum(life.uid in allowed for life in followers) >= observed.spec.durability.wanted_acks
    if (
        enough
        or old.uid not in observed.keepers.keys() - view.out
        or not _has_it_all(view, attempt.shut_down, chosen)
    ):
        return followers
    return followers | {SyncMember(old.uid, old.incarnation)}


def request_of(observed: Observed, attempt: Switching) -> Asked | None:
    """The request that an attempt is made for, while it is open."""
    return next(
        (each for each in observed.requests if each.request.id == attempt.request and each.request.is_open),
        None,
    )


def with_request(observed: Observed, decision: Decision) -> Decision:
    """The decision with what becomes of the request, written in the same transaction.

    It is done with the route to its target; an attempt that goes from the view in another way has failed.
    """
    view, change = observed.view, decision.change
    attempt = view.switching if view is not None else None
    asked = request_of(observed, attempt) if attempt is not None else None
    if view is None or change is None or attempt is None or asked is None:
        return decision
    request, after = asked.request, change.view
    if after.switching is not None:
        if (after.phase, after.term) == (view.phase, view.term):
            return decision
        request = request.told(change.text, observed.now)
    elif change.kind == "route_set" and after.route is not None and after.route.uid == attempt.target.uid:
        request = request.ended("done", change.text, observed.now)
    else:
        was_cancelled = request.cancel is not None and change.kind == "switchover_given_up"
        request = request.ended("cancelled" if was_cancelled else "failed", change.text, observed.now)
    told = replace(change, requests=(*change.requests, update(asked, request)), by=request.by)
    return replace(decision, change=told)


def _waiting(attempt: Switching, what: str, severity: str = "info") -> Reason:
    return Reason.model_validate(
        {
            "code": SWITCHOVER,
            "severity": severity,
            "subject": attempt.target.uid,
            "text": f"switchover to {attempt.target.uid}: {what}",
        }
    )
