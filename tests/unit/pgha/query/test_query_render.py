"""Rows as text and as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

from pgha.query.render import as_plain, text
from pgha.query.run import Result


def test_columns_are_aligned_and_nothing_is_shortened() -> None:
    """NULL is empty, booleans are PostgreSQL's, a line end stays in its cell."""
    long = "x" * 300
    shown = text(Result("SELECT 2", ("a", "b"), [(1, long), (None, "two\nlines"), (True, "t")]))
    lines = shown.splitlines()

    assert lines[0].startswith("a  b")
    assert lines[2] == f"1  {long}"
    assert lines[3] == "   two\\nlines"
    assert lines[4] == "t  t"
    assert lines[-1] == "(3 rows)"


def test_a_statement_without_rows_is_its_command_tag() -> None:
    """And one with columns and no rows says so."""
    assert text(Result("INSERT 0 3")) == "INSERT 0 3"
    assert text(Result("SELECT 0", ("id",))) == "id\n--\n(0 rows)"
    assert text(Result("SELECT 1", ("id",), [(1,)])).endswith("(1 row)")


def test_whatever_postgresql_gives_becomes_json() -> None:
    """What JSON has no word for is its text."""
    at = datetime(2026, 3, 1, tzinfo=UTC)
    row = (1, 1.5, None, True, Decimal("1.10"), at, b"\x01\xff", ["a", None], {"k": Decimal(2)})
    plain = as_plain(Result("SELECT 1", tuple("abcdefghi"), [row], cut=True))

    assert json.loads(json.dumps(plain))["rows"] == [
        [1, 1.5, None, True, "1.10", str(at), "\\x01ff", ["a", None], {"k": "2"}]
    ]
    assert plain["cut"] is True
