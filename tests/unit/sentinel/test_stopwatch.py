"""For how long a condition has held, and how long a phase took."""

from __future__ import annotations

from sentinel.stopwatch import Holding, PhaseTimes


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
