"""Which members may acknowledge for a primary, as the spec's durability says (protocol, section 6)."""

from __future__ import annotations

from typing import Literal

from common.model.view import SyncMember
from sentinel.decide.observed import Observed


def survive(observed: Observed) -> Literal["site", "node"]:
    """Return what the cluster is to survive: as the spec says, else by where its members stand."""
    wanted = observed.spec.durability.survive
    if wanted is not None:
        return wanted
    members = observed.view.members if observed.view else ()
    return "site" if len({member.site for member in members}) > 1 else "node"


def allowed_members(observed: Observed, primary_uid: str | None = None) -> frozenset[str]:
    """The uids that durability lets into the sync set of a primary (the view's unless another is given)."""
    view = observed.view
    uid = primary_uid or (view.primary.uid if view and view.primary else None)
    if view is None or uid is None:
        return frozenset()
    others = [member for member in view.members if member.uid != uid]
    if survive(observed) == "site":
        home = observed.site_of(uid)
        others = [member for member in others if member.site != home]
    return frozenset(member.uid for member in others)


def sync_set_of_the_sealed(
    observed: Observed, primary_uid: str, sealed: frozenset[SyncMember]
) -> tuple[frozenset[SyncMember], int]:
    """The members and ``k`` that a newly named primary begins with (protocol 5.3).

    ``sealed`` are the members with live leases whose data lie in the new lineage. ``degrade`` takes
    members of the primary's own site where the others are too few, then asks for fewer of them. It asks for
    nobody only where no other member lives: one that does is given ``degrade_after`` to stream.
    """
    durability = observed.spec.durability
    if durability.mode == "async":
        return frozenset(), 0
    others = frozenset(member for member in sealed if member.uid != primary_uid)
    wanted = frozenset(member for member in others if member.uid in allowed_members(observed, primary_uid))
    if len(wanted) >= durability.acks or durability.mode == "strict":
        return wanted, durability.acks
    least = 1 if others or observed.keepers.keys() - {primary_uid} else 0
    return others, max(least, min(durability.acks, len(others)))
