"""Who is promoted although acknowledged commits may be lost, by an operator's word (protocol 5 and 11). Pure.

The word replaces the seals that cannot be had: it says that those members are off, so that no commit can be
acknowledged by them or among them any more. Everybody who lives is still waited for, and the furthest goes.
"""

from __future__ import annotations

from common.model.reasons import Reason
from common.model.view import ClusterView, Forced
from common.model.wal import ZERO, Lsn
from sentinel.decide import conditions
from sentinel.decide.candidates import Candidate
from sentinel.decide.choice import Choice, judge
from sentinel.decide.lease import NO_PROCESS_LEFT
from sentinel.decide.observed import Observed
from sentinel.decide.sealing import is_sealed, live_members, may_have_acknowledged


def must_be_off(observed: Observed, view: ClusterView) -> tuple[str, ...]:
    """Members on whose seal a promotion without loss would have to wait, and who cannot give it.

    The primary whose term ends, and each member of a set in force, unless it lives, or its keeper says that
    nothing of its PostgreSQL is left.
    """
    live = {member.uid for member in live_members(observed)}
    old = view.primary or view.old_primary
    asked = {m.uid for each in view.sync.in_force if may_have_acknowledged(each) for m in each.members} - live
    if old is not None and not _has_sealed(observed, old.uid):
        asked.add(old.uid)
    return tuple(sorted(uid for uid in asked if not is_off(observed, uid)))


def is_off(observed: Observed, uid: str) -> bool:
    """Whether its live keeper says that no process of its PostgreSQL is left."""
    report = observed.keepers.get(uid)
    return report is not None and (report.state in NO_PROCESS_LEFT or report.state == "stopped")


def _has_sealed(observed: Observed, uid: str) -> bool:
    report = observed.keepers.get(uid)
    return report is not None and is_sealed(observed, report)


def choose_forced(
    observed: Observed, view: ClusterView, sealed: tuple[Candidate, ...], forced: Forced
) -> Choice:
    """The furthest of those who live, once each has sealed or had the time to, and the rest is off."""
    lives = {candidate.uid for candidate in sealed}
    still_on = [uid for uid in must_be_off(observed, view) if uid not in forced.off]
    if still_on:
        return Choice(None, _waits(f"nobody has said that {', '.join(still_on)} is off", forced))
    late = sorted({member.uid for member in live_members(observed)} - lives - forced.off)
    waited = observed.held(conditions.sealing(view.term), observed.spec.timings.promote_timeout_s)
    if not sealed or (late and not waited):
        return Choice(None, _waits(f"waiting for the seals of {', '.join(late) or 'anybody'}", forced))
    judged = judge(observed, view, sealed, ZERO)
    can = [each for each in judged if each.obstacle in {"", "no_failover"}]
    wanted = [each for each in can if forced.to in {None, each.candidate.uid}]
    if not wanted:
        why = ", ".join(f"{each.candidate.uid} ({each.obstacle or 'not asked for'})" for each in judged)
        return Choice(None, _waits(f"nobody can be promoted: {why}", forced))
    chosen = min(wanted, key=lambda each: (each.obstacle == "no_failover", each.rank)).candidate
    others = ", ".join(f"{c.uid} at {c.agreed}" for c in sealed)
    text = (
        f"{chosen.uid} is promoted at {chosen.position.lsn} by the word of {forced.word}, without the seals "
        f"of {', '.join(sorted(forced.off)) or 'nobody'}: what was acknowledged beyond it is lost; "
        f"sealed: {others}"
    )
    reason = Reason(code="forced", severity="critical", subject=chosen.uid, text=text)
    return Choice(chosen, reason, least_of(view, chosen), complete=False)


def least_of(view: ClusterView, chosen: Candidate) -> Lsn:
    """What is still promised: the floor, or as much of it as the chosen one has."""
    return Lsn(min(view.floor, chosen.agreed))


def _waits(why: str, forced: Forced) -> Reason:
    return Reason(
        code="forced_failover_waits",
        severity="critical",
        text=f"the failover that {forced.word} has forced goes on later: {why}",
        fix="see to those who are named; pgha status says who lives",
    )
