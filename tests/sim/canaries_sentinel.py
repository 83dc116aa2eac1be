"""Bugs of a sentinel: in its transaction, in whom it chooses, and in how it changes the sync set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from common.model import lineage
from common.model.view import ClusterView, Fenced, SyncMember, SyncSet, SyncState
from common.model.wal import ZERO, Lsn
from common.store.port import Compare, Delete, Outcome, Put, Store
from sentinel.decide import candidates, choice, failover, routing, sealing, sync_set
from sentinel.decide.observed import Change, Decision, Observed
from sentinel.leadership import LeaderWriter
from tests.sim.canaries import SETS, Canary, attribute, function

# The transaction.


class _Careless:
    """A store that forgets to compare one key."""

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = key

    async def transact(self, compares: Sequence[Compare], writes: Sequence[Put | Delete]) -> Outcome:
        return await self._store.transact([each for each in compares if each.key != self._key], writes)


def _writing_without(key_of: str) -> Any:
    original = LeaderWriter.write

    async def write(self: LeaderWriter, change: Change, **given: Any) -> int:
        careless = LeaderWriter(self._store, self._keys, self._uid)
        careless._store = _Careless(self._store, getattr(self._keys, key_of))  # type: ignore[assignment]
        return await original(careless, change, **given)

    return attribute(LeaderWriter, "write", write)


# Who is promoted.

_choose_primary, _name_primary = choice.choose_primary, failover.name_primary


def _choose_without_pending(observed: Observed, view: ClusterView) -> Any:
    return _choose_primary(observed, view.changed(sync=SyncState(current=view.sync.current)))


def _choose_without_floor(observed: Observed, view: ClusterView) -> Any:
    return _choose_primary(observed, view.changed(floor=ZERO))


def _choose_as_if_sealed(observed: Observed, view: ClusterView) -> Any:
    """Take the old primary that an agent has switched off for one that has sealed."""
    sealed, old = candidates.sealed_candidates(observed, view), view.old_primary
    if sealed and old is not None and Fenced(old.uid, view.term) in view.fenced:
        return choice._among_the_safe(observed, view, sealed, choice._least(view, sealed), waited=True)
    return _choose_primary(observed, view)


def _lower_quorum(each: SyncSet) -> int:
    return max(0, len(each.members) - each.k)


def _missing_by_name(each: SyncSet, present: frozenset[SyncMember]) -> int:
    if each.k == 0 or not sealing.may_have_acknowledged(each):
        return 0
    names = {member.uid for member in present}
    return max(0, each.quorum - sum(member.uid in names for member in each.members))


def _name_with_next_timeline(observed: Observed, view: ClusterView, chosen_by: Any, chosen: Any) -> Change:
    """Number the timeline as PostgreSQL would: one more than the candidate's own."""
    change = _name_primary(observed, view, chosen_by, chosen)
    named, timeline = change.view, chosen.position.timeline + 1
    assert named.primary is not None
    last = named.lineage[-1].changed(timeline=timeline)
    primary = named.primary.changed(timeline=timeline)
    return replace(change, view=named.changed(primary=primary, lineage=(*named.lineage[:-1], last)))


class _ByLsn:
    """Judges positions by the LSN alone."""

    def __init__(self) -> None:
        self._planted = (
            function(lineage.agreed_until, _lsn_of, within="sentinel"),
            function(lineage.contains, _is_as_far, within="sentinel"),
            function(lineage.can_be_extended, _always, within="sentinel"),
        )

    def __enter__(self) -> None:
        for each in self._planted:
            each.__enter__()

    def __exit__(self, *_: object) -> None:
        for each in reversed(self._planted):
            each.__exit__(None, None, None)


def _lsn_of(position: lineage.Position, _: object) -> Lsn:
    return position.lsn


def _is_as_far(position: lineage.Position, _: object, point: Lsn) -> bool:
    return position.lsn >= point


def _always(*_: object) -> bool:
    return True


# The sync set.

_next_sync_set = sync_set.next_sync_set


def _write_current_at_once(observed: Observed, view: ClusterView) -> Decision:
    """What should be pending until PostgreSQL has applied it is in force at once."""
    decision = _next_sync_set(observed, view)
    change = decision.change
    if change is None or change.kind != "sync_set_pending":
        return decision
    known = change.view.changed(sync=SyncState(current=change.view.sync.target))
    return replace(decision, change=replace(change, view=known))


def _overwrite_pending(observed: Observed, view: ClusterView) -> Decision:
    decision = _next_sync_set(observed, view)
    change = decision.change
    if change is None or change.kind != "sync_set_pending":
        return decision
    only = change.view.sync.changed(pending=(change.view.sync.target,))
    return replace(decision, change=replace(change, view=change.view.changed(sync=only)))


def _take_any_term(observed: Observed, view: ClusterView) -> Decision:
    """Believe what a primary says of a sync set, in whichever term, and of whichever set."""
    report = observed.primary_report
    if report is not None and report.sync is not None and report.sync.term != view.term:
        said = report.sync.changed(term=view.term, applied=view.sync.target.id)
        as_if = report.model_copy(update={"sync": said})
        observed = replace(observed, keepers={**observed.keepers, report.uid: as_if})
    return _next_sync_set(observed, view)


# The route.

_route_for = routing.route_for


def _route_unconfirmed(observed: Observed, view: ClusterView) -> Decision:
    report = observed.primary_report
    if report is not None and report.sync is not None:
        ids = tuple(each.id for each in view.sync.in_force)
        as_if = report.model_copy(update={"sync": report.sync.changed(confirmed=ids)})
        observed = replace(observed, keepers={**observed.keepers, report.uid: as_if})
    return _route_for(observed, view)


CANARIES: Final = (
    Canary(
        "skip_leader_compare",
        "the view is written without comparing the leader key: a deposed leader writes too",
        frozenset({"I1"}),
        lambda: _writing_without("leader"),
    ),
    Canary(
        "skip_view_compare",
        "the view is written without comparing the view: what was written meanwhile is overwritten",
        frozenset({"I1"}),
        lambda: _writing_without("view"),
    ),
    Canary(
        "quorum_one_too_low",
        "one seal less than |S| - k + 1 is enough",
        SETS,
        lambda: attribute(SyncSet, "quorum", property(_lower_quorum)),
    ),
    Canary(
        "forget_pending_in_quorum",
        "only the current set's quorum is asked for, not those of the pending ones",
        SETS,
        lambda: function(_choose_primary, _choose_without_pending),
    ),
    Canary(
        "count_recloned_as_in_sync",
        "a member of a set counts by its name, whichever life it is in",
        SETS,
        lambda: function(sealing.missing_for, _missing_by_name),
    ),
    Canary(
        "fenced_counts_as_sealed",
        "a fence agent's success counted as a seal: nobody else of the sets need have sealed",
        SETS,
        lambda: function(_choose_primary, _choose_as_if_sealed),
    ),
    Canary(
        "drop_the_floor",
        "a candidate need not hold what earlier terms have acknowledged",
        SETS,
        lambda: function(_choose_primary, _choose_without_floor),
    ),
    Canary(
        "choose_by_lsn",
        "positions are compared by LSN without looking at the lineage",
        SETS | {"I9"},
        _ByLsn,
    ),
    Canary(
        "timeline_number_twice",
        "a promotion takes the candidate's timeline number plus one, whoever else has had it",
        frozenset({"I9", "crash"}),
        lambda: function(_name_primary, _name_with_next_timeline),
    ),
    Canary(
        "store_before_postgres",
        "a new sync set counts as current in the store before PostgreSQL has applied it",
        SETS,
        lambda: function(_next_sync_set, _write_current_at_once),
    ),
    Canary(
        "overwrite_pending",
        "a further change of the sync set replaces the pending one",
        SETS,
        lambda: function(_next_sync_set, _overwrite_pending),
    ),
    Canary(
        "adopt_report_of_old_term",
        "that a primary has applied a set in an earlier term counts as its word for this one's",
        SETS | {"I7"},
        lambda: function(_next_sync_set, _take_any_term),
    ),
    Canary(
        "route_unconfirmed",
        "clients are routed to a primary whose first record nobody has confirmed",
        frozenset({"I7", "I3"}),
        lambda: function(_route_for, _route_unconfirmed),
    ),
)
