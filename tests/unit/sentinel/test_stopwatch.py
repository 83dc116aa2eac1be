"""For how long a condition has held, and how long a phase took."""

from __future__ import annotations

from sentinel.stopwatch import LOOK_LIMIT_S, Holding, PhaseTimes


def test_a_condition_counts_from_when_it_was_first_seen() -> None:
    """Each by itself."""
    holding = Holding()
    holding.observe({"a"}, 10.0)

    assert holding.observe({"a", "b"}, 12.5) == {"a": 2.5, "b": 0.0}


def test_a_break_starts_the_count_anew() -> None:
    """However short it was."""
    holding = Holding()
    holding.observe({"a"}, 10.0)
    holding.observe(set(), 11.0)

    assert holding.observe({"a"}, 12.0) == {"a": 0.0}


def test_what_nobody_saw_does_not_count() -> None:
    """After an outage of the store each condition counts from nothing, however long it had held."""
    holding = Holding()
    holding.observe({"a"}, 10.0)
    holding.observe({"a"}, 12.0)
    holding.lose_sight()

    assert holding.observe({"a", "b"}, 13.0) == {"a": 0.0, "b": 0.0}
    assert holding.observe({"a"}, 14.0) == {"a": 1.0}


def test_two_looks_too_far_apart_are_a_gap() -> None:
    """A process that slept has seen nothing meanwhile."""
    holding = Holding()
    holding.observe({"a"}, 10.0)

    assert holding.observe({"a"}, 10.0 + LOOK_LIMIT_S) == {"a": LOOK_LIMIT_S}
    assert holding.observe({"a"}, 10.1 + 2 * LOOK_LIMIT_S) == {"a": 0.0}


def test_what_outlasts_gaps_goes_on_without_the_gaps_time() -> None:
    """As long as it is true before and after; a break ends it like any other."""
    holding = Holding(lambda condition: condition == "days")
    holding.observe({"days", "seconds"}, 10.0)
    holding.observe({"days", "seconds"}, 12.0)
    holding.lose_sight()
    after = holding.observe({"days", "seconds"}, 100.0)
    later = holding.observe({"days", "seconds"}, 101.0)
    holding.lose_sight()
    holding.observe(set(), 200.0)

    assert after == {"days": 2.0, "seconds": 0.0}
    assert later == {"days": 3.0, "seconds": 1.0}
    assert holding.observe({"days"}, 201.0) == {"days": 0.0}


def test_the_phases_of_a_failover_are_timed() -> None:
    """The seal, the promotion, and both together."""
    phases = PhaseTimes()
    phases.mark("sealing", 1.0)
    seal = phases.phases_ms("primary_named", 1.5)
    phases.mark("primary_named", 1.5)

    assert seal == {"seal_ms": 500.0}
    assert phases.phases_ms("route_set", 1.75) == {"promote_ms": 250.0, "total_ms": 750.0}


def test_what_another_sentinel_began_is_not_timed() -> None:
    """Its clock is not ours."""
    assert PhaseTimes().phases_ms("route_set", 5.0) == {}


def test_a_finished_failover_is_forgotten() -> None:
    """The next route starts from its own phases."""
    phases = PhaseTimes()
    for kind in ("sealing", "primary_named", "route_set"):
        phases.mark(kind, 1.0)

    assert phases.phases_ms("route_set", 9.0) == {}
