"""The account of an exercise, from records alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pgha.demo.accounting import (
    NO_FAILOVER,
    Milestone,
    Result,
    Statement,
    longest_gap_s,
    lost_rows,
    named_at_s,
    phases,
    traffic,
)

BOTH = ("sandun", "shiqiao")
FAULT_S = 10.0


def write(ended_s: float, result: Result = "ok", *, took_s: float = 0.1, site: str = "sandun") -> Statement:
    return Statement(site, ended_s - took_s, ended_s, result, row=1)


def read(ended_s: float, result: Result = "ok") -> Statement:
    return Statement("sandun", ended_s - 0.1, ended_s, result)


def test_the_gap_is_the_longest_silence_of_acknowledged_writes_of_all_writers() -> None:
    """Failures and reads do not count as acknowledgements."""
    seen = [write(9.0), write(9.5), write(10.5, "unknown"), read(10.7), write(11.0), write(11.2)]

    assert traffic(seen, FAULT_S, BOTH).write_gap_s == 1.5


def test_failures_on_the_wire_at_the_fault_are_apart_from_the_others() -> None:
    """Who was waiting for an answer when the power went is no error of the failover."""
    seen = [write(10.05, "unknown"), read(10.02, "failed"), write(10.9, "failed"), write(11.0)]

    found = traffic(seen, FAULT_S, BOTH)

    assert (found.in_flight, found.errors, found.unknown, found.acked) == (2, 1, 1, 1)


def test_only_the_clients_of_the_surviving_site_count() -> None:
    """Clients of a lost site are lost with it."""
    seen = [write(9.0, site="sandun"), write(9.8, site="shiqiao"), write(10.4, site="shiqiao")]
    seen.append(write(12.0, "failed", site="sandun"))

    found = traffic(seen, FAULT_S, ("shiqiao",))

    assert (found.acked, found.errors, round(found.write_gap_s, 6)) == (2, 0, 0.6)


@given(st.lists(st.floats(0, 1000)))
def test_no_gap_is_longer_than_the_whole(instants: list[float]) -> None:
    """And with fewer than two acknowledgements there is none to measure."""
    gap = longest_gap_s(instants)

    assert 0 <= gap <= (max(instants) - min(instants) if instants else 0)


def test_a_row_is_lost_when_it_was_acknowledged_and_is_not_there() -> None:
    """Rows of unknown outcome that are there are no loss, nor are they anything else."""
    assert lost_rows({1, 2, 3}, {2, 3, 4}) == (1,)


def test_phases_follow_each_other_on_one_clock() -> None:
    """Fault, sealing view, promoting view, report, first acknowledged write."""
    seen = [
        Milestone(3.0, "sealing", 1),
        Milestone(10.02, "sealing", 2),
        Milestone(10.06, "promoting", 2),
        Milestone(10.10, "promoted", 2),
    ]

    found = phases(FAULT_S, seen, [9.9, 10.01, 10.15, 10.3])

    assert [
        round(took or 0, 3) for took in (found.detect_s, found.seal_s, found.promote_s, found.route_s)
    ] == [
        0.02,
        0.04,
        0.04,
        0.05,
    ]


def test_a_failover_of_two_terms_is_timed_as_one() -> None:
    """A candidate that died while it was promoted lengthens the seal."""
    seen = [
        Milestone(10.1, "sealing", 2),
        Milestone(10.2, "promoting", 2),
        Milestone(11.0, "sealing", 3),
        Milestone(11.5, "promoting", 3),
        Milestone(11.6, "promoted", 3),
    ]

    found = phases(FAULT_S, seen, [12.0])

    assert (found.detect_s, found.seal_s) == (10.1 - FAULT_S, 11.5 - 10.1)


def test_without_a_failover_there_are_no_phases() -> None:
    """Milestones of earlier exercises do not count."""
    assert phases(FAULT_S, [Milestone(3.0, "sealing", 1)], [11.0]) == NO_FAILOVER


def test_an_old_primary_is_replaced_when_the_next_one_is_named() -> None:
    """From then on it must acknowledge nothing; the first naming counts where there were two."""
    seen = [
        Milestone(3.0, "promoting", 1),
        Milestone(10.1, "sealing", 2),
        Milestone(10.2, "promoting", 2),
        Milestone(11.5, "promoting", 3),
    ]

    assert named_at_s(FAULT_S, seen) == 10.2
    assert named_at_s(FAULT_S, seen[:1]) == FAULT_S
