"""Whether the newest view is known for certain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from common.errors import UnsafeOperation
from common.model.identity import StoreMemory
from common.model.view import ClusterView, SyncState
from pgha.resume.truth import Answer, newest_view
from tests.support.builders import SANDUN_1, SANDUN_2, SHIQIAO_1, SHIQIAO_2, keeper, running_view, sync_set
from tests.support.healthy import TERM, UIDS

NEW = running_view()
OLD = running_view(generation=9, term=TERM - 1)


def answer(uid: str, view: ClusterView | None = NEW, **fields: Any) -> Answer:
    return Answer(keeper(uid, **fields), view)


def answers(*uids: str, view: ClusterView = NEW) -> dict[str, Answer]:
    return {uid: answer(uid, view) for uid in uids}


def refused(found: Mapping[str, Answer], *without: str, stored: ClusterView | None = OLD) -> str:
    with pytest.raises(UnsafeOperation) as caught:
        newest_view(stored, found, frozenset(without))
    return str(caught.value)


def test_the_newest_kept_view_counts_and_not_what_the_store_says() -> None:
    """Be the store's older, or newer: what no keeper has obeyed had no effect."""
    found = {**answers(*UIDS, view=OLD), SANDUN_1: answer(SANDUN_1)}

    for stored in (OLD, None, running_view(generation=99)):
        assert newest_view(stored, found) == NEW


def test_the_primary_and_enough_of_one_sync_set_are_enough() -> None:
    """A newer set is applied by the primary alone, and a newer term needs the promise of one of them."""
    assert newest_view(OLD, answers(SANDUN_1, SHIQIAO_1)) == NEW


def test_a_primary_with_nobody_of_its_sync_set_is_not_enough() -> None:
    """The others may have gone on without it, in a term that nobody here knows."""
    said = refused(answers(SANDUN_1, SANDUN_2))

    assert SHIQIAO_1 in said
    assert SHIQIAO_2 in said


def test_standbys_without_the_primary_are_not_enough() -> None:
    """It may have applied a sync set that they do not know; the text says what can be done."""
    said = refused(answers(SANDUN_2, SHIQIAO_1, SHIQIAO_2))

    assert SANDUN_1 in said
    assert f"--without {SANDUN_1}" in said


def test_a_primary_in_another_life_does_not_answer_for_the_one_that_is_named() -> None:
    """Its directory was replaced: what it had applied has gone with it."""
    found = {**answers(*UIDS), SANDUN_1: answer(SANDUN_1, incarnation="ffffffff")}

    assert SANDUN_1 in refused(found)


def test_a_primary_that_is_lost_for_good_asks_for_everybody_else() -> None:
    """Whoever acknowledged for it must be among those who seal."""
    all_others = answers(SANDUN_2, SHIQIAO_1, SHIQIAO_2)

    assert newest_view(OLD, all_others, frozenset({SANDUN_1})) == NEW
    assert SHIQIAO_2 in refused(answers(SANDUN_2, SHIQIAO_1), SANDUN_1)
    assert "not lost" in refused(answers(*UIDS), SANDUN_1)


def test_who_answers_without_the_data_that_the_view_names_may_be_declared_lost() -> None:
    """Its keeper lives and would begin a new life, but while all are suspended nobody may."""
    found = {**answers(*UIDS), SANDUN_1: answer(SANDUN_1, incarnation=None, state="no_data")}
    newer = {**found, SANDUN_1: answer(SANDUN_1, running_view(generation=90), incarnation=None)}

    assert f"--without {SANDUN_1}" in refused(found)
    assert newest_view(OLD, found, frozenset({SANDUN_1})) == NEW
    assert newest_view(OLD, newer, frozenset({SANDUN_1})) == running_view(generation=90)


def test_standbys_that_are_lost_for_good_need_not_answer_either() -> None:
    """One that had begun another life says what it knew; the others are gone by the operator's word."""
    found = {**answers(SANDUN_1, SANDUN_2), SHIQIAO_1: answer(SHIQIAO_1, incarnation="ffffffff")}

    assert f"in another life than the view names, or without data: {SHIQIAO_1}" in refused(found)
    assert SHIQIAO_2 in refused(found, SHIQIAO_1)
    assert newest_view(OLD, found, frozenset({SHIQIAO_1, SHIQIAO_2})) == NEW


def test_a_promise_of_a_term_that_no_kept_view_is_of_is_a_newer_view_that_nobody_knows() -> None:
    """Somebody may be primary in that term."""
    found = {**answers(*UIDS), SHIQIAO_1: answer(SHIQIAO_1, sealed_term=TERM + 1)}

    assert f"{SHIQIAO_1} has promised term {TERM + 1}" in refused(found)


def test_while_sealing_everybody_must_answer() -> None:
    """Any of them may have been named primary since."""
    sealing = running_view(phase="sealing", primary=None, old_primary=NEW.primary, route=None)

    assert newest_view(OLD, answers(*UIDS, view=sealing)) == sealing
    assert SANDUN_2 in refused(answers(SANDUN_1, SHIQIAO_1, SHIQIAO_2, view=sealing))


def test_a_set_in_which_nobody_must_acknowledge_holds_no_failover_off() -> None:
    """With ``k = 0`` nobody need have sealed: all must answer."""
    alone = running_view(sync=SyncState(current=sync_set(17, 0, SHIQIAO_1)))

    assert newest_view(OLD, answers(*UIDS, view=alone)) == alone
    assert SHIQIAO_2 in refused(answers(SANDUN_1, SANDUN_2, SHIQIAO_1, view=alone))


def test_two_views_of_one_generation_are_not_decided_between() -> None:
    """A human must say which way was the right one."""
    other = {SHIQIAO_2: answer(SHIQIAO_2, running_view(greatest_timeline=9))}
    known = StoreMemory(view_digest="a")
    same_text = {SHIQIAO_2: answer(SHIQIAO_2, running_view(greatest_timeline=9), store=known)}
    all_with_digest = {uid: answer(uid, store=known) for uid in UIDS}

    assert SHIQIAO_2 in refused({**answers(*UIDS), **other})
    assert newest_view(OLD, {**all_with_digest, **same_text}) is not None


def test_a_keeper_that_remembers_another_cluster_is_passed_over() -> None:
    """Where the store names the data that count; else nobody guesses."""
    stranger = {SHIQIAO_2: answer(SHIQIAO_2, running_view(generation=900, system_identifier="1"))}
    found = {**answers(*UIDS), **stranger}

    assert newest_view(OLD, found) == NEW
    assert "several clusters" in refused(found, stored=None)


def test_where_nobody_has_obeyed_anything_the_store_is_taken_as_it_is() -> None:
    """A new cluster that only an old proxy did not know."""
    fresh = {uid: answer(uid, None) for uid in UIDS}

    assert newest_view(OLD, fresh) == OLD
    assert newest_view(None, fresh) is None
    assert "no keeper answers" in refused({})
