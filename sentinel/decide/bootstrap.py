"""How a cluster begins: one keeper creates the data, and is then named its first primary."""

from __future__ import annotations

from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.view import ClusterView, LineageEntry, Primary, SyncSet, SyncState
from common.model.wal import ZERO
from sentinel.decide import conditions
from sentinel.decide.joining import member_of, why_not_join
from sentinel.decide.observed import Change, Decision, Observed, next_view

INITIALIZE_TIMEOUT_S = 60.0
"""How long one keeper may take to create the first data directory before another is asked."""


def begin(observed: Observed) -> Decision:
    """Name the keeper that creates the first data directory; needs a store without a view."""
    with_data = sorted(uid for uid, report in observed.keepers.items() if report.system_identifier)
    if with_data:
        return Decision(
            None,
            (
                Reason(
                    code="data_without_view",
                    severity="critical",
                    subject=with_data[0],
                    text=f"the store holds no view of cluster {observed.cluster}, "
                    f"but {', '.join(with_data)} already hold data: nothing is created over existing data",
                    fix="restore the store from its backup; only if nobody needs these data, give the "
                    "keepers empty directories",
                ),
            ),
        )
    chosen, refusals = _first_to_ask(observed, other_than=None)
    if chosen is None:
        none = Reason(
            code="no_keepers",
            severity="critical",
            text=f"cluster {observed.cluster} has a spec but no keeper with a live report "
            "and an empty directory that may join it",
            fix="start pgha-keeper on the hosts that shall hold the data",
        )
        return Decision(None, (none, *refusals))
    view = ClusterView(
        cluster=observed.cluster,
        generation=1,
        term=1,
        phase="initializing",
        primary=Primary(uid=chosen.uid, timeline=1),
        members=(member_of(chosen),),
        sync=SyncState(current=SyncSet(id=1, k=observed.spec.durability.wanted_acks)),
    )
    return Decision(
        Change(view, "initializing", f"{chosen.uid} creates the first data directory", "no_view"), refusals
    )


def complete(observed: Observed, view: ClusterView) -> Decision:
    """Name the keeper primary once its data directory exists, or ask another when it does not come."""
    named = view.primary
    report = observed.primary_report
    if named is None:
        return Decision(None, ())
    if report and report.incarnation and report.system_identifier and _has_created(report):
        entry = LineageEntry(
            term=view.term, timeline=1, fork=ZERO, uid=report.uid, incarnation=report.incarnation
        )
        created = next_view(
            view,
            phase="promoting",
            system_identifier=report.system_identifier,
            primary=Primary(uid=report.uid, incarnation=report.incarnation, timeline=1),
            members=(member_of(report),),
            lineage=(entry,),
        )
        text = f"{report.uid} has created cluster {report.system_identifier} and is its first primary"
        return Decision(Change(created, "primary_named", text, "initialized", new_primary=report.uid), ())
    late = observed.held(conditions.initializing(named.uid), INITIALIZE_TIMEOUT_S)
    other, refusals = _first_to_ask(observed, other_than=named.uid)
    if other is not None and (late or report is None):
        moved = next_view(view, primary=Primary(uid=other.uid, timeline=1), members=(member_of(other),))
        why = "did not finish in time" if late else "has no live report"
        text = f"{other.uid} creates the first data directory: {named.uid} {why}"
        return Decision(Change(moved, "initializing", text, "initializer_gone"), refusals)
    waiting = Reason(
        code="initializing",
        severity="critical",
        subject=named.uid,
        text=f"{named.uid} is creating the first data directory"
        if report
        else f"{named.uid} shall create the first data directory but has no live report",
        fix="" if report else f"start the keeper of {named.uid}, or another one with an empty directory",
    )
    return Decision(None, (waiting, *refusals))


def _has_created(report: KeeperReport) -> bool:
    """Whether the keeper has recorded the data directory as created, be it that it died right after."""
    promotion = report.promotion
    return promotion is not None and promotion.finished and promotion.incarnation == report.incarnation


def _first_to_ask(
    observed: Observed, other_than: str | None
) -> tuple[KeeperReport | None, tuple[Reason, ...]]:
    """The keeper without data to ask first: the greatest priority, then the first uid; and who may not be.

    One that is ``failed`` has a directory that it may not touch.
    """
    candidates, refusals = [], []
    for uid, report in sorted(observed.keepers.items()):
        if uid == other_than or report.system_identifier is not None:
            continue
        refusal = why_not_join(observed.spec, report)
        if refusal is not None:
            refusals.append(refusal)
        elif report.state != "failed":
            candidates.append(report)
    candidates.sort(key=lambda r: (observed.spec.member(r.uid).no_failover, -_priority(observed, r), r.uid))
    return (candidates[0] if candidates else None), tuple(refusals)


def _priority(observed: Observed, report: KeeperReport) -> int:
    return observed.spec.member(report.uid).priority
