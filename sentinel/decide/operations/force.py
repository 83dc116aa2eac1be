"""A failover that may lose acknowledged commits, because an operator says so (protocol, section 5).

It is refused as long as one without loss may still come about, and until somebody has said of the old
primary, and of each member whose seal is missing, that it is off. These are kept down in the same write: what
they have beyond the new primary is the last copy of it, and stays until pgha unfence.
"""

from __future__ import annotations

from typing import Any

from common.model.requests import Asked, Force
from common.model.view import ClusterView, Forced
from common.model.wal import ZERO
from sentinel.decide.choice import choose_primary
from sentinel.decide.detection import judge_primary
from sentinel.decide.forcing import must_be_off
from sentinel.decide.observed import Decision, Observed
from sentinel.decide.operations.answers import Plan, changes, ended, told
from sentinel.decide.operations.members import unknown
from sentinel.decide.sealing import is_sealed, live_members, standbys_suffice


def plan_force(observed: Observed, view: ClusterView, operation: Force) -> Plan:
    """What would be lost, by what evidence, or why it is refused."""
    named = [*operation.off, *([operation.to] if operation.to is not None else [])]
    for uid in named:
        if text := unknown(view, uid):
            return Plan(refused=text)
    if view.phase == "initializing":
        return Plan(refused="the cluster has no data yet")
    if text := _why_not_needed(observed, view):
        return Plan(refused=text)
    candidates = sorted({member.uid for member in live_members(observed)} - set(operation.off))
    if operation.to is not None and operation.to not in candidates:
        return Plan(refused=f"{operation.to} does not live, or is said to be off: it cannot be promoted")
    if not candidates:
        return Plan(refused="no member lives that could be promoted: start the keeper of one on its data")
    evidence = tuple(_evidence(observed, view, uid) for uid in candidates)
    for uid in operation.off:
        report = observed.keepers.get(uid)
        if report is not None and report.state in {"running", "starting"}:
            return Plan(refused=f"{uid} is not off: its keeper says that its PostgreSQL is {report.state}")
    missing = [uid for uid in must_be_off(observed, view) if uid not in operation.off]
    if missing:
        words = " ".join(f"--off {uid}" for uid in missing)
        return Plan(
            refused=f"{', '.join(missing)} could still acknowledge commits, or may hold some that nobody "
            f"else has: start them, or switch their hosts off and say so with {words}. " + "; ".join(evidence)
        )
    off = ", ".join(operation.off) or "nobody"
    return Plan(
        will=(
            *evidence,
            _last_of_the_primary(observed, view),
            f"{operation.to or 'the furthest of them'} is promoted",
            "what others acknowledged beyond its position is lost, and the history says so",
            f"kept down, with their data, until pgha unfence: {off}",
        ),
        harms=True,
    )


def _why_not_needed(observed: Observed, view: ClusterView) -> str:
    """Why no failover has to be forced now; empty where nothing else helps."""
    if view.phase == "sealing":
        chosen = choose_primary(observed, view).candidate
        if chosen is not None:
            return f"{chosen.uid} is being promoted without any loss"
        if not view.sync.lease_protects and standbys_suffice(observed, view, view.old_primary):
            waiting = [uid for uid in sorted(observed.keepers) if not _sealed(observed, uid)]
            return f"enough members live for a failover without loss; not sealed yet: {', '.join(waiting)}"
        return ""
    uid = view.primary.uid if view.primary else ""
    report = observed.primary_report
    if report is not None and report.writable and not report.hanging:
        return f"{uid} is primary, and its keeper says that it runs"
    if not view.sync.lease_protects and standbys_suffice(observed, view, view.primary):
        verdict = judge_primary(observed)
        why = f" ({verdict.reason.text})" if verdict.reason else ""
        return f"enough members live for a failover without loss{why}: pgha failover --continue, or wait"
    return ""


def _sealed(observed: Observed, uid: str) -> bool:
    return is_sealed(observed, observed.keepers[uid])


def _evidence(observed: Observed, view: ClusterView, uid: str) -> str:
    """Where a candidate ends, and by whose word."""
    report = observed.keepers[uid]
    site = observed.site_of(uid)
    if report.seal is not None and _sealed(observed, uid):
        where, how = report.seal.lsn, f"its seal of term {view.term}"
    else:
        where, how = report.lsn, f"its report of {report.reported_at:%H:%M:%S %Z}"
    short = max(0, view.floor - where)
    lacks = f"it lacks {short} bytes that are known to be acknowledged" if short else "it holds the floor"
    return f"{uid} ({site}) ends at {where}, by {how}; {lacks}"


def _last_of_the_primary(observed: Observed, view: ClusterView) -> str:
    """What is known of where the old primary ended."""
    old = view.primary or view.old_primary
    if old is None:
        return "nobody was primary"
    report, who = observed.keepers.get(old.uid), f"{old.uid} ({observed.site_of(old.uid)})"
    last = view.old_primary_last.lsn if view.old_primary_last else report.lsn if report else ZERO
    if not last:
        return f"where {who} ended is not known: it may have acknowledged any number of commits"
    return f"{who} was at {last} when it last said so"


def force(observed: Observed, view: ClusterView, asked: Asked, operation: Force) -> Decision:
    """Note the word, and end the term where it has not ended; then wait for the route of the new primary."""
    request = asked.request
    if request.state == "running":
        if view.phase == "running" and view.primary is not None:
            text = f"{view.primary.uid} is primary of term {view.term}, from {view.primary.fork} on"
            return ended(observed, asked, "done", text)
        return told(observed, asked, f"the cluster is {view.phase}, in term {view.term}")
    forced = Forced(word=request.word, off=frozenset(operation.off), to=operation.to)
    members = tuple(
        member.changed(kept_down=request.word) if member.uid in forced.off else member
        for member in view.members
    )
    off = ", ".join(sorted(forced.off)) or "nobody"
    text = f"{request.by} takes the loss of what others acknowledged, and says that {off} is off"
    fields: dict[str, Any] = {"forced": forced, "members": members}
    if view.phase != "sealing":
        old = view.primary
        fields |= {
            "term": view.term + 1,
            "phase": "sealing",
            "primary": None,
            "old_primary": old,
            "old_primary_may_start": True,
            "old_primary_last": observed.last_report_of(old) if old is not None else None,
            "rebuild_beside": False,
            "route": None,
        }
    return Decision(changes(observed, asked, view, "failover_forced", text, **fields), ())
