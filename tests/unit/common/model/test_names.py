"""Names that PostgreSQL sees: told apart, taken apart, and always quoted."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.names import (
    NOBODY,
    StandbyName,
    member_name,
    parse_standby_name,
    standby_name,
    synchronous_standby_names,
)

uids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", fullmatch=True)
incarnations = st.from_regex(r"[0-9a-f]{8}", fullmatch=True)
terms = st.integers(0, 10**12 - 1)


@given(uids, incarnations, terms)
def test_a_name_comes_apart_into_what_it_was_made_of(uid: str, incarnation: str, term: int) -> None:
    """A uid that itself ends like an incarnation and a term confuses nobody."""
    name = standby_name(uid, incarnation, term)

    assert parse_standby_name(name) == StandbyName(member_name(uid), incarnation, term)


@given(uids, incarnations, terms)
def test_a_name_is_one_that_a_slot_can_have(uid: str, incarnation: str, term: int) -> None:
    """Lower case, digits and underscores, and short enough that PostgreSQL does not cut it."""
    name = standby_name(uid, incarnation, term)

    assert re.fullmatch(r"[a-z0-9_]+", name)
    assert len(name) <= 63


def test_a_uid_becomes_lower_case_with_underscores() -> None:
    """As both sites' first keepers are called."""
    assert standby_name("Sandun-1.db", "0a1b2c3d", 4) == "sandun_1_db_0a1b2c3d_4"


@pytest.mark.parametrize(
    "name",
    [
        "",
        NOBODY,
        "walreceiver",
        "pg_basebackup",
        "a_0a1b2c3d",
        "a_0A1B2C3D_4",
        "a_0a1b2c3d_-1",
        "_4",
        "a_0a1b2c3d_4\n",
    ],
)
def test_what_is_not_ours_is_left_alone(name: str) -> None:
    """Other people's standbys and slots have names too."""
    assert parse_standby_name(name) is None


def test_a_set_is_written_with_each_name_quoted_and_in_order() -> None:
    """The same set gives the same text, so that nothing is reloaded without need."""
    assert synchronous_standby_names({"b", "a"}, 1) == 'ANY 1 ("a", "b")'


@pytest.mark.parametrize("k", [1, 2])
def test_a_set_without_members_waits_for_nobody_who_exists(k: int) -> None:
    """It is never empty, which would mean not to wait at all."""
    assert synchronous_standby_names((), k) == f'ANY {k} ("nobody")'


def test_only_without_acknowledgements_is_the_setting_empty() -> None:
    """``k = 0`` asks nobody."""
    assert synchronous_standby_names({"a"}, 0) == ""


def test_what_cannot_be_quoted_or_counted_is_refused() -> None:
    """A name with a quote would end the quotation."""
    with pytest.raises(ValueError, match="double quote"):
        synchronous_standby_names({'a", "b'}, 1)
    with pytest.raises(ValueError, match="negative"):
        synchronous_standby_names({"a"}, -1)
