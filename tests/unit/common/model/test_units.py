"""Durations and sizes as operators write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.base import Value
from common.model.units import (
    Duration,
    Size,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


class Holder(Value):
    wait: Duration = 1.0
    size: Size = 1024


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("3s", 3.0), ("1.5s", 1.5), ("10min", 600.0), ("2h", 7200.0), ("7d", 604800.0)],
)
def test_a_duration_is_read_in_its_unit(text: str, seconds: float) -> None:
    """Seconds in memory; a space before the unit does no harm."""
    number = text.rstrip("adhimns")

    assert parse_duration(text) == seconds
    assert parse_duration(f" {number} {text.removeprefix(number)} ") == seconds


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("64kB", 65536), ("1MB", 1 << 20), ("10GB", 10 << 30), ("0.5TB", 1 << 39)]
)
def test_a_size_is_read_as_postgresql_reads_it(text: str, size_bytes: int) -> None:
    """Powers of 1024."""
    assert parse_size(text) == size_bytes


@given(st.integers(0, 10**9))
def test_a_duration_is_written_as_it_can_be_read(milliseconds: int) -> None:
    """Nothing is lost between the spec and the store."""
    seconds = milliseconds / 1000

    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 10**9))
def test_a_size_is_written_as_it_can_be_read(kilobytes: int) -> None:
    """Nothing is lost between the spec and the store."""
    assert parse_size(format_size(kilobytes << 10)) == kilobytes << 10


@given(st.sampled_from(["ms", "s", "min", "h", "d"]), st.decimals(0, 1000, places=5))
def test_whatever_is_accepted_survives_the_store(unit: str, number: object) -> None:
    """What could not be written back exactly is refused at once, not after it was stored."""
    try:
        first = Holder.model_validate({"wait": f"{number}{unit}"})
    except ValueError:
        return

    assert Holder.model_validate_json(first.model_dump_json()) == first


@pytest.mark.parametrize("value", ["3", "s", "3 seconds", "3S", "-3s", "1e3s", "", "3m", "inf s"])
def test_a_duration_without_a_known_unit_is_refused(value: str) -> None:
    """Nobody has to guess what 3 means, or whether m is minutes."""
    with pytest.raises(ValueError, match="units ms, s, min, h, d"):
        parse_duration(value)


@pytest.mark.parametrize("value", ["10", "GB", "10G", "10gb", "10 GiB", "-1GB"])
def test_a_size_without_a_known_unit_is_refused(value: str) -> None:
    """PostgreSQL knows no others either."""
    with pytest.raises(ValueError, match="units kB, MB, GB, TB"):
        parse_size(value)


@pytest.mark.parametrize("value", ["0.5ms", "0.0001s"])
def test_a_duration_finer_than_it_can_be_written_is_refused(value: str) -> None:
    """It would come back from the store as 0ms, and the spec would not be readable any more."""
    with pytest.raises(ValueError, match="whole milliseconds"):
        parse_duration(value)


def test_a_size_finer_than_it_can_be_written_is_refused() -> None:
    """For the same reason."""
    with pytest.raises(ValueError, match="whole kB"):
        parse_size("1.3kB")


@pytest.mark.parametrize("field", [{"wait": 3}, {"wait": 3.5}, {"size": 10}, {"size": 1.5}])
def test_a_document_wants_units(field: dict[str, object]) -> None:
    """A bare number in a spec is refused with an example."""
    with pytest.raises(ValueError, match="needs a unit"):
        Holder.model_validate(field)


def test_a_duration_without_end_is_refused() -> None:
    """It could not be written, and the refusal must be one that a validation reports."""
    with pytest.raises(ValueError, match="whole milliseconds"):
        parse_duration("9" * 400 + "d")
