"""Is this still the store that all knew, and what follows an operator's word that it is (protocol 2)? Pure.

Theory of operation. A sentinel is suspended by what it remembers itself, and by what any live keeper's report
contradicts: keepers remember on disk, so a sentinel that remembers nothing is no hole. While it is suspended
it decides nothing. An acceptance that still stands over the view is followed by one write, whose generation
lies above everything that anybody has obeyed:

    the view last obeyed by a keeper, as it was      when nobody knows a newer term
    the same, sealing, in a term above all others    when somebody does, or the primary is lost

The first goes on as if nothing had happened. The second lets the members' own histories decide, by the rules
of every failover (section 5); where the last primary's keeper could not be asked it needs the seal of every
other member, since a set of that primary may not be known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from common.model.identity import ACCEPT, Acceptance, Shown, StoreMemory, differences
from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.view import ClusterView, SyncMember, SyncSet
from common.status.documents import Documents
from sentinel.decide.observed import Change, Decision

GENERATION_STEP: Final = 100
"""How far the first generation lies above all that are known: whoever could not be asked follows as well."""


def relevant(documents: Documents) -> tuple[KeeperReport, ...]:
    """The keepers whose memory counts.

    One that holds data of another cluster remembers that cluster's store. It speaks for itself alone, unless
    nobody holds the data that the view names: then the view is the stranger.
    """
    keepers = tuple(documents.keepers.values())
    if documents.view is None:
        return keepers
    wanted = documents.view.system_identifier
    if not any(report.system_identifier == wanted for report in keepers):
        return keepers
    return tuple(report for report in keepers if report.system_identifier in {None, wanted})


def evidence(documents: Documents, shown: Shown) -> Iterator[str]:
    """What keepers remember that this store contradicts."""
    for report in relevant(documents):
        if report.store is not None:
            yield from _contradictions(report.uid, report.store, shown)


def _contradictions(uid: str, known: StoreMemory, shown: Shown) -> Iterator[str]:
    found = dict.fromkeys((*known.suspended, *differences(known, shown)))
    return (f"{uid} says: {each}" for each in found)


def unaccepted(documents: Documents, shown: Shown) -> Iterator[str]:
    """The part of the evidence that no acceptance in this store has answered.

    A keeper that an acceptance covers follows it by itself, and only has not come to that yet.
    """
    acceptance = shown.acceptance
    for report in relevant(documents):
        known = report.store
        covered = acceptance is not None and acceptance.counts(
            shown.store_id, shown.cluster_id, report.generation
        )
        if known is not None and not covered:
            yield from _contradictions(report.uid, known, shown)


def highest_generation(documents: Documents, memory: StoreMemory) -> int:
    """The highest that this sentinel or any live keeper has obeyed."""
    return max([memory.generation, *(report.generation for report in relevant(documents))])


def highest_term(documents: Documents, memory: StoreMemory) -> int:
    """The highest that this sentinel or any live keeper has obeyed or promised."""
    return max([memory.term, *(max(each.term, each.sealed_term) for each in relevant(documents))])


def nobody_serves(documents: Documents) -> tuple[Reason, ...]:
    """Say that there is no primary, where that is so, since nothing will be promoted."""
    if any(report.writable for report in documents.keepers.values()):
        return ()
    return (
        Reason(
            code="no_primary_while_suspended",
            severity="critical",
            text="no keeper reports a running primary, and nobody is promoted while the store is not trusted",
            fix=ACCEPT,
        ),
    )


def resumption(documents: Documents, shown: Shown, memory: StoreMemory, *, suspended: bool) -> Decision:
    """Follow an acceptance, once: it counts as long as no view lies above it."""
    acceptance, view = shown.acceptance, documents.view
    if acceptance is None or (acceptance.store_id, acceptance.cluster_id) != (
        shown.store_id,
        shown.cluster_id,
    ):
        return Decision(None, ())
    if view is not None and view.generation > acceptance.generation:
        return Decision(None, ())
    trusts_view = view is not None and not suspended
    moved_on = not trusts_view and documents.view_revision != acceptance.view_revision
    if moved_on or highest_generation(documents, memory) > acceptance.generation:
        return Decision(None, (_outdated(acceptance),))
    base = view if trusts_view else acceptance.view
    if base is None:
        return Decision(None, ())
    term = max(acceptance.term, highest_term(documents, memory))
    following = view_after(base, acceptance, term)
    text = f"{acceptance.by} has accepted etcd {acceptance.cluster_id}: generation {base.generation} of term "
    text += f"{base.term} is the newest that anybody obeyed"
    if following.phase == "sealing":
        text += f"; everybody seals for term {following.term}"
    return Decision(Change(following, "store_accepted", text, "store_accepted"), ())


def view_after(base: ClusterView, acceptance: Acceptance, term: int) -> ClusterView:
    """The first view in an accepted store; ``term`` is the highest that anybody knows."""
    generation = acceptance.generation + GENERATION_STEP
    named = base.primary or base.old_primary
    lost = bool(acceptance.without) and (
        base.primary is None or named is None or named.uid in acceptance.without
    )
    if term <= base.term and not lost:
        return base.changed(generation=generation)
    if base.phase == "initializing":
        return base.changed(generation=generation, term=max(term, base.term))
    fields: dict[str, Any] = {
        "generation": generation,
        "term": max(term, base.term) + 1,
        "phase": "sealing",
        "primary": None,
        "old_primary": named,
        "old_primary_may_start": base.old_primary_may_start or base.sync.lease_protects,
        "rebuild_beside": False,
        "route": None,
        "switching": None,
    }
    if lost:
        everybody = _all_others(base, acceptance.without, generation)
        fields["sync"] = base.sync.changed(pending=(*base.sync.pending, everybody))
    return base.changed(**fields)


def _all_others(base: ClusterView, without: tuple[str, ...], generation: int) -> SyncSet:
    """A set that is never applied: its quorum is every member that is left.

    Whoever acknowledged for the lost primary, in a set that no view known here names, is among them.
    """
    lives = frozenset(
        SyncMember(member.uid, member.incarnation)
        for member in base.members
        if member.incarnation and member.uid not in without
    )
    return SyncSet(id=generation, k=1, members=lives)


def _outdated(acceptance: Acceptance) -> Reason:
    return Reason(
        code="acceptance_outdated",
        severity="critical",
        text=f"the word of {acceptance.by} for this store does not count any more: a service remembers more "
        f"than generation {acceptance.generation}, or the view was written since",
        fix=f"{ACCEPT}, again",
    )
