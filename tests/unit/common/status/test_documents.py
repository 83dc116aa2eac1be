"""Reading what stands in the store: one bad document is named and stops nobody."""

from __future__ import annotations

import json

import pytest

from common.model.base import Document
from common.model.keys import Keys
from common.model.reasons import Reason
from common.model.requests import Pause, Request
from common.status.documents import REQUESTS_READ_MAX, DocumentReader, Documents, read_documents
from common.store.port import KeyValue
from tests.support import healthy
from tests.support.healthy import documents

KEYS = Keys("demo")
SANDUN_2 = KEYS.keeper("sandun-2")


def stored(revision: int = 5) -> dict[str, KeyValue]:
    found = healthy.stored(documents())
    return {key: KeyValue(key, value, 1, revision) for key, value in found.items()}


def put(items: dict[str, KeyValue], key: str, value: bytes, revision: int = 6) -> None:
    items[key] = KeyValue(key, value, 1, revision)


def with_bad(key: str, value: bytes = b"{") -> Documents:
    """A healthy cluster but for one key."""
    items = stored()
    put(items, key, value)
    return read_documents(KEYS, items.values())


def newer(document: Document) -> bytes:
    return json.dumps({**json.loads(document.to_bytes()), "schema_version": 99}).encode()


def the_one(found: Documents) -> Reason:
    (reason,) = found.malformed
    return reason


def test_what_was_written_is_read_back() -> None:
    """Every kind of document is found under its key, with the revision that the next view compares with."""
    assert read_documents(KEYS, stored().values()) == documents(view_revision=5)


def test_an_empty_store_is_an_empty_cluster() -> None:
    """Nothing stored, nothing found, nothing wrong with it."""
    assert read_documents(KEYS, ()) == Documents("demo")


def test_other_keys_are_passed_over() -> None:
    """History and store id are no documents of the present."""
    others = [KeyValue(KEYS.event(3), b"x", 1, 1), KeyValue(KEYS.store_id, b"y", 1, 1)]

    assert read_documents(KEYS, others).malformed == ()


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b"[]", b"{}", b'{"uid": 7}', newer(healthy.keeper("sandun-2"))]
)
def test_a_bad_report_is_named_and_counts_as_absent(raw: bytes) -> None:
    """All the others stand."""
    found = with_bad(SANDUN_2, raw)

    assert set(found.keepers) == set(healthy.UIDS) - {"sandun-2"}
    assert (the_one(found).code, the_one(found).subject) == ("malformed_document", SANDUN_2)


@pytest.mark.parametrize(
    ("key", "report"),
    [
        (KEYS.keeper("x"), healthy.keeper("shiqiao-1")),
        (KEYS.sentinel("x"), healthy.sentinel("shiqiao")),
        (KEYS.proxy("x"), healthy.proxy("shiqiao")),
    ],
    ids=["keeper", "sentinel", "proxy"],
)
def test_a_report_under_another_uids_key_is_named_and_counts_as_absent(key: str, report: Document) -> None:
    """Nobody speaks for somebody else; the owner's own report stands."""
    found = with_bad(key, report.to_bytes())
    uids = {*found.keepers, *found.sentinels, *found.proxies}

    assert "x" not in uids
    assert "shiqiao-1" in uids
    assert (the_one(found).code, the_one(found).subject) == ("malformed_document", key)
    assert repr(getattr(report, "uid", "")) in the_one(found).text


def test_a_document_of_a_later_release_is_not_guessed_at() -> None:
    """It is named with both versions."""
    found = with_bad(KEYS.view, newer(healthy.view()))

    assert found.view is None
    assert "schema_version = 99: this release reads up to 1" in the_one(found).text


def test_a_bad_view_is_not_the_same_as_none() -> None:
    """It must not be written over as if the cluster were new; the fix leads to the last good one."""
    bad = with_bad(KEYS.view)
    items = stored()
    del items[KEYS.view]
    absent = read_documents(KEYS, items.values())

    assert (bad.view, bad.view_is_malformed, bad.view_revision) == (None, True, 6)
    assert (absent.view, absent.view_is_malformed, absent.view_revision) == (None, False, 0)
    assert the_one(bad).severity == "critical"
    assert "nothing at all is decided" in the_one(bad).text
    assert f"etcdctl get {KEYS.view} --rev=5" in the_one(bad).fix


def test_a_bad_spec_leaves_the_last_good_one_in_force_and_a_removed_one_does_not() -> None:
    """A primary may die while an operator mends it."""
    reader, items = DocumentReader(KEYS), stored()
    good = reader.read(items)
    put(items, KEYS.spec, b"{")
    kept = reader.read(items)
    del items[KEYS.spec]
    removed = reader.read(items)

    assert good.spec is not None
    assert (kept.spec, kept.spec_is_malformed) == (good.spec, True)
    assert "the last good one stays in force" in the_one(kept).text
    assert (removed.spec, removed.spec_is_malformed, removed.malformed) == (None, False, ())


def test_a_bad_spec_without_an_earlier_one_is_not_the_same_as_none() -> None:
    """Nobody should be told to write a first one."""
    found = with_bad(KEYS.spec)

    assert (found.spec, found.spec_is_malformed) == (None, True)
    assert "without an earlier one nothing is decided" in the_one(found).text


def test_a_bad_document_is_named_for_as_long_as_it_stands() -> None:
    """Though it is parsed once; put right, it counts again."""
    reader, items = DocumentReader(KEYS), stored()
    put(items, SANDUN_2, b"{")
    problems = [len(reader.read(items).malformed) for _ in range(2)]
    put(items, SANDUN_2, healthy.keeper("sandun-2").to_bytes(), 7)
    found = reader.read(items)

    assert problems == [1, 1]
    assert "sandun-2" in found.keepers
    assert found.malformed == ()


def test_another_store_with_the_same_revisions_is_read_anew() -> None:
    """After a restored backup a revision may come a second time, with another value."""
    reader, items = DocumentReader(KEYS), stored()
    reader.read(items)
    put(items, KEYS.view, healthy.view(generation=18).to_bytes(), 5)

    assert reader.read(items).view == healthy.view(generation=18)


def test_what_is_wrong_is_said_within_a_line_or_two() -> None:
    """Whatever stands in the document."""
    found = with_bad(SANDUN_2, json.dumps({f"field {n}": n for n in range(500)} | {"uid": 7}).encode())

    assert len(the_one(found).text) < 300


def request(number: str) -> Request:
    return Request(id=number, by="anna", at=healthy.NOW, term=4, operation=Pause())


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        request("other").to_bytes(),
        newer(request("bad")),
        request("bad").to_bytes().replace(b'"pause"', b'"explode"'),
        request("bad").to_bytes().replace(b'"kind"', b'"force":true,"kind"'),
        request("bad").to_bytes().replace(b"anna", b"a\\nb"),
        request("bad").to_bytes().replace(b"anna", b"a" * 40_000),
    ],
    ids=["no JSON", "another's key", "newer", "unknown kind", "unknown option", "a line end", "too long"],
)
def test_a_bad_request_is_named_and_nothing_is_done_about_it(raw: bytes) -> None:
    """The others stand, each with the revision that its next write compares with."""
    items = stored()
    put(items, KEYS.request("good"), request("good").to_bytes(), 8)
    put(items, KEYS.request("bad"), raw, 9)
    found = read_documents(KEYS, items.values())

    assert [(each.request.id, each.revision) for each in found.requests] == [("good", 8)]
    assert the_one(found).subject == KEYS.request("bad")
    assert "pgha requests cancel bad" in the_one(found).fix


def test_more_requests_than_anybody_reads_are_named_and_left_alone() -> None:
    """Whoever fills the store with them stops nobody."""
    items = stored()
    for number in range(REQUESTS_READ_MAX + 5):
        put(items, KEYS.request(f"r{number:05d}"), request(f"r{number:05d}").to_bytes())
    found = read_documents(KEYS, items.values())

    assert len(found.requests) == REQUESTS_READ_MAX
    assert f"more than {REQUESTS_READ_MAX} requests" in the_one(found).text
