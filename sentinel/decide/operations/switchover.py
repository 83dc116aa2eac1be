"""A switchover: what it would do, and how it begins (protocol, section 8).

Once it has begun, the view alone carries it: see :mod:`sentinel.decide.switching`.
"""

from __future__ import annotations

from common.model.requests import Asked, Switchover
from common.model.units import format_duration
from common.model.view import ClusterView, Member, Switching, SyncMember
from sentinel.decide.observed import Decision, Observed
from sentinel.decide.operations.answers import Plan, changes, ended
from sentinel.decide.targets import choose_target, would_acknowledge


def plan_switchover(observed: Observed, view: ClusterView, operation: Switchover) -> Plan:
    """What a switchover would do now, or why there can be none."""
    if operation.to is not None and operation.site is not None:
        return Plan(
            refused=f"to = {operation.to!r} and site = {operation.site!r}: only one of them can be given"
        )
    named = view.primary
    if (
        operation.to is not None
        and named is not None
        and operation.to == named.uid
        and view.route is not None
    ):
        return Plan(already=f"{named.uid} is the primary already")
    if view.switching is not None:
        return Plan(refused=f"a switchover to {view.switching.target.uid} is under way")
    target = choose_target(observed, view, to=operation.to, site=operation.site)
    if target.member is None or named is None:
        return Plan(refused=target.refused)
    uid, drain = target.member.uid, format_duration(drain_s(observed, operation))
    return Plan(
        will=(
            _preparation(observed, named.uid, target.member),
            f"new clients wait; sessions have {drain} to end, or are ended",
            f"{named.uid} stops in order, {uid} becomes primary with all of its WAL, in term {view.term + 1}",
            f"{named.uid} follows {uid} as a standby",
            *_warnings(observed, view, uid),
        ),
        harms=True,
    )


def _preparation(observed: Observed, uid: str, target: Member) -> str:
    return (
        f"{uid} on site {observed.site_of(uid)} makes checkpoints until {target.uid} on site {target.site} "
        "is close behind"
    )


def _warnings(observed: Observed, view: ClusterView, uid: str) -> tuple[str, ...]:
    """What gets worse by it."""
    found = []
    wanted, left = observed.spec.durability.wanted_acks, would_acknowledge(observed, view, uid)
    if len(left) < wanted:
        names = ", ".join(sorted(left)) or "nobody"
        found.append(
            f"warning: {wanted} should acknowledge for {uid}, and there would be {len(left)}: {names}"
        )
    copies = [each.uid for each in observed.keepers.values() if each.state in {"cloning", "rewinding"}]
    if copies:
        found.append(f"warning: work on the data of {', '.join(sorted(copies))} begins anew, from {uid}")
    return tuple(found)


def drain_s(observed: Observed, operation: Switchover) -> float:
    """How long sessions may go on: as asked for, else as the spec says."""
    return observed.spec.timings.drain_timeout_s if operation.drain_s is None else operation.drain_s


def switchover(observed: Observed, view: ClusterView, asked: Asked, operation: Switchover) -> Decision:
    """Begin it: one write, after which it is in the view. Later there is nothing to be done here."""
    request = asked.request
    if request.state == "running":
        if view.switching is not None and view.switching.request == request.id:
            return Decision(None, ())
        return ended(
            observed, asked, "failed", "it is not in the view any more: another one has taken its place"
        )
    target = choose_target(observed, view, to=operation.to, site=operation.site)
    if target.member is None or target.member.incarnation is None:
        return ended(observed, asked, "failed", target.refused)
    life = SyncMember(target.member.uid, target.member.incarnation)
    attempt = Switching(
        id=view.generation + 1, request=request.id, target=life, drain_s=drain_s(observed, operation)
    )
    old = view.primary.uid if view.primary else ""
    text = f"switchover from {old} to {life.uid}: {old} prepares"
    return Decision(changes(observed, asked, view, "switchover_begun", text, switching=attempt), ())
