"""A hundred thousand operations take about a second, also where everything is concurrent or lost.

The limit is ten times what was measured, of processor time, so that only a cost that grows with the square
can fail it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from tests.checks.check import check
from tests.checks.history import (
    Action,
    Add,
    Append,
    Balances,
    Elements,
    Members,
    Open,
    Operation,
    Outcome,
    Read,
    Transfer,
    Write,
)
from tests.checks.jsonlines import parse_lines, to_line

COUNT = 100_000
LIMIT_S = 15.0
CLIENTS = 20


def spread(actions: Iterator[tuple[Action, Outcome]]) -> list[Operation]:
    """So many operations of several clients, each overlapping all of the others."""
    return [
        Operation(number, f"c{number % CLIENTS}", action, outcome, float(number), float(number + CLIENTS))
        for number, (action, outcome) in enumerate(islice(actions, COUNT - 1), 1)
    ]


def closing(action: Action) -> Operation:
    return Operation(COUNT, "end", action, "ok", float(2 * COUNT), float(2 * COUNT))


def added() -> Iterator[tuple[Action, Outcome]]:
    for number in range(COUNT):
        yield Add("t", number), "unknown" if number % 50 == 0 else "ok"


def a_set() -> list[Operation]:
    return [*spread(added()), closing(Members("t", tuple(range(COUNT - 1))))]


def a_lost_set() -> list[Operation]:
    return [*spread(added()), closing(Members("t", ()))]


def lists() -> list[Operation]:
    """A thousand lists that are read after every append."""

    def actions() -> Iterator[tuple[Action, Outcome]]:
        for length in range(1, COUNT):
            for key in range(1000):
                yield Append(f"k{key}", length), "ok"
            for key in range(1000):
                yield Elements(f"k{key}", tuple(range(1, length + 1))), "ok"

    return spread(actions())


def register() -> list[Operation]:
    def actions() -> Iterator[tuple[Action, Outcome]]:
        for value in range(COUNT):
            yield Write("r", value), "unknown" if value % 50 == 0 else "ok"
            yield Read("r", value), "ok"

    return spread(actions())


def a_stuck_register() -> list[Operation]:
    """Every read sees the first value: each cluster is at odds with that one."""

    def actions() -> Iterator[tuple[Action, Outcome]]:
        yield Write("r", 0), "ok"
        for value in range(1, COUNT):
            yield Write("r", value), "ok"
            yield Read("r", 0), "ok"

    return spread(actions())


def bank() -> list[Operation]:
    """Twenty accounts, one transfer in a thousand unknown and not made."""
    names = [f"a{number}" for number in range(20)]

    def actions() -> Iterator[tuple[Action, Outcome]]:
        balances = dict.fromkeys(names, 100)
        yield Open("bank", dict(balances)), "ok"
        for number in range(COUNT):
            source, target = names[number % 20], names[number * 7 % 20]
            unknown = number % 1000 == 1
            yield Transfer("bank", source, target, 1 + number % 3), "unknown" if unknown else "ok"
            if not unknown:
                balances[source] -= 1 + number % 3
                balances[target] += 1 + number % 3
            yield Balances("bank", dict(balances)), "ok"

    made = spread(actions())
    last = next(each.action for each in reversed(made) if isinstance(each.action, Balances))
    return [*made, closing(last)]


@pytest.mark.parametrize(
    ("make", "holds"),
    [
        (a_set, True),
        (a_lost_set, False),
        (lists, True),
        (register, True),
        (a_stuck_register, False),
        (bank, True),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_long_history_is_judged_in_time(make: Callable[[], list[Operation]], holds: bool) -> None:
    """Whether it is good or bad, in far less than what a square of its length would take."""
    history = make()
    began_s = time.process_time()
    verdicts = check(history)
    shown = "\n".join(str(verdict) for verdict in verdicts)
    took_s = time.process_time() - began_s

    assert len(history) >= COUNT - 1
    assert took_s < LIMIT_S
    assert all(verdict.findings == () for verdict in verdicts) is holds, shown[:2000]


def test_a_long_history_is_written_and_read_in_time() -> None:
    """It comes back the same."""
    history = register()
    began_s = time.process_time()
    again = list(parse_lines(to_line(each).encode() for each in history))
    took_s = time.process_time() - began_s

    assert again == history
    assert took_s < LIMIT_S
