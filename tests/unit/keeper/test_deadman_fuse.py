"""What moves a deadman's deadline, and what it accepts once that has passed."""

from __future__ import annotations

import math

import pytest

from keeper.deadman.fuse import LIMIT_MAX_S, Fuse

NOW = 1000.0
ARMED = Fuse("armed", NOW + 3)
KILLING = Fuse("expired", NOW - 1, empty=False, fired=1)
EMPTIED = Fuse("expired", NOW - 1, empty=True, fired=1)


def accepted(outcome: Fuse | str) -> Fuse:
    assert isinstance(outcome, Fuse), outcome
    return outcome


def refusal(outcome: Fuse | str) -> str:
    assert isinstance(outcome, str), outcome
    return outcome


def test_it_expires_at_its_deadline_and_counts_that() -> None:
    """Not before, and once."""
    before, then = ARMED.at(NOW + 2.999), ARMED.at(NOW + 3)

    assert before == ARMED
    assert then == Fuse("expired", NOW + 3, empty=False, fired=1)
    assert then.at(NOW + 100) == then


def test_an_idle_one_never_expires() -> None:
    """With k >= 1 the seal is the fence."""
    assert Fuse().at(math.inf) == Fuse()


@pytest.mark.parametrize("deadline", [NOW + 4, NOW + 0.1], ids=["later", "earlier"])
def test_the_latest_word_counts(deadline: float) -> None:
    """A new lease may be shorter than the one before: then it ends earlier."""
    armed = accepted(ARMED.arm(NOW, deadline, 5))

    assert (armed.state, armed.deadline) == ("armed", deadline)


def test_an_armed_one_that_is_told_of_a_deadline_in_the_past_fires() -> None:
    """The keeper itself says that PostgreSQL should be dead by now."""
    told = accepted(ARMED.arm(NOW, NOW - 0.1, 3))

    assert (told.state, told.empty, told.fired) == ("expired", False, 1)


@pytest.mark.parametrize("fuse", [Fuse(), EMPTIED], ids=["idle", "expired"])
def test_one_that_is_not_armed_refuses_a_deadline_in_the_past(fuse: Fuse) -> None:
    """Nothing has been started under it; the keeper learns that it is too late to start."""
    assert "passed 0.100 s ago" in refusal(fuse.arm(NOW, NOW - 0.1, 3))


@pytest.mark.parametrize(
    ("deadline", "limit_s", "words"),
    [
        (NOW + 3.001, 3.0, "3.001 s away, which is more than limit_s = 3"),
        (1.7e9, 3.0, "more than limit_s"),
        (math.inf, 3.0, "more than limit_s"),
        (math.nan, 3.0, "more than limit_s"),
        (NOW + 1, LIMIT_MAX_S + 1, "limit_s = 601"),
        (NOW + 1, 0.0, "limit_s = 0"),
        (NOW + 1, math.nan, "limit_s = nan"),
    ],
)
@pytest.mark.parametrize("fuse", [Fuse(), ARMED], ids=["idle", "armed"])
def test_a_deadline_too_far_away_is_refused(fuse: Fuse, deadline: float, limit_s: float, words: str) -> None:
    """A wrong clock or a wrong unit would disarm it in effect."""
    assert words in refusal(fuse.arm(NOW, deadline, limit_s))


def test_while_it_kills_nothing_is_accepted() -> None:
    """A re-arm that comes too late must not save what is being killed, nor a disarm."""
    assert "being killed" in refusal(KILLING.arm(NOW, NOW + 3, 3))
    assert "being killed" in refusal(KILLING.disarm())


def test_once_nothing_is_left_it_can_be_armed_again() -> None:
    """For the next start of PostgreSQL, by a keeper that is awake again."""
    armed = accepted(EMPTIED.arm(NOW, NOW + 3, 3))

    assert armed == Fuse("armed", NOW + 3, empty=False, fired=1)


def test_once_nothing_is_left_it_can_be_disarmed() -> None:
    """For a start in recovery; it does not forget that it has fired."""
    assert accepted(EMPTIED.disarm()) == Fuse(fired=1)


def test_it_stays_expired_until_it_is_told_otherwise() -> None:
    """Nothing may live in the directory: a keeper may be paused between the arm and its start."""
    emptied = KILLING.swept(empty=True)

    assert emptied == EMPTIED
    assert emptied.at(NOW + 1000).state == "expired"
    assert emptied.swept(empty=False) == KILLING


def test_a_sweep_of_another_state_changes_nothing() -> None:
    """Only an expired fuse has one."""
    assert ARMED.swept(empty=True) == ARMED
    assert Fuse().swept(empty=True) == Fuse()


def test_the_margin_is_what_is_left() -> None:
    """None while there is no deadline, negative once it has passed."""
    assert Fuse().margin_s(NOW) is None
    assert ARMED.margin_s(NOW) == 3
    assert KILLING.margin_s(NOW) == -1
