"""What stands in the store: read strictly where it matters, and never changed in place."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from common.errors import InvalidDocument, InvalidSpec
from common.model.base import Document
from common.model.history import HistoryEvent
from common.model.keys import Keys, check_name
from common.model.reasons import Reason, ReasonsDocument, worst_first
from common.model.reports import KeeperReport
from common.model.view import ClusterView, SyncState
from tests.support.builders import (
    SANDUN_1,
    SHIQIAO_1,
    SHIQIAO_2,
    keeper,
    life,
    running_view,
    sealing_view,
    sync_set,
)
from tests.support.healthy import NOW


@pytest.mark.parametrize(
    "document",
    [
        running_view(),
        sealing_view(),
        keeper(SANDUN_1),
        keeper(SHIQIAO_1),
        ReasonsDocument(term=4, reasons=(Reason(code="a", severity="info", text="b"),)),
        HistoryEvent(generation=3, term=2, at=NOW, kind="sealing", text="a", phases_ms={"seal_ms": 1.5}),
    ],
    ids=lambda document: type(document).__name__,
)
def test_a_document_comes_back_from_the_store_as_it_was_written(document: Document) -> None:
    """Sets, positions and lives included."""
    assert type(document).from_bytes(document.to_bytes()) == document


def test_what_a_newer_release_added_inside_a_known_schema_is_ignored() -> None:
    """Services of two releases work together while one replaces the other."""
    raw = running_view().to_bytes().replace(b'"generation":', b'"colour":"red","generation":')

    assert ClusterView.from_bytes(raw) == running_view()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "Invalid JSON"),
        (b"[]", "should be an object"),
        (b"{}", "cluster.*required, but absent"),
        (running_view().to_bytes().replace(b'"schema_version":1', b'"schema_version":2'), "reads up to 1"),
        (running_view().to_bytes().replace(b'"floor":"0/', b'"floor":"x/'), "floor.*WAL position"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(raw: bytes, words: str) -> None:
    """It counts as absent, and somebody is told why."""
    with pytest.raises(InvalidDocument, match=words):
        ClusterView.from_bytes(raw)


def test_a_value_cannot_be_changed_in_place() -> None:
    """Whoever holds a view may rely on it."""
    view = running_view()

    with pytest.raises(ValidationError):
        view.term = 9  # type: ignore[misc]
    assert view.changed(term=9).term == 9
    assert view.term == running_view().term


def test_a_changed_copy_is_validated() -> None:
    """A mistake shows where it is made."""
    with pytest.raises(ValidationError):
        running_view().changed(phase="resting")


def test_the_quorum_leaves_too_few_to_acknowledge() -> None:
    """``|S| - k + 1`` sealed members leave ``k - 1``; where ``|S| < k`` nothing is left to ask for."""
    assert sync_set(1, 1, SHIQIAO_1, SHIQIAO_2).quorum == 2
    assert sync_set(1, 2, SHIQIAO_1, SHIQIAO_2).quorum == 1
    assert sync_set(1, 1).quorum == 0
    assert sync_set(1, 3, SHIQIAO_1).quorum == 0


def test_every_set_of_a_change_under_way_is_in_force() -> None:
    """The primary works on the last of them."""
    first, second, third = (sync_set(number, 1, SHIQIAO_1) for number in (1, 2, 3))

    assert SyncState(current=first).in_force == (first,)
    assert SyncState(current=first).target == first
    assert SyncState(current=first, pending=(second, third)).in_force == (first, second, third)
    assert SyncState(current=first, pending=(second, third)).target == third


def test_the_upstream_is_the_named_primary() -> None:
    """While nobody is named there is nobody to follow."""
    upstream = running_view().upstream

    assert upstream is not None
    assert upstream.uid == SANDUN_1
    assert sealing_view().upstream is None
    assert running_view().member("nobody") is None


def test_only_a_running_server_out_of_recovery_is_writable() -> None:
    """A primary that is being stopped is none any more."""
    assert keeper(SANDUN_1).writable
    assert not keeper(SHIQIAO_1).writable
    assert not keeper(SANDUN_1, state="stopping").writable


def test_a_life_is_told_by_uid_and_incarnation_also_after_the_store() -> None:
    """Sets of lives compare as sets."""
    current = ClusterView.from_bytes(running_view().to_bytes()).sync.current

    assert current.members == {life(SHIQIAO_1), life(SHIQIAO_2)}


def test_reasons_are_sorted_worst_first_and_said_once() -> None:
    """At 3 a.m. the first line is the one that counts."""
    info, warning, critical = (
        Reason(code=code, severity=severity, text="t")
        for code, severity in (("z", "info"), ("b", "warning"), ("c", "critical"))
    )

    assert worst_first((info, warning, critical, warning)) == (critical, warning, info)


def test_keys_sort_events_by_age() -> None:
    """Ten digits: generation 10 comes after 9."""
    keys = Keys("demo")

    assert keys.event(9) < keys.event(10)
    assert keys.keeper("a") == "/pgha/demo/keepers/a"
    assert keys.view.startswith(keys.prefix)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "-a", ".a", "a" * 41, "ä", "a\n"])
def test_a_name_that_could_not_stand_in_a_key_is_refused(name: str) -> None:
    """A slash would make another key of it."""
    with pytest.raises(InvalidSpec, match="cluster = "):
        check_name("cluster", name)


def test_a_report_of_a_keeper_names_its_state_by_a_known_word() -> None:
    """An unknown state must not be taken for a harmless one."""
    with pytest.raises(InvalidDocument, match="state"):
        KeeperReport.from_bytes(
            keeper(SANDUN_1).to_bytes().replace(b'"state":"running"', b'"state":"dozing"')
        )
