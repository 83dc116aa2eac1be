"""When sentinels stand still, and what follows an operator's word."""

from __future__ import annotations

from typing import Any

import pytest

from common.model.identity import Acceptance, Shown, ShownView, StoreMemory
from common.model.view import ClusterView, SyncMember
from common.status.documents import Documents
from sentinel.decide.observed import Decision
from sentinel.decide.suspension import GENERATION_STEP, evidence, nobody_serves, resumption, unaccepted
from tests.support.builders import SANDUN_1, SANDUN_2, SHIQIAO_1, SHIQIAO_2, keeper, running_view
from tests.support.healthy import INCARNATIONS, NOW, TERM, UIDS, documents

GENERATION = 17
OLD = running_view(generation=9, term=TERM - 1)
MEMORY = StoreMemory(store_id="s", cluster_id="old", generation=GENERATION, term=TERM)


def shown(view: ClusterView | None = OLD, **fields: Any) -> Shown:
    """The restored store."""
    seen = ShownView(view.generation, view.term, "d") if view else None
    return Shown(**({"store_id": "s", "cluster_id": "new", "view": seen} | fields))


def restored(view: ClusterView | None = OLD, **reports: Any) -> Documents:
    """The documents in it: the old view, and keepers that remember more."""
    keepers = {uid: keeper(uid, store=MEMORY, **reports) for uid in UIDS}
    return documents(view=view, view_revision=5, keepers=keepers)


def word(**fields: Any) -> Acceptance:
    whole: dict[str, Any] = {
        "by": "op",
        "at": NOW,
        "store_id": "s",
        "cluster_id": "new",
        "generation": GENERATION,
        "term": TERM,
        "view": running_view(),
        "view_revision": 5,
    }
    return Acceptance.model_validate(whole | fields)


def follow(
    acceptance: Acceptance, found: Documents | None = None, memory: StoreMemory | None = None
) -> Decision:
    found = found or restored()
    seen = shown(found.view, acceptance=acceptance)
    return resumption(found, seen, memory or StoreMemory(), suspended=True)


def test_a_sentinel_that_remembers_nothing_hears_it_from_any_keeper() -> None:
    """One keeper is enough, and each says what it knew."""
    found = restored()
    one = documents(view=OLD, keepers={SANDUN_2: found.keepers[SANDUN_2]})

    assert list(evidence(one, shown())) == [
        f"{SANDUN_2} says: etcd cluster id new instead of old",
        f"{SANDUN_2} says: generation 9, but generation {GENERATION} was obeyed",
    ]


def test_what_a_keeper_was_suspended_for_counts_also_when_it_cannot_be_seen_any_more() -> None:
    """A revision that went back is seen by those alone who were there."""
    memory = StoreMemory(suspended=("etcd went back to revision 5",))
    found = documents(keepers={SANDUN_1: keeper(SANDUN_1, store=memory)})

    assert list(evidence(found, shown(running_view()))) == [f"{SANDUN_1} says: etcd went back to revision 5"]


def test_what_an_acceptance_covers_is_over_as_soon_as_the_keeper_has_come_to_it() -> None:
    """Only what nobody has answered yet must be remembered beyond the keeper that says it."""
    late = documents(view=OLD, keepers={SANDUN_1: keeper(SANDUN_1, store=MEMORY, generation=GENERATION)})
    later = documents(view=OLD, keepers={SANDUN_1: keeper(SANDUN_1, store=MEMORY, generation=GENERATION + 1)})

    assert list(unaccepted(late, shown())) == list(evidence(late, shown()))
    assert not list(unaccepted(late, shown(acceptance=word())))
    assert list(unaccepted(later, shown(acceptance=word())))
    assert list(unaccepted(late, shown(acceptance=word(cluster_id="another"))))


def test_a_keeper_with_the_data_of_another_cluster_suspends_nobody_else() -> None:
    """It remembers that cluster's store; unless nobody has the data that the view names."""
    stranger = keeper(SHIQIAO_2, store=MEMORY, system_identifier="1")
    beside = documents(view=OLD, keepers={SANDUN_1: keeper(SANDUN_1), SHIQIAO_2: stranger})
    alone = documents(view=OLD, keepers={SHIQIAO_2: stranger})

    assert list(evidence(beside, shown())) == []
    assert list(evidence(alone, shown())) != []


def test_without_a_running_primary_it_is_said_that_nobody_is_promoted() -> None:
    """With the command that ends it."""
    down = documents(keepers={SANDUN_1: keeper(SANDUN_1, state="down", role=None)})

    assert nobody_serves(documents(keepers={SANDUN_1: keeper(SANDUN_1)})) == ()
    assert nobody_serves(down)[0].fix == "pgha resume --accept-restored-store"


def test_the_newest_kept_view_goes_on_as_it_was_above_all_generations() -> None:
    """In its term, with its route, sets and lineage: nobody restarts."""
    change = follow(word()).change

    assert change is not None
    assert change.view == running_view(generation=GENERATION + GENERATION_STEP)
    assert change.kind == "store_accepted"
    assert "op" in change.text


def test_a_newer_term_that_anybody_knows_makes_all_seal_above_it() -> None:
    """A proxy of an earlier cluster of that name, for example; the primary can then be named again."""
    change = follow(word(term=50)).change

    assert change is not None
    view = change.view
    assert (view.term, view.phase, view.primary, view.route) == (51, "sealing", None, None)
    assert view.old_primary == running_view().primary
    assert view.sync == running_view().sync


def test_a_seal_that_a_live_keeper_reports_counts_as_a_term_that_it_knows() -> None:
    """Also one that has been made since the operator looked."""
    change = follow(word(), restored(sealed_term=TERM + 3)).change

    assert change is not None
    assert change.view.term == TERM + 4


def test_without_the_last_primary_every_other_member_must_seal() -> None:
    """A set that only the lost primary knew may have acknowledged: whoever was in it is among them."""
    change = follow(word(without=(SANDUN_1,))).change

    assert change is not None
    [everybody] = change.view.sync.pending
    assert everybody.members == {SyncMember(uid, INCARNATIONS[uid]) for uid in UIDS if uid != SANDUN_1}
    assert everybody.quorum == len(everybody.members)
    assert change.view.sync.current == running_view().sync.current
    assert (change.view.phase, change.view.term) == ("sealing", TERM + 1)


def test_losing_a_standby_costs_no_new_term() -> None:
    """Only the primary can have applied a set that nobody else knows."""
    change = follow(word(without=(SHIQIAO_1,))).change

    assert change is not None
    assert change.view.term == TERM


def test_an_acceptance_is_followed_once() -> None:
    """A view above it is what followed."""
    after = restored(running_view(generation=GENERATION + GENERATION_STEP))

    assert follow(word(), after) == Decision(None, ())


@pytest.mark.parametrize("fields", [{"cluster_id": "x"}, {"store_id": "x"}], ids=["cluster id", "store-id"])
def test_an_acceptance_of_another_store_is_not_followed(fields: dict[str, str]) -> None:
    """It may be an old one."""
    assert follow(word(**fields)) == Decision(None, ())


@pytest.mark.parametrize(
    ("acceptance", "memory"),
    [
        (word(view_revision=6), None),
        (word(generation=GENERATION - 1), None),
        (word(), StoreMemory(generation=GENERATION + 1)),
    ],
    ids=["the view was written since", "a keeper knows more", "this sentinel knows more"],
)
def test_what_the_operator_did_not_see_makes_an_acceptance_void(
    acceptance: Acceptance, memory: StoreMemory | None
) -> None:
    """It is said, with the command that asks again."""
    decision = follow(acceptance, memory=memory)

    assert decision.change is None
    assert [(each.code, each.severity) for each in decision.reasons] == [("acceptance_outdated", "critical")]


def test_a_store_that_only_a_proxy_did_not_know_keeps_the_view_in_force() -> None:
    """Above what the proxy remembers; what the operator's word says of the view is not needed."""
    now = running_view(generation=40)
    found = documents(view=now, view_revision=9)
    acceptance = word(generation=5000, view=running_view(), view_revision=5)
    decision = resumption(found, shown(now, acceptance=acceptance), StoreMemory(), suspended=False)

    assert decision.change is not None
    assert decision.change.view == now.changed(generation=5000 + GENERATION_STEP)
