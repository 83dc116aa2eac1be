"""Which conditions hold now. The service measures for how long each has held without a break.

Durations are thus values that go into a decision; nothing in the core asks a clock.
"""

from __future__ import annotations

from common.model.view import ClusterView, Switching, SyncMember
from sentinel.decide.durability import allowed_members
from sentinel.decide.observed import Observed
from sentinel.decide.standbys import standbys_apart, starving


def sealing(term: int) -> str:
    """The phase of that name, in a term."""
    return f"sealing:{term}"


def promoting(term: int) -> str:
    """A primary is named and not yet confirmed, in a term."""
    return f"promoting:{term}"


def named(term: int) -> str:
    """Somebody is named primary, confirmed or not, in a term that follows damped failovers."""
    return f"named:{term}"


def running(term: int) -> str:
    """The route has been set, in a term that follows damped failovers."""
    return f"running:{term}"


def attempt(attempt_id: int, phase: str) -> str:
    """An attempt at a switchover is in a phase."""
    return f"attempt:{attempt_id}:{phase}"


def shut_down(attempt_id: int) -> str:
    """The primary has shut down in order for an attempt at a switchover."""
    return f"shut_down:{attempt_id}"


def initializing(uid: str) -> str:
    """A keeper is asked to create the first data directory."""
    return f"initializing:{uid}"


def keeper_gone(uid: str) -> str:
    """A member has no live report."""
    return f"keeper_gone:{uid}"


def lease_over(uid: str) -> str:
    """Nothing but its lease protects the commits of a primary, and its keeper has no live report.

    Apart from :func:`keeper_gone`, since this one begins anew after a gap: the keeper may have come back and
    gone again unseen, and the wait counts from its last lease.
    """
    return f"lease_over:{uid}"


def wal_lost(uid: str, term: int) -> str:
    """It is known what a primary of that term had beyond what its successor has."""
    return f"wal_lost:{uid}:{term}"


def outlasts_gaps(condition: str) -> bool:
    """Whether a condition goes on counting after a time in which nobody saw the cluster.

    ``remove_after`` is days, and each outage of the store, however short, would begin it anew.
    """
    return condition.startswith(keeper_gone(""))


def not_streaming(member: SyncMember) -> str:
    """The primary's evidence says that this life of a member does not stream."""
    return f"not_streaming:{member.uid}:{member.incarnation}"


def starved(member: SyncMember) -> str:
    """The primary no longer has the WAL that this life of a member needs next."""
    return f"starved:{member.uid}:{member.incarnation}"


def apart(uid: str) -> str:
    """A member whose keeper lives does not stream, on the primary's own evidence."""
    return f"apart:{uid}"


def restarting(uid: str, start_id: str) -> str:
    """A member whose PostgreSQL shall restart is not back: not in another start, or not streaming."""
    return f"restarting:{uid}:{start_id}"


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
    found |= _restarting(observed, view)
    found |= {wal_lost(each.uid, each.term) for each in view.forsaken if each.lost_bytes}
    under_lease = view.primary or view.old_primary if view.sync.lease_protects else None
    if under_lease is not None and under_lease.uid not in observed.keepers:
        found.add(lease_over(under_lease.uid))
    if view.phase == "sealing":
        found.add(sealing(view.term))
    if view.phase == "promoting":
        found.add(promoting(view.term))
    if view.damped and view.primary is not None:
        found.add(named(view.term))
    if view.damped and view.phase == "running":
        found.add(running(view.term))
    if view.switching is not None:
        found |= _of_the_switchover(observed, view, view.switching)
    if view.phase == "initializing" and view.primary:
        found.add(initializing(view.primary.uid))
    return frozenset(found | _of_the_sync_set(observed, view))


def _restarting(observed: Observed, view: ClusterView) -> set[str]:
    streaming = {member.uid for member in observed.streaming}
    return {
        restarting(member.uid, member.restart)
        for member in view.members
        if member.restart is not None
        and (
            (report := observed.keepers.get(member.uid)) is None
            or report.start_id in {None, member.restart}
            or member.uid not in streaming
        )
    }


def _of_the_switchover(observed: Observed, view: ClusterView, under_way: Switching) -> set[str]:
    report = observed.primary_report
    said = report.switching if report is not None else None
    found = {attempt(under_way.id, view.phase)}
    if said is not None and said.id == under_way.id and said.shut_down is not None:
        found.add(shut_down(under_way.id))
    return found


def _of_the_sync_set(observed: Observed, view: ClusterView) -> set[str]:
    report = observed.primary_report
    if report is None or not report.writable:
        return set()
    found = {pending(change.id) for change in view.sync.pending}
    found |= {apart(report.uid) for report in standbys_apart(observed, view)}
    found |= {starved(member) for member in starving(observed, view, report)}
    for each in view.sync.in_force:
        found |= {not_streaming(member) for member in each.members - observed.streaming}
    uids = allowed_members(observed)
    allowed = {member for member in observed.streaming if member.uid in uids}
    if len(allowed) < observed.spec.durability.acks:
        found.add(TOO_FEW)
    if len(view.sync.target.members & observed.streaming) < view.sync.target.k:
        found.add(COMMITS_WAIT)
    return found
