"""Restarting PostgreSQL, one member after the other: each standby is back before the next one goes.

The view names the *start* that shall end, so a restart is never made twice, whoever leads and whatever the
keeper lives through meanwhile. A primary is not restarted in its term (a start of its data as anything but a
standby would need proof that nobody has sealed): another one takes over by a switchover, which restarts it.
"""

from __future__ import annotations

from typing import Final

from common.model.requests import Asked, Request, RequestUpdate, Restart, Switchover, update
from common.model.view import ClusterView
from sentinel.decide import conditions
from sentinel.decide.observed import Decision, Observed
from sentinel.decide.operations.answers import Plan, changes, ended, told
from sentinel.decide.operations.members import is_counted, is_primary, members_with, not_now
from sentinel.decide.operations.switchover import plan_switchover

_ID_PART: Final = 50
"""Of the id of a restart so much stands in that of its switchover."""

LIMIT_S: Final = 120.0
"""How long one member may take to be back before the rest is left alone."""


def plan_restart(observed: Observed, view: ClusterView, operation: Restart) -> Plan:
    """Who would be restarted, in which order, or why it cannot be done."""
    for uid in operation.uids:
        if (refusal := not_now(view, uid)) is not None:
            return refusal
        member, report = view.member(uid), observed.keepers.get(uid)
        if member is not None and member.kept_down is not None:
            return Plan(refused=f"{uid} is kept down by {member.kept_down}: pgha unfence {uid} first")
        if report is None or report.state != "running":
            how = f"is {report.state}" if report else "cannot be seen: its keeper has no live report"
            return Plan(refused=f"PostgreSQL of {uid} {how}: it cannot be restarted")
    if view.phase != "running":
        return Plan(refused=f"the cluster is {view.phase}: ask again once writers have a route")
    wanted = _wanted(observed, view, operation)
    if not wanted:
        return Plan(already="no parameter waits for a restart" if operation.pending else "no PostgreSQL runs")
    standbys = [uid for uid in wanted if not is_primary(view, uid)]
    lines = [f"PostgreSQL of {uid} is restarted, and streams before the next one goes" for uid in standbys]
    if standbys != wanted:
        by_switchover = plan_switchover(observed, view, Switchover())
        if by_switchover.refused:
            text = f"{wanted[-1]} is the primary, and is restarted by a switchover: {by_switchover.refused}"
            return Plan(refused=text)
        lines += by_switchover.will
    counted = [uid for uid in wanted if is_counted(view, uid)]
    if counted and len(view.sync.target.members & observed.streaming) - 1 < view.sync.target.k:
        lines.append(f"commits wait while {', '.join(counted)} restarts: nobody else may acknowledge")
    return Plan(will=tuple(lines), harms=True)


def _wanted(observed: Observed, view: ClusterView, operation: Restart) -> list[str]:
    """Whom it concerns: those that acknowledge nothing first, the primary last."""
    named = set(operation.uids) or {member.uid for member in view.members}
    running = [
        report
        for uid in named
        if (report := observed.keepers.get(uid)) is not None
        and report.state == "running"
        and report.start_id is not None
        and uid not in view.out
        and (report.pending_restart or not operation.pending)
    ]
    order = sorted(running, key=lambda r: (is_primary(view, r.uid), is_counted(view, r.uid), r.uid))
    return [report.uid for report in order]


def restart(observed: Observed, view: ClusterView, asked: Asked, operation: Restart) -> Decision:
    """The next step: the one under way is waited for, then the next one goes."""
    request = asked.request
    if not request.memo:
        starts = {uid: observed.keepers[uid].start_id for uid in _wanted(observed, view, operation)}
        asked = asked._replace(request=request.changed(memo=starts))
        request = asked.request
    part = _part(observed, request)
    if part is not None and part.is_open:
        return Decision(None, ())  # it tells its own progress; no write of ours gets in its way
    under_way = [uid for uid in request.memo if _is_under_way(observed, view, request.memo, uid)]
    if under_way:
        return _wait_for(observed, asked, under_way[0])
    if request.cancel is not None:
        return ended(
            observed, asked, "cancelled", f"cancelled by {request.cancel}: {_told_so_far(observed, asked)}"
        )
    waiting = [uid for uid in request.memo if _waits(observed, view, request.memo, uid)]
    if not waiting:
        back = [uid for uid in request.memo if _comes_back(observed, uid) and uid not in view.out]
        if back:
            return told(observed, asked, f"{', '.join(back)} comes back")
        return ended(observed, asked, "done", _told_so_far(observed, asked))
    if view.phase != "running":
        return Decision(None, ())
    uid = waiting[0]
    if is_primary(view, uid):
        return _by_a_switchover(observed, view, asked, uid)
    members = members_with(view, uid, restart=request.memo[uid])
    return Decision(
        changes(observed, asked, view, "restart", f"{uid} restarts, says {request.by}", members=members), ()
    )


def _by_a_switchover(observed: Observed, view: ClusterView, asked: Asked, uid: str) -> Decision:
    """The primary: a request of its own, made once, whose end is waited for."""
    request = asked.request
    part = _part(observed, request)
    if part is None:
        made = Request(
            id=_id_of_part(request),
            by=request.by,
            at=observed.now,
            term=view.term,
            operation=Switchover(),
            parent=request.id,
        )
        noted = request.told(f"another member takes over from {uid}: request {made.id}", observed.now)
        return Decision(None, (), updates=(update(asked, noted), RequestUpdate(made.id, 0, made)))
    how = "has ended" if part.state == "done" else f"has {part.state}"
    text = f"the switchover from {uid} {how}: {part.result}; {_told_so_far(observed, asked)}"
    return ended(observed, asked, "failed", text)


def _id_of_part(request: Request) -> str:
    return f"{request.id[:_ID_PART]}-switchover"


def _part(observed: Observed, request: Request) -> Request | None:
    """The switchover that a restart has asked for, if it has."""
    number = _id_of_part(request)
    return next((each.request for each in observed.requests if each.request.id == number), None)


def _wait_for(observed: Observed, asked: Asked, uid: str) -> Decision:
    start = asked.request.memo[uid]
    if observed.held(conditions.restarting(uid, start), LIMIT_S):
        text = f"{uid} has not come back within {LIMIT_S:g} s; the rest was left alone"
        return ended(observed, asked, "failed", text)
    report = observed.keepers.get(uid)
    how = f"its PostgreSQL is {report.state}" if report else "its keeper is out of sight"
    if report is not None and report.state == "running" and report.start_id != start:
        how = "it runs again, and catches up"
    return told(observed, asked, f"{uid} restarts: {how}")


def _is_under_way(observed: Observed, view: ClusterView, memo: dict[str, str], uid: str) -> bool:
    member = view.member(uid)
    return member is not None and member.restart == memo[uid] and not _is_back(observed, view, memo, uid)


def _is_back(observed: Observed, view: ClusterView, memo: dict[str, str], uid: str) -> bool:
    """Whether it runs in another start, and streams by its own word, too, or has become primary by then.

    The primary's evidence alone may be of the start before: it looks once in a while.
    """
    report = observed.keepers.get(uid)
    if report is None or report.state != "running" or report.start_id in {None, memo[uid]}:
        return False
    receives = report.upstream is not None and report.upstream.receiving
    return is_primary(view, uid) or (receives and any(life.uid == uid for life in observed.streaming))


def _waits(observed: Observed, view: ClusterView, memo: dict[str, str], uid: str) -> bool:
    """Whether it is still in the start in which it was found; who restarted for another cause is done."""
    member, report = view.member(uid), observed.keepers.get(uid)
    return member is not None and report is not None and report.start_id == memo[uid]


def _comes_back(observed: Observed, uid: str) -> bool:
    """Whether it is on its way between two starts: a primary that handed over becomes a standby."""
    report = observed.keepers.get(uid)
    return report is not None and report.state in {"stopping", "stopped", "starting"}


def _told_so_far(observed: Observed, asked: Asked) -> str:
    memo = asked.request.memo
    done = [uid for uid in memo if (r := observed.keepers.get(uid)) and r.start_id not in {None, memo[uid]}]
    return f"restarted: {', '.join(done) or 'nobody'}"
