"""Requests as values: what they remember, and their limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.errors import InvalidDocument
from common.model.requests import (
    PROGRESS_LIMIT,
    REQUEST_LIMIT_BYTES,
    TEXT_LIMIT,
    Asked,
    Continue,
    Pause,
    Request,
    in_order,
)

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def request(**fields: Any) -> Request:
    whole: dict[str, Any] = {"id": "r-1", "by": "anna", "at": NOON, "term": 4, "operation": Continue()}
    return Request.model_validate(whole | fields)


def test_a_request_is_read_back_as_it_was_written() -> None:
    """With the operation that was asked for, by its kind."""
    written = request(not_before=NOON + timedelta(hours=1)).told("began", NOON).ended("done", "well", NOON)

    assert Request.from_bytes(written.to_bytes()) == written
    assert isinstance(Request.from_bytes(written.to_bytes()).operation, Continue)


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "a/b"},
        {"id": ""},
        {"id": "x" * 65},
        {"by": ""},
        {"by": "anna\x1b[2J"},
        {"by": "x" * 101},
        {"at": NOON.replace(tzinfo=None)},
        {"term": -1},
        {"operation": {"kind": "explode"}},
        {"operation": {"kind": "pause", "for": "ever"}},
        {"state": "perhaps"},
    ],
    ids=str,
)
def test_what_breaks_a_rule_is_no_request(fields: dict[str, Any]) -> None:
    """A line end or a terminal's escape in a name would be shown to somebody else."""
    with pytest.raises(ValueError, match=next(iter(fields))):
        request(**fields)


def test_progress_is_bounded_in_lines_and_characters() -> None:
    """The newest lines stay, so that the document always fits."""
    told = request()
    for number in range(PROGRESS_LIMIT + 10):
        told = told.told(f"{number} " + "\U0001f418" * TEXT_LIMIT, NOON)

    assert len(told.progress) == PROGRESS_LIMIT
    assert told.progress[-1].text.startswith(f"{PROGRESS_LIMIT + 9} ")
    assert all(len(line.text) == TEXT_LIMIT for line in told.progress)
    assert len(told.ended("failed", "\U0001f418" * 9999, NOON).to_bytes()) < REQUEST_LIMIT_BYTES


def test_the_same_line_twice_is_one() -> None:
    """A leader that looks twice a second writes nothing as long as nothing is new."""
    once = request().told("waits", NOON)

    assert once.told("waits", NOON + timedelta(seconds=1)) is once
    assert once.state == "running"


def test_a_document_that_is_too_long_is_refused() -> None:
    """Whoever wrote it."""
    with pytest.raises(InvalidDocument, match="longer than"):
        Request.from_bytes(b" " * (REQUEST_LIMIT_BYTES + 1))


def test_what_is_under_way_comes_first_and_what_has_ended_not_at_all() -> None:
    """Then by the time of asking."""
    late, early = request(id="late", at=NOON + timedelta(seconds=9)), request(id="early", operation=Pause())
    under_way = request(id="under-way", at=NOON + timedelta(seconds=99)).told("began", NOON)
    over = request(id="over").ended("done", "", NOON)
    order = in_order(tuple(Asked(each, 1) for each in (late, over, under_way, early)))

    assert [each.request.id for each in order] == ["under-way", "early", "late"]
