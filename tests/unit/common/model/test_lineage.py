"""How far data agree with the lineage: judged by fork points, never by numbers or positions alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.lineage import (
    Position,
    agreed_until,
    can_be_extended,
    contains,
    extended,
    has_diverged,
    has_promotion,
    own_part,
)
from common.model.view import LineageEntry
from common.model.wal import ZERO
from tests.support.builders import LINEAGE, SANDUN_1, SHIQIAO_1, at, entry, position

THREE = (entry(1, 0), entry(2, 3), entry(5, 7, SHIQIAO_1, term=6))
"""Timeline 1 until 3, then 2 until 7, then 5; 3 and 4 belong to promotions that came to nothing."""


@pytest.mark.parametrize(
    ("where", "agreed", "diverged"),
    [
        (position((1, 2)), 2, False),  # behind the first fork
        (position((1, 3)), 3, False),  # exactly at it
        (position((1, 4)), 3, True),  # past it on the old timeline
        (position((1, 3), (2, 5)), 5, False),
        (position((1, 3), (2, 7)), 7, False),
        (position((1, 3), (2, 8)), 7, True),
        (position((1, 3), (2, 7), (5, 9)), 9, False),  # at the end, however far
        (position((1, 2), (2, 5)), 2, True),  # timeline 2, but forked too early
        (position((1, 4), (2, 5)), 3, True),  # timeline 2, but forked too late
        (position((1, 3), (3, 4)), 3, True),  # a timeline of its own
        (position((1, 3), (2, 7), (5, 8), (6, 9)), 8, True),  # and one at the end
        (position((1, 3), (2, 7), (6, 7)), 7, True),  # another promotion from the same fork
        (position((4, 9)), 0, True),  # nothing in common
    ],
)
def test_data_agree_as_far_as_they_went_the_same_way(where: Position, agreed: int, diverged: bool) -> None:
    """A switch elsewhere ends the agreement at the earlier of the two forks."""
    assert agreed_until(where, THREE) == at(agreed)
    assert has_diverged(where, THREE) is diverged


def test_a_timeline_before_the_lineage_is_no_divergence() -> None:
    """The lineage of an adopted cluster begins with a later timeline than its data."""
    adopted = (entry(4, 2), entry(5, 6))

    assert agreed_until(position((1, 1), (3, 2), (4, 6), (5, 8)), adopted) == at(8)


def test_nothing_agrees_with_an_empty_lineage() -> None:
    """There is nothing to agree with yet."""
    assert agreed_until(position((1, 5)), ()) == ZERO
    assert has_diverged(position((1, 5)), ())


def test_to_contain_a_point_is_to_agree_beyond_it() -> None:
    """What lies past a fork on another way does not count, however far it goes."""
    astray = position((1, 99))

    assert contains(astray, THREE, at(3))
    assert not contains(astray, THREE, at(4))
    assert contains(position((1, 3), (2, 5)), THREE, at(5))


def test_the_lineage_of_a_new_primary_is_its_own_history_and_the_new_entry() -> None:
    """Entries of promotions that its history does not contain go."""
    new = entry(6, 5, SHIQIAO_1, term=7)

    assert extended(THREE, position((1, 3), (2, 5)), new) == (*THREE[:2], new)
    assert extended(THREE, position((1, 2)), entry(6, 2)) == (THREE[0], entry(6, 2))
    assert own_part(position((1, 3), (2, 7), (5, 9)), THREE) == THREE


def test_a_member_past_the_fork_of_a_later_promotion_can_be_promoted() -> None:
    """Its way is known to its end; only the entry of the other promotion would go."""
    assert can_be_extended(position((1, 4)), THREE)
    assert can_be_extended(position((1, 3), (2, 8)), THREE)


@pytest.mark.parametrize(
    "where",
    [position((1, 3), (3, 4)), position((4, 9)), position((1, 3), (2, 7), (6, 7)), position((1, 2), (2, 5))],
)
def test_a_member_on_a_timeline_that_the_lineage_does_not_know_cannot_be_promoted(where: Position) -> None:
    """The lineage could not say how its data came to be."""
    assert not can_be_extended(where, THREE)


def test_a_promotion_is_told_by_timeline_and_life() -> None:
    """The same number under another incarnation is another promotion."""
    promoted = LINEAGE[1]

    assert has_promotion(LINEAGE, 2, promoted.incarnation)
    assert not has_promotion(LINEAGE, 2, "ffffffff")
    assert not has_promotion(LINEAGE, 3, promoted.incarnation)


@st.composite
def lineages(draw: st.DrawFn) -> tuple[LineageEntry, ...]:
    """A history as views make it: numbers grow, forks do not go back."""
    forks = sorted(draw(st.lists(st.integers(1, 12), max_size=5)))
    numbers = sorted(draw(st.sets(st.integers(2, 20), min_size=len(forks), max_size=len(forks))))
    return (entry(1, 0), *(entry(number, fork) for number, fork in zip(numbers, forks, strict=True)))


@st.composite
def on_the_way(draw: st.DrawFn, lineage: tuple[LineageEntry, ...]) -> Position:
    """A member that only ever followed the lineage."""
    last = draw(st.integers(0, len(lineage) - 1))
    begin = int(lineage[last].fork) >> 24
    limit = int(lineage[last + 1].fork) >> 24 if last + 1 < len(lineage) else begin + 9
    end = draw(st.integers(begin, max(begin, limit)))
    forks = [(lineage[i].timeline, int(lineage[i + 1].fork) >> 24) for i in range(last)]
    return position(*forks, (lineage[last].timeline, end))


@given(st.data())
def test_who_followed_the_lineage_agrees_to_its_end(data: st.DataObject) -> None:
    """No member that did nothing but follow is ever rewound."""
    lineage = data.draw(lineages())
    where = data.draw(on_the_way(lineage))

    assert not has_diverged(where, lineage)
    assert agreed_until(where, lineage) == where.lsn
    assert can_be_extended(where, lineage)


@given(st.data())
def test_after_a_promotion_only_those_who_are_not_ahead_agree(data: st.DataObject) -> None:
    """The new primary does, whoever is behind it does, and whoever has more does not."""
    lineage = data.draw(lineages())
    chosen, other = data.draw(on_the_way(lineage)), data.draw(on_the_way(lineage))
    number = 1 + max(each.timeline for each in lineage)
    new = LineageEntry(term=9, timeline=number, fork=chosen.lsn, uid=SANDUN_1, incarnation="0000000f")
    then = extended(lineage, chosen, new)

    assert not has_diverged(chosen, then)
    if other.lsn > chosen.lsn:
        assert has_diverged(other, then)
        assert agreed_until(other, then) <= chosen.lsn
    if other.timeline == chosen.timeline and other.lsn <= chosen.lsn:
        assert not has_diverged(other, then)


@given(st.data())
def test_agreement_never_goes_beyond_the_own_data(data: st.DataObject) -> None:
    """Whatever way a member went, it is never credited with WAL that it lacks."""
    lineage = data.draw(lineages())
    steps = data.draw(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 15)), min_size=1, max_size=4))
    where = position(*sorted(steps, key=lambda step: step[1]))

    assert agreed_until(where, lineage) <= where.lsn
    assert contains(where, lineage, agreed_until(where, lineage))
    if not has_diverged(where, lineage):
        assert agreed_until(where, lineage) == where.lsn
