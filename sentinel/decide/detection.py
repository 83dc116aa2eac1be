"""Is the primary well? Evidence, not timers alone (protocol, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.view import ClusterView, Primary
from sentinel.decide.observed import Observed

DEAD_STATES = frozenset({"down", "failed", "no_data", "cloning", "initializing"})
"""What a live keeper reports when no process of the named primary's data directory is left.

One that is ``stopped`` has none either, but before its first start in a term that is as it should be.
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence says, and why.

    ``well``     it serves, or is on its way to
    ``down``     its keeper says that no process of the data directory is left
    ``hung``     its keeper says that it does not do what a server that lives does
    ``lost``     its keeper is gone, this sentinel cannot reach it, and neither can the standbys
    ``unclear``  the evidence does not suffice: nothing is done, and the reason says what is missing
    """

    kind: Literal["well", "down", "hung", "lost", "unclear"]
    reason: Reason | None = None


def judge_primary(observed: Observed) -> Verdict:
    """Judge the primary that the view names."""
    view = observed.view
    if view is None or view.primary is None:
        return Verdict("unclear")
    report = observed.primary_report
    if report is None:
        return _judge_without_keeper(observed, view, view.primary)
    return _judge_by_report(view, view.primary, report)


def _judge_by_report(view: ClusterView, primary: Primary, report: KeeperReport) -> Verdict:
    if report.incarnation != primary.incarnation:
        return Verdict(
            "down",
            Reason(
                code="primary_data_gone",
                severity="critical",
                subject=primary.uid,
                text=f"the keeper of {primary.uid} no longer has the data directory "
                f"{primary.incarnation} that was primary in term {view.term}",
            ),
        )
    if report.state in DEAD_STATES or (view.phase == "running" and report.state == "stopped"):
        return Verdict(
            "down",
            Reason(
                code="primary_down",
                severity="critical",
                subject=primary.uid,
                text=f"PostgreSQL of {primary.uid} is {report.state}: "
                "its keeper says that no process of it is left",
            ),
        )
    if view.phase == "running" and report.state == "running" and report.role == "standby":
        return Verdict(
            "down",
            Reason(
                code="primary_in_recovery",
                severity="critical",
                subject=primary.uid,
                text=f"PostgreSQL of {primary.uid} runs as a standby although it is the primary of "
                f"term {view.term}",
            ),
        )
    if report.writable and report.hanging:
        return Verdict(
            "hung",
            Reason(
                code="primary_hung",
                severity="critical",
                subject=primary.uid,
                text=f"PostgreSQL of {primary.uid} hangs: {report.hanging}",
                fix=f"see to the host and the disks of {primary.uid}",
            ),
        )
    return Verdict("well")


def _judge_without_keeper(observed: Observed, view: ClusterView, primary: Primary) -> Verdict:
    gone = Reason(
        code="keeper_lost",
        severity="warning",
        subject=primary.uid,
        text=f"the keeper of the primary {primary.uid} has no live report, but its PostgreSQL serves",
        fix=f"start the keeper of {primary.uid} again; its PostgreSQL needs nothing",
    )
    if observed.reaches_primary:
        return Verdict("unclear", gone)
    if observed.reaches_primary is None:
        return Verdict("unclear", gone.model_copy(update={"text": f"{primary.uid} is being probed"}))
    live = [report for uid, report in observed.keepers.items() if uid != primary.uid and view.member(uid)]
    telling = [report for report in live if report.upstream and report.upstream.uid == primary.uid]
    hearing = {
        report.uid
        for report in telling
        if report.upstream and report.upstream.receiving and report.upstream.term == view.term
    }
    unreached = [
        report
        for report in telling
        if report.upstream and not report.upstream.reachable and report.uid not in hearing
    ]
    too_few_hear = any(
        len({member.uid for member in each.members} & hearing) < each.k for each in view.sync.in_force
    )
    if len(unreached) * 2 > len(live) or (telling and too_few_hear):
        return Verdict(
            "lost",
            Reason(
                code="primary_lost",
                severity="critical",
                subject=primary.uid,
                text=f"the keeper of {primary.uid} has no live report, this sentinel cannot reach its "
                f"PostgreSQL, {len(unreached)} of {len(live)} standbys cannot either, "
                f"{len(hearing)} hear WAL from it",
            ),
        )
    return Verdict(
        "unclear",
        Reason(
            code="primary_unreachable",
            severity="critical",
            subject=primary.uid,
            text=f"this sentinel cannot reach PostgreSQL of {primary.uid} and its keeper has no live report, "
            f"but {len(hearing)} standbys hear WAL from it"
            if telling
            else f"the primary {primary.uid} cannot be reached, and no standby with a live report says "
            "whether it reaches it",
            fix="bring the host of the primary, or standbys, back",
        ),
    )
