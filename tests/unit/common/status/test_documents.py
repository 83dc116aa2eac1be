"""Reading what stands in the store."""

from __future__ import annotations

from common.model.keys import Keys
from common.status.documents import Documents, read_documents
from common.store.port import KeyValue
from tests.support.healthy import documents, stored

KEYS = Keys("demo")


def read(values: dict[str, bytes]) -> Documents:
    return read_documents(KEYS, (KeyValue(key, value, 1, 1) for key, value in values.items()))


def test_what_was_written_is_read_back() -> None:
    """Every kind of document is found under its key."""
    assert read(stored(documents())) == documents()


def test_one_malformed_report_hides_no_other() -> None:
    """The unreadable report counts as absent and is named; the rest is there."""
    values = stored(documents()) | {KEYS.keeper("shiqiao-1"): b'{"uid": 7'}

    found = read(values)

    assert set(found.keepers) == {"sandun-1", "sandun-2", "shiqiao-2"}
    assert [(reason.code, reason.subject) for reason in found.malformed] == [
        ("malformed_document", KEYS.keeper("shiqiao-1"))
    ]


def test_a_newer_schema_counts_as_malformed() -> None:
    """A document of a later release is not guessed at."""
    raw = stored(documents())[KEYS.view].replace(b'"schema_version":1', b'"schema_version":2')

    found = read(stored(documents()) | {KEYS.view: raw})

    assert found.view is None
    assert "schema_version = 2" in found.malformed[0].text


def test_an_empty_store_is_an_empty_cluster() -> None:
    """Nothing stored, nothing found, nothing wrong with it."""
    assert read({}) == Documents("demo")


def test_other_keys_are_passed_over() -> None:
    """History and store id are no documents of the present."""
    assert read({KEYS.event(3): b"x", KEYS.store_id: b"y"}).malformed == ()
