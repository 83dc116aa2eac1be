"""What replaces the seals where only a lease protects commits: ``k = 0`` (protocol, section 7).

No standby need hold the last commits, so no standby's seal keeps the old primary from acknowledging
another one. It must be *off* instead. Its keeper is bound to end it before its lease does, so a lease that
has ended is a proof once it cannot have been confirmed any more: the full length of it, and a margin, after
its key was seen to be gone, on this sentinel's own clock and without a gap in which it could have come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.units import format_size
from common.model.view import ClusterView, Fenced, LastReport, Primary, SyncMember
from common.model.wal import Lsn
from sentinel.decide import conditions
from sentinel.decide.observed import Observed, PrimarySeen
from sentinel.decide.sealing import is_sealed

LEASE_MARGIN_S: Final = 2.0
"""Added to a lease's length: more than etcd's election timeout of 1 s, for a stalled etcd leader has revoked
live leases (etcd #12528, #15247) and one that is no longer leader may confirm one until it notices, and more
than clocks of two hosts drift apart meanwhile."""

NO_PROCESS_LEFT: Final = frozenset({"down", "failed", "no_data", "cloning", "rewinding", "initializing"})
"""States in which no process of a primary's data directory is left, nor will be one that is writable before
the keeper has seen another view. ``stopped`` is one of them once the keeper obeys the present term: before
that it may be the pause before a first start."""

Proof = Literal["stopped", "fenced", "lease_ended"]


def remember_primary(before: PrimarySeen | None, observed: Observed) -> PrimarySeen | None:
    """What was reported last of the primary; a report that lacks its position tells nothing new.

    A member that is named, lives and has not been promoted yet is where it sealed: at the fork.
    """
    view, report = observed.view, observed.primary_report
    named = (view.primary or view.old_primary) if view else None
    if named is None or named.incarnation is None:
        return before
    life = SyncMember(named.uid, named.incarnation)
    if before is not None and before.life != life:
        before = None
    if report is None or report.incarnation != named.incarnation:
        return before
    if not report.writable:
        waits_to_be_promoted = view is not None and view.phase == "promoting" and report.state == "running"
        if before is None and waits_to_be_promoted:
            return PrimarySeen(life, LastReport(lsn=named.fork, lease_ttl_s=report.lease_ttl_s))
        return before
    return PrimarySeen(life, LastReport(lsn=report.lsn, lease_ttl_s=report.lease_ttl_s))


def why_off(observed: Observed, view: ClusterView, old: Primary) -> Proof | None:
    """By what it is proven that the old primary can acknowledge nothing any more; None while it is not."""
    report = observed.keepers.get(old.uid)
    if report is not None and (is_sealed(observed, report) or _no_process_left(view, report)):
        return "stopped"
    if Fenced(old.uid, view.term) in view.fenced:
        return "fenced"
    limit_s = wait_s(view)
    if report is None and limit_s is not None and observed.held(conditions.lease_over(old.uid), limit_s):
        return "lease_ended"
    return None


def _no_process_left(view: ClusterView, report: KeeperReport) -> bool:
    return report.state in NO_PROCESS_LEFT or (report.state == "stopped" and report.term >= view.term)


def wait_s(view: ClusterView) -> float | None:
    """How long its key must have been gone before a lease has ended; None where none is known."""
    last = view.old_primary_last
    return None if last is None or last.lease_ttl_s is None else last.lease_ttl_s + LEASE_MARGIN_S


def has_a_chance(observed: Observed, view: ClusterView, old: Primary) -> bool:
    """Whether the old primary may still come and seal, so that nothing at all is lost.

    Its keeper must live. It has ``restart_after`` to begin, and once PostgreSQL is on its way up
    ``promote_timeout``, for the recovery after a crash.
    """
    report = observed.keepers.get(old.uid)
    if report is None or report.incarnation != old.incarnation or Fenced(old.uid, view.term) in view.fenced:
        return False
    if old.uid in view.out:
        return False
    timings = observed.spec.timings
    on_its_way = report.state in {"starting", "running"}
    patience_s = timings.promote_timeout_s if on_its_way else timings.restart_after_s
    return not observed.held(conditions.sealing(view.term), patience_s)


def lag_bytes(view: ClusterView, position: Lsn) -> int | None:
    """How much WAL beyond a position the old primary had by its last report; None when nobody knows."""
    last = view.old_primary_last
    return None if last is None else max(0, last.lsn - position)


def old_primary_first(old: Primary) -> Reason:
    """Why nobody is promoted yet although somebody could be."""
    return Reason(
        code="old_primary_first",
        severity="critical",
        subject=old.uid,
        text=f"only {old.uid} is sure to have the last commits, and its keeper lives: it has "
        "restart_after to begin to come back, and promote_timeout in all",
    )


def not_off(observed: Observed, view: ClusterView, old: Primary) -> Reason:
    """Why nothing is promoted while the old primary may still acknowledge."""
    report, limit_s = observed.keepers.get(old.uid), wait_s(view)
    if report is not None:
        why = f"its keeper says that its PostgreSQL is {report.state}"
        fix = f"see the log of the keeper of {old.uid}"
    elif limit_s is None:
        why = "its keeper is gone, and how long its lease may last was never seen"
        fix = f"start the keeper of {old.uid} on its data"
    else:
        gone_s = max(0.0, observed.held_s.get(conditions.lease_over(old.uid), 0.0))
        why = f"its keeper has been gone for {gone_s:.1f} s, and its lease may last {limit_s:.1f} s"
        fix = ""
    return Reason(
        code="old_primary_not_off",
        severity="critical",
        subject=old.uid,
        text=f"nothing is promoted yet: nobody but {old.uid} need have the last commits, and it may "
        f"still acknowledge more: {why}",
        fix=fix,
    )


def too_far_behind(
    observed: Observed, view: ClusterView, old: Primary, positions: Mapping[str, Lsn]
) -> Reason:
    """Why nothing is promoted where a promotion would lose more than is allowed, with the figures."""
    last, limit = view.old_primary_last, observed.spec.durability.max_lag_on_failover
    if last is None:
        text = f"where {old.uid} ended was never seen, so nobody knows what a promotion would lose"
    else:
        behind = ", ".join(
            f"{uid} ends {last.lsn - at} bytes before at {at}" for uid, at in positions.items()
        )
        text = (
            f"{old.uid} was at {last.lsn} by its last report; {behind}; max_lag_on_failover is "
            f"{format_size(limit)}"
        )
    return Reason(
        code="too_far_behind",
        severity="critical",
        subject=old.uid,
        text=f"nothing is promoted: {text}",
        fix=f"start the keeper of {old.uid} on its data: it has every commit; or raise "
        "durability.max_lag_on_failover in the spec and lose what is beyond",
    )
