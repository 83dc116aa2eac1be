"""Which standbys acknowledge, and how a change of them is made (protocol, section 6)."""

from __future__ import annotations

from typing import Final

from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.units import format_size
from common.model.view import ClusterView, SyncMember, SyncSet
from sentinel.decide import conditions
from sentinel.decide.durability import allowed_members, survive
from sentinel.decide.observed import Change, Decision, Observed, next_view

PENDING_LIMIT: Final = 8
"""Changes that may be under way at once; a failover must satisfy every one of them."""

SHOWN_AFTER_S: Final = 1.0
"""A primary looks at its standbys once a second: right after a start they only seem to be missing."""


def adopt_applied(view: ClusterView, report: KeeperReport) -> Change | None:
    """Make the last pending set current once the primary says, for this term, that it is applied."""
    if not view.sync.pending or report.sync is None or report.sync.term != view.term:
        return None
    target = view.sync.target
    if report.sync.applied != target.id:
        return None
    adopted = next_view(view, sync=view.sync.changed(current=target, pending=()))
    return Change(adopted, "sync_set_current", f"the sync set is now {in_words(target)}", "sync_set_applied")


def wanted_set(observed: Observed, view: ClusterView) -> tuple[frozenset[SyncMember], int]:
    """The members and ``k`` that the evidence and the spec ask for now.

    A member enters when it streams and has caught up; it leaves after ``degrade_after`` without
    streaming, while ``k`` others remain. Members that durability does not allow, and a lower ``k``,
    are taken only by ``degrade`` and only when the allowed ones have been too few for as long, and with
    nobody left it asks for nobody; as soon as somebody streams it asks again. They
    go when enough of the allowed ones stream, and at once when the mode becomes ``strict``: then commits
    wait rather than be acknowledged by members that the site's loss takes along. Nobody enters or leaves
    for a keeper's lease alone. Who shall leave by an operator's word goes at once, if enough others stream.
    """
    durability, timings = observed.spec.durability, observed.spec.timings
    target = view.sync.target
    if durability.mode == "async":
        return frozenset(), 0
    allowed = allowed_members(observed)
    kept = frozenset(
        member
        for member in target.members
        if not observed.held(conditions.not_streaming(member), timings.degrade_after_s)
        and (entry := view.member(member.uid))
        and entry.incarnation == member.incarnation
        and member.uid not in observed.leaving
    )
    present = frozenset(each for each in observed.streaming if each.uid not in observed.leaving) | kept
    best = frozenset(member for member in present if member.uid in allowed)
    if len(best & observed.streaming) >= durability.acks:
        return best, durability.acks
    if durability.mode == "strict":
        held = frozenset(member for member in target.members if member.uid in allowed)
        return (best if len(best) >= durability.acks else best | held), durability.acks
    if target.k == 0 and present:
        return present, min(durability.acks, len(present))
    if observed.held(
        conditions.TOO_FEW, _patience_s(observed, view) if not present else timings.degrade_after_s
    ):
        return present, min(durability.acks, len(present))
    return best | target.members, target.k


def _patience_s(observed: Observed, view: ClusterView) -> float:
    """How long nobody may be there before nobody is asked.

    The first standbys of a new cluster are being cloned: it waits for them as long as for a promotion.
    """
    timings = observed.spec.timings
    is_new = view.phase == "promoting" and len(view.lineage) == 1
    return timings.promote_timeout_s if is_new else timings.degrade_after_s


def next_sync_set(observed: Observed, view: ClusterView) -> Decision:
    """Adopt what is applied, else begin a change when another set is wanted."""
    report = observed.primary_report
    if report is None or not report.writable or report.sync is None or report.sync.term != view.term:
        return Decision(None, ())
    adopted = adopt_applied(view, report)
    if adopted is not None:
        return Decision(adopted, ())
    members, k = wanted_set(observed, view)
    reasons = shortfall(observed, view)
    target = view.sync.target
    if (members, k) == (target.members, target.k):
        return Decision(None, reasons)
    if not _may_begin_a_change(observed, view):
        return Decision(None, reasons)
    if len(view.sync.pending) >= PENDING_LIMIT:
        return Decision(None, (*reasons, _too_many_pending(view)))
    change = SyncSet(id=view.generation + 1, k=k, members=members)
    changed = next_view(view, sync=view.sync.changed(pending=(*view.sync.pending, change)))
    text = f"the sync set shall become {in_words(change)}, from {in_words(target)}"
    return Decision(Change(changed, "sync_set_pending", text, "sync_set_wanted"), reasons)


def _may_begin_a_change(observed: Observed, view: ClusterView) -> bool:
    """Whether now is the time: a change under way has its chance, and so has the route.

    Before the route every further set is one more that must confirm the primary's start (I7); so it
    waits, unless the set in force can confirm nothing because it has too few members.
    """
    target, patience_s = view.sync.target, observed.spec.timings.degrade_after_s
    if view.sync.pending:
        return observed.held(conditions.pending(target.id), patience_s)
    if view.route is None and len(target.members) >= target.k:
        return observed.held(conditions.promoting(view.term), patience_s)
    return True


def in_words(each: SyncSet) -> str:
    """A set as people read it: ``1 of shiqiao-1, shiqiao-2``."""
    if each.k == 0:
        return "nobody: only the primary's lease protects commits"
    return f"{each.k} of {', '.join(sorted(member.uid for member in each.members)) or 'nobody'}"


def shortfall(observed: Observed, view: ClusterView) -> tuple[Reason, ...]:
    """What is less than the spec asks for, and what a human can do."""
    found: list[Reason] = []
    target, durability = view.sync.target, observed.spec.durability
    streaming = target.members & observed.streaming
    if observed.held(conditions.COMMITS_WAIT, SHOWN_AFTER_S):
        found.append(
            Reason(
                code="commits_wait",
                severity="critical",
                text=f"commits wait: {target.k} standbys must acknowledge, {len(streaming)} of the sync set "
                f"({in_words(target)}) stream and have caught up",
                fix="bring a standby back"
                + ("; mode is strict, so nothing gives way" if durability.mode == "strict" else ""),
            )
        )
    if view.sync.lease_protects:
        found.append(_nobody_acknowledges(observed))
    elif target.k < durability.wanted_acks:
        found.append(
            Reason(
                code="acks_lowered",
                severity="warning",
                text=f"{target.k} acknowledgement is waited for instead of {durability.acks}: "
                "too few standbys stream",
                fix="bring the missing standbys back",
            )
        )
    allowed = allowed_members(observed)
    outside = sorted(member.uid for member in target.members if member.uid not in allowed)
    if outside:
        found.append(
            Reason(
                code="durability_degraded",
                severity="warning",
                text=f"{', '.join(outside)} of the primary's own site may acknowledge: "
                "the loss of this site could lose acknowledged commits",
                fix="bring a standby of another site back",
            )
        )
    elif survive(observed) == "node" and len({member.site for member in view.members}) > 1:
        found.append(
            Reason(
                code="site_loss_not_survived",
                severity="info",
                text="durability.survive is node: the loss of a site that holds the primary and another "
                "standby leaves too few to seal",
            )
        )
    return tuple(found)


def _nobody_acknowledges(observed: Observed) -> Reason:
    durability = observed.spec.durability
    wanted = durability.mode == "async"
    return Reason(
        code="nobody_acknowledges",
        severity="info" if wanted else "warning",
        text="no standby acknowledges commits: only the primary's lease protects them, and a failover may "
        f"lose up to {format_size(durability.max_lag_on_failover)} of WAL",
        fix="" if wanted else "bring a standby back: it then acknowledges again by itself",
    )


def _too_many_pending(view: ClusterView) -> Reason:
    return Reason(
        code="sync_change_stuck",
        severity="warning",
        text=f"{len(view.sync.pending)} changes of the sync set are under way and none completes",
        fix="see why the primary cannot apply them in its keeper's log",
    )
