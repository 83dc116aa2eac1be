"""The reader: one bad document is named and stops nobody."""

from __future__ import annotations

import json

import pytest

from common.model.keys import Keys
from common.store.port import KeyValue
from sentinel.cluster import DocumentReader
from tests.support import healthy
from tests.support.builders import SANDUN_2

KEYS = Keys("demo")


def stored(revision: int = 5) -> dict[str, KeyValue]:
    documents = healthy.stored(healthy.documents())
    return {key: KeyValue(key, value, 1, revision) for key, value in documents.items()}


def put(items: dict[str, KeyValue], key: str, value: bytes, revision: int = 6) -> None:
    items[key] = KeyValue(key, value, 1, revision)


def newer_schema() -> bytes:
    return json.dumps({**json.loads(healthy.keeper(SANDUN_2).to_bytes()), "schema_version": 99}).encode()


def test_everything_is_read() -> None:
    """With the revision that the next write of the view compares with."""
    documents = DocumentReader(KEYS).read(stored())

    assert documents.view == healthy.view()
    assert (documents.view_revision, documents.view_is_malformed) == (5, False)
    assert set(documents.keepers) == set(healthy.UIDS)
    assert (len(documents.sentinels), len(documents.proxies), documents.problems) == (3, 2, ())


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[]", b"{}", newer_schema()])
def test_a_bad_report_is_named_and_counts_as_absent(raw: bytes) -> None:
    """All the others stand."""
    items = stored()
    put(items, KEYS.keeper(SANDUN_2), raw)
    documents = DocumentReader(KEYS).read(items)

    assert set(documents.keepers) == set(healthy.UIDS) - {SANDUN_2}
    assert [(p.code, p.subject) for p in documents.problems] == [
        ("malformed_document", KEYS.keeper(SANDUN_2))
    ]


def test_a_bad_document_is_named_for_as_long_as_it_stands() -> None:
    """Though it is parsed once; put right, it counts again."""
    reader, items = DocumentReader(KEYS), stored()
    put(items, KEYS.keeper(SANDUN_2), b"{")
    problems = [len(reader.read(items).problems) for _ in range(2)]
    put(items, KEYS.keeper(SANDUN_2), healthy.keeper(SANDUN_2).to_bytes(), 7)
    documents = reader.read(items)

    assert problems == [1, 1]
    assert SANDUN_2 in documents.keepers
    assert documents.problems == ()


def test_a_bad_view_is_not_the_same_as_none() -> None:
    """It must not be written over as if the cluster were new."""
    items = stored()
    put(items, KEYS.view, b"{")
    bad = DocumentReader(KEYS).read(items)
    del items[KEYS.view]
    absent = DocumentReader(KEYS).read(items)

    assert (bad.view, bad.view_is_malformed, bad.view_revision) == (None, True, 6)
    assert (absent.view, absent.view_is_malformed, absent.view_revision) == (None, False, 0)


def test_a_bad_spec_leaves_the_last_good_one_in_force_and_a_removed_one_does_not() -> None:
    """A primary may die while an operator mends it."""
    reader, items = DocumentReader(KEYS), stored()
    good = reader.read(items).spec
    put(items, KEYS.spec, b"{")
    kept = reader.read(items).spec
    del items[KEYS.spec]

    assert good is not None
    assert kept == good
    assert reader.read(items).spec is None


def test_a_report_under_another_uids_key_counts_as_absent() -> None:
    """Nobody speaks for somebody else."""
    items = stored()
    put(items, KEYS.keeper(SANDUN_2), healthy.keeper("shiqiao-1").to_bytes())

    assert SANDUN_2 not in DocumentReader(KEYS).read(items).keepers
