"""What would happen now if hosts died: the decision core, asked again and again until nothing moves. Pure.

The core is the one that the leading sentinel asks; it is shown the cluster of this moment without the hosts
that died, and each change that it decides is carried out by a model of the members that are left. Time is
counted, not waited for: it moves to the next moment at which a duration can change a decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from common.model.reasons import Reason
from common.model.view import ClusterView
from pgha.explain.model import Instant, Living
from sentinel.decide.candidates import sealed_candidates
from sentinel.decide.choice import Judged, choose_primary, judge
from sentinel.decide.conditions import current_conditions
from sentinel.decide.core import decide
from sentinel.decide.lease import remember_primary, wait_s
from sentinel.decide.observed import Change, Observed
from sentinel.decide.sync_set import SHOWN_AFTER_S

STEPS_LIMIT: Final = 200
"""Questions to the core in one run; a failover with every duration in it takes some twenty."""

A_MOMENT_S: Final = 0.01


@dataclass(frozen=True)
class Step:
    """One change, and when it was decided, in seconds after the fault was seen."""

    at_s: float
    change: Change


@dataclass(frozen=True)
class Run:
    """How it ends: the view, the reasons in force then, and the changes on the way.

    ``judged`` are the members that had sealed when a primary was chosen, or could have been; empty where
    nobody had to be. ``lost_bytes`` is the WAL of the old primary, by its last report, beyond what its
    successor has: nobody acknowledged it. ``settled`` is false where the run was given up before its end.
    """

    view: ClusterView
    reasons: tuple[Reason, ...]
    steps: tuple[Step, ...]
    judged: tuple[Judged, ...] = ()
    lost_bytes: int = 0
    settled: bool = True


def what_if(instant: Instant, lost: Iterable[str]) -> Run:
    """Run to the end what follows when the hosts of these members die now; needs a view."""
    before, living = instant.before, Living.after(instant, frozenset(lost))
    held_s: dict[str, float] = {}  # the run's own: it moves on without a new value of all else
    start = replace(before, held_s=held_s, last_seen=remember_primary(before.last_seen, before))
    observed = _under(start, living, _view(start))
    holding = current_conditions(observed)
    steps: list[Step] = []
    since: dict[str, float] = {}
    judged: tuple[Judged, ...] = ()
    lost_bytes = 0
    now_s = 0.0
    reasons: tuple[Reason, ...] = ()
    for _ in range(STEPS_LIMIT):
        _move_to(now_s, holding, since, held_s)
        decision = decide(observed)
        change, view, reasons = decision.change, observed.view, decision.reasons
        if view is not None and view.phase == "sealing":
            judged = _judged(observed, view) or judged
        if change is None:
            later_s = _next_moment(observed, since, now_s)
            if later_s is None:
                break
            now_s = later_s
            continue
        if change.kind == "primary_named" and view is not None and view.old_primary_last is not None:
            lost_bytes = max(0, view.old_primary_last.lsn - (change.lsn or 0))
        steps.append(Step(now_s, change))
        observed = _under(observed, living, change.view)
        holding = current_conditions(observed)
    else:
        return Run(_view(observed), reasons, tuple(steps), judged, lost_bytes, settled=False)
    return Run(_view(observed), reasons, tuple(steps), judged, lost_bytes)


def _view(observed: Observed) -> ClusterView:
    assert observed.view is not None  # noqa: S101 - the caller has one, and no change takes it away
    return observed.view


def _under(observed: Observed, living: Living, view: ClusterView) -> Observed:
    """The cluster once everybody has done what a view says."""
    named = view.primary
    return replace(
        observed,
        view=view,
        keepers=living.reports_under(view),
        reaches_primary=None if named is None else named.uid in living.reports,
    )


def _move_to(
    now_s: float, holding: frozenset[str], since: dict[str, float], held_s: dict[str, float]
) -> None:
    """Have ``since`` tell when each condition that holds has begun, and ``held_s`` for how long it has."""
    for ended in since.keys() - holding:
        del since[ended]
    for condition in holding:
        since.setdefault(condition, now_s)
    held_s.clear()
    held_s.update({condition: now_s - began_s for condition, began_s in since.items()})


def _judged(observed: Observed, view: ClusterView) -> tuple[Judged, ...]:
    return judge(observed, view, sealed_candidates(observed, view), choose_primary(observed, view).least)


def _next_moment(observed: Observed, since: dict[str, float], now_s: float) -> float | None:
    """When a duration that is being counted passes a limit next; None when all have."""
    timings, view = observed.spec.timings, _view(observed)
    limits_s = {SHOWN_AFTER_S, timings.restart_after_s, timings.degrade_after_s, timings.promote_timeout_s}
    lease_s = wait_s(view)
    if lease_s is not None:
        limits_s.add(lease_s)
    moments = {began_s + limit_s + A_MOMENT_S for began_s in {*since.values()} for limit_s in limits_s}
    return min((moment for moment in moments if moment > now_s), default=None)
