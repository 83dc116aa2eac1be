"""Positions in the WAL, and the history files that PostgreSQL writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.base import Value
from common.model.wal import Lsn, Switch, parse_history

positions = st.integers(min_value=0, max_value=2**64 - 1).map(Lsn)


class Holder(Value):
    lsn: Lsn


@given(positions)
def test_the_text_of_a_position_reads_back_as_the_same_position(lsn: Lsn) -> None:
    """No position changes on its way through a document."""
    assert Lsn.parse(str(lsn)) == lsn
    assert Holder.model_validate_json(Holder(lsn=lsn).model_dump_json()).lsn == lsn


@given(positions, positions)
def test_positions_are_ordered_as_bytes(one: Lsn, other: Lsn) -> None:
    """Not as their texts: 0/9 comes before 0/10, and F/0 before 10/0."""
    assert (one < other) == (int(one) < int(other))


def test_a_position_is_written_as_postgresql_writes_it() -> None:
    """Upper case, without leading zeros."""
    assert str(Lsn(0x1_0A00_00FF)) == "1/A0000FF"
    assert Lsn.parse("0/3000148") == 0x3000148
    assert repr(Lsn(0)) == "Lsn('0/0')"


@pytest.mark.parametrize("text", ["", "0", "/", "0/", "0/G", "0/123456789", "1/2/3", " 0/1", "0/1\n"])
def test_what_is_no_position_is_refused(text: str) -> None:
    """A position is never guessed."""
    with pytest.raises(ValueError, match="no WAL position"):
        Lsn.parse(text)


@pytest.mark.parametrize("value", [True, None, 1.5, ["0/1"]])
def test_a_document_takes_only_text_or_a_number_of_bytes(value: object) -> None:
    """A boolean is a number in Python, but no position."""
    with pytest.raises(ValueError, match="0/3000148"):
        Holder.model_validate({"lsn": value})


def test_a_history_file_reads_as_the_switches_that_it_lists() -> None:
    """Comments and blank lines are PostgreSQL's own."""
    text = "# a comment\n\n1\t0/3000148\tno recovery target specified\n\n2\t1/A0\treason\n"

    assert parse_history(text) == (Switch(1, Lsn(0x3000148)), Switch(2, Lsn(0x1000000A0)))


def test_an_empty_history_file_is_an_empty_history() -> None:
    """As the placeholders for skipped timelines are."""
    assert parse_history("") == ()


@pytest.mark.parametrize("line", ["x", "1", "1 3000148", "0/1 1", "-1 0/1"])
def test_a_broken_history_file_is_refused(line: str) -> None:
    """Half a history would make a diverged member look like one that agrees."""
    with pytest.raises(ValueError, match="no line of a timeline history file"):
        parse_history(f"1\t0/1\tgood\n{line}\n")


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_a_number_that_could_not_be_written_as_a_position_is_refused(value: int) -> None:
    """One such report would end up in the view, which nobody could read then."""
    with pytest.raises(ValueError, match="64 bits"):
        Lsn.parse(value)
