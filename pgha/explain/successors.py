"""Who would take over from the primary now, and what each other member lacks. Pure."""

from __future__ import annotations

from common.model.base import Value
from common.model.view import ClusterView, Member
from pgha.explain.whatif import Run
from sentinel.decide.choice import Judged, Rank
from sentinel.decide.observed import Observed


class Successor(Value):
    """One member that is not the primary, and whether it would be if the primary's host died now."""

    uid: str
    site: str
    takes_over: bool
    text: str


def successors(observed: Observed, view: ClusterView, primary: str, run: Run) -> tuple[Successor, ...]:
    """Everybody but the primary, in the order in which they would be chosen.

    ``run`` is what would follow the death of the primary's host.
    """
    judged = {each.candidate.uid: each for each in run.judged}
    chosen = next((step.change.new_primary for step in run.steps if step.change.new_primary), None)
    best = judged[chosen].rank if chosen in judged else None

    def order(member: Member) -> tuple[bool, bool, tuple[object, ...]]:
        each = judged.get(member.uid)
        return (False, bool(each.obstacle), each.rank) if each else (True, False, (member.uid,))

    return tuple(
        Successor(
            uid=member.uid,
            site=member.site,
            takes_over=member.uid == chosen,
            text=_why_not(observed, member, judged.get(member.uid), best),
        )
        for member in sorted((each for each in view.members if each.uid != primary), key=order)
    )


def _why_not(observed: Observed, member: Member, judged: Judged | None, best: Rank | None) -> str:
    if judged is None:
        return _why_no_seal(observed, member)
    match judged.obstacle:
        case "lacks_commits":
            return f"no: it ends at {judged.candidate.agreed} and need not have every acknowledged commit"
        case "diverged" | "must_be_cloned":
            return "no: its data have gone another way and must be made anew first"
        case "kept_down":
            return "no: somebody keeps it down (pgha unfence)"
        case "no_failover":
            return "no: the spec says no_failover"
    if best is None:
        return "it holds everything acknowledged, but nobody is chosen"
    if judged.rank == best:
        return "it would take over"
    return f"it could, after {best.uid}: {_behind(judged.rank, best)}"


def _why_no_seal(observed: Observed, member: Member) -> str:
    report = observed.keepers.get(member.uid)
    if report is None:
        return "no: its keeper has no live report"
    if report.state != "running":
        return f"no: its PostgreSQL is {report.state}"
    if report.incarnation != member.incarnation:
        return "no: its data are in a life that the view does not know yet"
    return "no: it would not be asked"


def _behind(rank: Rank, best: Rank) -> str:
    """The first thing in which the best is better."""
    if rank.behind != best.behind:
        return f"it is {rank.behind - best.behind} bytes behind"
    if rank.past_a_fork != best.past_a_fork:
        return "it has gone past the fork of a later promotion"
    if rank.elsewhere != best.elsewhere:
        return "it stands on another site than the primary"
    if rank.priority != best.priority:
        return f"its priority is {-rank.priority}, not {-best.priority}"
    return "they are alike, so the name decides"
