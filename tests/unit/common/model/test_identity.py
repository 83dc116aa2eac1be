"""Is this still the store that a service knew: every case of protocol section 2."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from common.model.identity import (
    DIFFERENCES_LIMIT,
    NOT_FOLLOWED,
    Acceptance,
    Shown,
    ShownView,
    StoreMemory,
    digest_of,
    judge,
    suspended_because,
)
from common.model.reasons import Reason, worst_first
from tests.support.builders import running_view
from tests.support.healthy import NOW

KNOWN = StoreMemory(store_id="s", cluster_id="c", generation=17, term=4, view_digest="d")
SAME = Shown(store_id="s", cluster_id="c", view=ShownView(17, 4, "d"))


def accepted(generation: int = 17, **fields: object) -> Acceptance:
    whole: dict[str, object] = {"by": "op", "at": NOW, "store_id": "s", "cluster_id": "c", "term": 4}
    return Acceptance.model_validate(whole | {"generation": generation} | fields)


def test_the_store_that_is_remembered_may_be_obeyed() -> None:
    """The same view, or one that follows."""
    for view in (SAME.view, ShownView(18, 4, "e"), ShownView(25, 6, "f")):
        verdict = judge(KNOWN, replace(SAME, view=view))

        assert verdict.problems == ()
        assert verdict.memory == KNOWN


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        (replace(SAME, cluster_id="x"), "etcd cluster id x instead of c"),
        (replace(SAME, store_id="x"), "store-id x instead of s"),
        (replace(SAME, store_id=""), "store-id (none) instead of s"),
        (replace(SAME, view=None), "no view, but generation 17 was obeyed"),
        (replace(SAME, view=ShownView(16, 4, "d")), "generation 16, but generation 17 was obeyed"),
        (replace(SAME, view=ShownView(18, 3, "e")), "term 3, but term 4 was obeyed"),
        (replace(SAME, view=ShownView(17, 4, "e")), "another view of generation 17"),
        (replace(SAME, went_backwards="etcd went back to revision 5"), "revision 5"),
    ],
    ids=["cluster id", "store-id", "no store-id", "no view", "generation", "term", "digest", "revision"],
)
def test_whatever_contradicts_the_memory_suspends(shown: Shown, says: str) -> None:
    """And is remembered, together with what the service knew."""
    verdict = judge(KNOWN, shown)

    assert len(verdict.problems) == 1
    assert says in verdict.problems[0]
    assert verdict.memory == KNOWN.changed(suspended=verdict.problems)


def test_a_service_stays_suspended_when_the_old_store_comes_back() -> None:
    """Until an operator says so: a restart, or a second change of the store, ends nothing."""
    suspended = judge(KNOWN, replace(SAME, cluster_id="x")).memory

    assert judge(suspended, SAME).problems == ("etcd cluster id x instead of c",)


def test_a_service_that_remembers_nothing_takes_the_store_as_it_finds_it() -> None:
    """And knows it from then on; a part that is not there yet is learnt later."""
    new = judge(StoreMemory(), replace(SAME, store_id="")).memory
    later = judge(new, SAME).memory

    assert (new.store_id, new.cluster_id) == ("", "c")
    assert (later.store_id, later.cluster_id) == ("s", "c")


def test_a_view_that_cannot_be_read_is_not_a_view_that_has_gone() -> None:
    """Others say what is wrong with it; put back, all goes on by itself."""
    assert judge(KNOWN, replace(SAME, view=None, view_is_malformed=True)).problems == ()


def test_a_digest_that_was_not_learnt_is_not_compared() -> None:
    """Nothing is suspended for what nobody knows."""
    assert judge(KNOWN.changed(view_digest=""), SAME).problems == ()


def test_an_acceptance_of_exactly_this_store_makes_it_the_one_that_is_remembered() -> None:
    """The old view in it is not obeyed for that: what follows the acceptance is waited for."""
    suspended = judge(KNOWN, replace(SAME, cluster_id="x", view=ShownView(9, 2, "o"))).memory
    restored = Shown("s", "x", ShownView(9, 2, "o"), acceptance=accepted(cluster_id="x"))

    waiting = judge(suspended, restored)
    on = judge(waiting.memory, replace(restored, view=ShownView(117, 4, "n")))

    assert waiting.accepted
    assert waiting.problems == ("generation 9, but generation 17 was obeyed",)
    assert waiting.memory == KNOWN.changed(cluster_id="x")
    assert on.problems == ()


def test_a_view_of_the_backup_that_nobody_has_obeyed_is_not_obeyed_for_an_acceptance() -> None:
    """It may name a primary, and what follows the acceptance another one, in the same term."""
    suspended = judge(KNOWN, replace(SAME, cluster_id="x")).memory
    word = accepted(cluster_id="x", generation=18, view=running_view())
    restored = Shown("s", "x", ShownView(18, 4, "never obeyed"), acceptance=word)

    waiting = judge(suspended, restored)
    still = judge(waiting.memory, restored)
    on = judge(still.memory, replace(restored, view=ShownView(118, 4, "n")))

    assert waiting.problems == still.problems == (NOT_FOLLOWED,)
    assert still.memory == suspended
    assert (on.problems, on.memory.suspended, on.memory.cluster_id) == ((), (), "x")


@pytest.mark.parametrize(
    "acceptance",
    [accepted(cluster_id="y"), accepted(store_id="y"), accepted(generation=16)],
    ids=["other cluster id", "other store-id", "less than was obeyed here"],
)
def test_an_acceptance_of_anything_else_ends_nothing(acceptance: Acceptance) -> None:
    """One that came back with a backup knows less than was obeyed since."""
    shown = replace(SAME, went_backwards="etcd went back", acceptance=acceptance)

    assert judge(KNOWN, shown).problems == ("etcd went back",)


def test_what_is_remembered_of_differences_is_limited() -> None:
    """The first ones stay: they tell what happened."""
    many = KNOWN.changed(suspended=tuple(map(str, range(DIFFERENCES_LIMIT))))
    verdict = judge(many, replace(SAME, cluster_id="x"))

    assert verdict.problems == many.suspended


def test_a_digest_is_of_the_text_and_not_of_what_a_release_reads_from_it() -> None:
    """A field that an older release does not know counts; spaces and the order of fields do not."""
    plain = {"generation": 1, "term": 2}
    laid_out = json.dumps(dict(reversed(plain.items())), indent=3) + "\n"

    assert digest_of(json.dumps(plain).encode()) == digest_of(laid_out.encode())
    assert digest_of(json.dumps({**plain, "new": 1}).encode()) != digest_of(laid_out.encode())
    assert digest_of(b"{") != digest_of(b"[")


def test_who_is_suspended_comes_before_all_other_reasons() -> None:
    """Nothing else moves until that is over."""
    other = Reason(code="no_leader", severity="critical", text="nobody leads")
    own = suspended_because("k1", ("no view",))

    assert worst_first((other, own)) == (own, other)
    assert own.fix.endswith("pgha resume --accept-restored-store")
