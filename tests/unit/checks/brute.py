"""The same questions answered by trying everything: slow, and too simple to be wrong in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TypeAlias

from tests.checks.history import (
    READS,
    Add,
    Append,
    Balances,
    Element,
    Elements,
    Members,
    Open,
    Operation,
    Read,
    Transfer,
    Write,
)

State: TypeAlias = tuple[Element, ...]
Step = Callable[[State, Operation], State | None]


def of_a_set(state: State, operation: Operation) -> State | None:
    """The elements in any order; None: this cannot happen now."""
    match operation.action:
        case Add(_, element):
            return (*state, element)
        case Members(_, seen):
            return state if sorted(seen or (), key=repr) == sorted(state, key=repr) else None
        case _:
            raise AssertionError(operation)


def of_a_list(state: State, operation: Operation) -> State | None:
    """The elements in their order."""
    match operation.action:
        case Append(_, element):
            return (*state, element)
        case Elements(_, seen):
            return state if seen == state else None
        case _:
            raise AssertionError(operation)


def of_a_register(state: State, operation: Operation) -> State | None:
    """The value, if there is one."""
    match operation.action:
        case Write(_, value):
            return (value,)
        case Read(_, seen):
            return state if seen == (state[0] if state else None) else None
        case _:
            raise AssertionError(operation)


def linearizable(operations: Sequence[Operation], step: Step) -> bool:
    """Whether some order of all that happened explains every read, by trying each order that time allows.

    A write of unknown outcome may be left out.
    """
    happened = [
        each
        for each in operations
        if each.outcome == "ok" or (each.outcome == "unknown" and not isinstance(each.action, READS))
    ]
    return _some_order((), happened, step)


def _some_order(state: State, left: list[Operation], step: Step) -> bool:
    if all(each.outcome == "unknown" for each in left):
        return True
    for chosen in left:
        # Whatever ended before it began has to come first; what is unknown never ended.
        if any(each.outcome == "ok" and each.end_s < chosen.start_s for each in left):
            continue
        after = step(state, chosen)
        if after is not None and _some_order(after, [each for each in left if each is not chosen], step):
            return True
    return False


def bank_adds_up(operations: Sequence[Operation]) -> bool:
    """Whether totals are constant and every final snapshot follows from some choice of transfers."""
    opened = next(each.action.balances for each in operations if isinstance(each.action, Open))
    acked = [each for each in operations if isinstance(each.action, Transfer) and each.outcome == "ok"]
    unknown = [each for each in operations if isinstance(each.action, Transfer) and each.outcome == "unknown"]
    for each in operations:
        if not isinstance(each.action, Balances) or each.action.seen is None:
            continue
        seen = dict(each.action.seen)
        if seen.keys() != opened.keys() or sum(seen.values()) != sum(opened.values()):
            return False
        if any(other.end_s >= each.start_s for other in acked):
            continue
        possible = [other for other in unknown if other.start_s <= each.end_s]
        choices = (chosen for count in range(len(possible) + 1) for chosen in combinations(possible, count))
        if not any(_after(opened, [*acked, *chosen]) == seen for chosen in choices):
            return False
    return True


def _after(opened: object, moves: Sequence[Operation]) -> dict[str, int]:
    assert isinstance(opened, dict)
    balances = dict(opened)
    for move in moves:
        assert isinstance(move.action, Transfer)
        balances[move.action.source] -= move.action.amount
        balances[move.action.target] += move.action.amount
    return balances
