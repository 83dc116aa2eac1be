"""Histories as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.checks.history import (
    Action,
    Add,
    Append,
    Balances,
    Elements,
    MalformedHistory,
    Members,
    Open,
    Operation,
    Read,
    Transfer,
    Write,
)
from tests.checks.jsonlines import parse_lines, read_history, to_line, write_history

GOOD: dict[str, Any] = {
    "op": "append",
    "client": "w1",
    "key": "k",
    "element": 7,
    "outcome": "ok",
    "start_s": 1.25,
    "end_s": 1.5,
}

texts = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=5)
elements = st.integers() | st.text(max_size=5)
several = st.lists(elements, max_size=4).map(tuple)
amounts = st.dictionaries(texts, st.integers(), max_size=3)
writes = st.one_of(
    st.builds(Add, texts, elements),
    st.builds(Append, texts, elements),
    st.builds(Write, texts, elements),
    st.builds(Open, texts, amounts),
    st.builds(Transfer, texts, texts, texts, st.integers()),
)
reads = st.one_of(
    st.builds(Members, texts, several),
    st.builds(Elements, texts, several),
    st.builds(Read, texts, st.none() | elements),
    st.builds(Balances, texts, amounts),
)
blind = st.sampled_from((Members, Elements, Read, Balances)).flatmap(
    lambda kind: st.builds(kind, texts, st.none())
)
times = st.floats(0, 1e6)


def operation(action: Action, outcome: str, client: str, one_s: float, other_s: float) -> Operation:
    assert outcome in {"ok", "failed", "unknown"}
    start_s, end_s = sorted((one_s, other_s))
    return Operation(1, client, action, outcome, start_s, end_s)  # type: ignore[arg-type]


operations = st.one_of(
    st.builds(operation, writes, st.sampled_from(("ok", "failed", "unknown")), texts, times, times),
    st.builds(operation, reads, st.just("ok"), texts, times, times),
    st.builds(operation, blind, st.sampled_from(("failed", "unknown")), texts, times, times),
)


@given(operations)
def test_every_operation_comes_back_as_it_was_written(written: Operation) -> None:
    """Times to the last digit; what it saw as it saw it."""
    [read] = parse_lines([to_line(written).encode()])

    assert read == written


def test_the_number_of_an_operation_is_its_line(tmp_path: Path) -> None:
    """So that a verdict's numbers can be looked up in the file."""
    path = tmp_path / "history"
    written = [Operation(number, "c", Add("k", number), "ok", 1.0, 2.0) for number in (1, 2, 3)]
    write_history(path, written)

    assert read_history(path) == written
    assert path.read_text().splitlines()[1] == (
        '{"op":"add","client":"c","key":"k","element":2,"outcome":"ok","start_s":1.0,"end_s":2.0}'
    )


READ = {"op": "members", "element": ..., "seen": [1]}
SNAPSHOT = {"op": "balances", "element": ..., "seen": {"a": 1}}
MOVE = {"op": "transfer", "element": ..., "source": "a", "target": "b", "amount": 1}

BROKEN: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"op": "apend"}, "op", '"apend" is not one of add, members, append'),
    ({"op": ["add"]}, "op", "is not one of"),
    ({"client": ...}, "client", "missing"),
    ({"client": ""}, "client", "is not a text"),
    ({"client": "\x1b[2J"}, "client", "is not a text that can be printed"),
    ({"key": 7}, "key", "7 is not a text"),
    ({"element": None}, "element", "null is neither a whole number nor a text"),
    ({"element": True}, "element", "true is neither"),
    ({"element": 1.5}, "element", "1.5 is neither"),
    ({"outcome": "maybe"}, "outcome", '"maybe" is not one of ok, failed, unknown'),
    ({"start_s": "soon"}, "start_s", '"soon" is not a number of seconds'),
    ({"start_s": True}, "start_s", "true is not a number"),
    ({"start_s": float("nan")}, "start_s", "NaN is not a number"),
    ({"end_s": float("inf")}, "end_s", "Infinity is not a number"),
    ({"end_s": 10**400}, "end_s", "is not a number of seconds"),
    ({"end_s": 1.0}, "end_s", "1.0 lies before start_s, 1.25"),
    ({"seen": []}, "seen", "an operation 'append' has no such field"),
    (READ | {"seen": None}, "seen", "a read that succeeded has seen something"),
    (READ | {"seen": 1}, "seen", "1 is not a list"),
    (READ | {"seen": [1, None]}, "seen", "null is neither"),
    (READ | {"outcome": "unknown"}, "seen", "a read that did not succeed has seen nothing"),
    (READ | {"op": "read", "outcome": "failed", "seen": 1}, "seen", "has seen nothing"),
    (SNAPSHOT | {"seen": [1]}, "seen", "[1] is not an object"),
    (SNAPSHOT | {"seen": {"a": 1.5}}, "seen", "1.5 is not a whole number"),
    (SNAPSHOT | {"seen": {"\n": 1}}, "seen", "is not a text that can be printed"),
    (SNAPSHOT | {"seen": None}, "seen", "a read that succeeded"),
    (MOVE | {"amount": "1"}, "amount", '"1" is not a whole number'),
    (MOVE | {"target": ...}, "target", "missing"),
)


@pytest.mark.parametrize(("change", "field", "why"), BROKEN, ids=str)
def test_what_is_wrong_is_said_with_line_and_field(change: dict[str, Any], field: str, why: str) -> None:
    """The line counts from 1; the value stands in the text."""
    broken = {name: value for name, value in (GOOD | change).items() if value is not ...}
    lines = [json.dumps(each).encode() for each in (GOOD, broken)]

    with pytest.raises(MalformedHistory) as refused:
        list(parse_lines(lines))
    assert (refused.value.line, refused.value.field) == (2, field)
    assert str(refused.value).startswith(f"line 2, field {field}: ")
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "line", [b"", b"\n", b'{"op":"append","cli', b"[1]", b"\xff", b"[" * 100_000, b"1" * 5000], ids=repr
)
def test_a_line_that_is_no_object_is_refused(line: bytes) -> None:
    """A file that was cut off while it was written, for one."""
    with pytest.raises(MalformedHistory, match=r"^line 1: not "):
        list(parse_lines([line]))
