"""What the operations on one member have in common: who it is, and how it leaves the sync set first."""

from __future__ import annotations

from typing import Any

from common.model.requests import Asked
from common.model.view import ClusterView, Member
from sentinel.decide.durability import allowed_members
from sentinel.decide.observed import Decision, Observed
from sentinel.decide.operations.answers import Plan, told


def unknown(view: ClusterView, uid: str) -> str:
    """That there is no such member, with the names that there are; empty where there is one."""
    if view.member(uid) is not None:
        return ""
    return f"{uid} is no member of the cluster; its members are {', '.join(m.uid for m in view.members)}"


def not_now(view: ClusterView, uid: str) -> Plan | None:
    """Why nothing can be done to a member at this moment, whatever it is; None where it can."""
    if text := unknown(view, uid):
        return Plan(refused=text)
    if view.phase != "running":
        return Plan(refused=f"the cluster is {view.phase}: ask again once writers have a route")
    return None


def is_primary(view: ClusterView, uid: str) -> bool:
    """Whether the view names it primary."""
    return view.primary is not None and view.primary.uid == uid


def members_with(view: ClusterView, uid: str, **fields: Any) -> tuple[Member, ...]:
    """The members, one of them changed."""
    return tuple(member.changed(**fields) if member.uid == uid else member for member in view.members)


def is_counted(view: ClusterView, uid: str) -> bool:
    """Whether a member is in a sync set in force: a failover may need it."""
    return any(member.uid == uid for each in view.sync.in_force for member in each.members)


def can_leave(observed: Observed, view: ClusterView, uid: str) -> bool:
    """Whether enough others stream that may acknowledge, so that it leaves the sync set at once."""
    gone = observed.leaving | {uid}
    allowed = allowed_members(observed)
    others = {each for each in observed.streaming if each.uid in allowed and each.uid not in gone}
    return view.sync.target.k == 0 or len(others) >= max(1, observed.spec.durability.wanted_acks)


def leaves_first(observed: Observed, view: ClusterView, asked: Asked, uid: str) -> Decision | None:
    """Wait until a member is in no sync set; None once it is in none, or nobody could take its place.

    The change itself is made by the rules of section 6, which know who is leaving.
    """
    if not is_counted(view, uid) or not can_leave(observed, view, uid):
        return None
    return told(observed, asked, f"{uid} leaves the sync set first")
