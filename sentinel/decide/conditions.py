"""Which conditions hold now. The service measures for how long each has held without a break.

Durations are thus values that go into a decision; nothing in the core asks a clock.
"""

from __future__ import annotations

from common.model.view import ClusterView, SyncMember
from sentinel.decide.durability import allowed_members
from sentinel.decide.observed import Observed


def sealing(term: int) -> str:
    """The phase of that name, in a term."""
    return f"sealing:{term}"


def promoting(term: int) -> str:
    """A primary is named and not yet confirmed, in a term."""
    return f"promoting:{term}"


def initializing(uid: str) -> str:
    """A keeper is asked to create the first data directory."""
    return f"initializing:{uid}"


def keeper_gone(uid: str) -> str:
    """A member has no live report."""
    return f"keeper_gone:{uid}"


def not_streaming(member: SyncMember) -> str:
    """The primary's evidence says that this life of a member does not stream."""
    return f"not_streaming:{member.uid}:{member.incarnation}"


def pending(set_id: int) -> str:
    """A change of the sync set is under way."""
    return f"pending:{set_id}"


TOO_FEW = "too_few_streaming"
"""Fewer allowed standbys stream than must acknowledge."""


COMMITS_WAIT = "commits_wait"
"""Fewer members of the set in force stream than must acknowledge."""


def current_conditions(observed: Observed) -> frozenset[str]:
    """Name every condition that is true at this instant."""
    view = observed.view
    if view is None:
        return frozenset()
    found = {keeper_gone(member.uid) for member in view.members if member.uid not in observed.keepers}
    if view.phase == "sealing":
        found.add(sealing(view.term))
    if view.phase == "promoting":
        found.add(promoting(view.term))
    if view.phase == "initializing" and view.primary:
        found.add(initializing(view.primary.uid))
    return frozenset(found | _of_the_sync_set(observed, view))


def _of_the_sync_set(observed: Observed, view: ClusterView) -> set[str]:
    report = observed.primary_report
    if report is None or not report.writable:
        return set()
    found = {pending(change.id) for change in view.sync.pending}
    for each in view.sync.in_force:
        found |= {not_streaming(member) for member in each.members - observed.streaming}
    allowed = {member for member in observed.streaming if member.uid in allowed_members(observed)}
    if len(allowed) < observed.spec.durability.acks:
        found.add(TOO_FEW)
    if len(view.sync.target.members & observed.streaming) < view.sync.target.k:
        found.add(COMMITS_WAIT)
    return found
