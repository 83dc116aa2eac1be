"""Small random histories: some are what real objects gave their clients, in others something went wrong.

Each client does one thing after the other. An operation takes effect at an instant between its start and
end; one of unknown outcome at any time from its start on, or never. Times are small whole numbers, so that
many are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from tests.checks.history import (
    READS,
    Action,
    Add,
    Append,
    Balances,
    Element,
    Elements,
    Members,
    Open,
    Operation,
    Outcome,
    Read,
    Transfer,
    Write,
)

CLIENTS = 3
ACCOUNTS = ("a", "b", "c")
OPENED = {"a": 10, "b": 10, "c": 10}
LOST_S = 1000.0
"""When an effect takes place that never does."""

Fault = Callable[[Random, list[Operation]], list[Operation]]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An operation before anybody knows what it saw; it takes effect at an instant."""

    operation: Operation
    effect_s: float


def attempts(random: Random, count: int, make: Callable[[int], Action]) -> list[Attempt]:
    """So many operations of a few clients, in the order of their start."""
    free_s = [0] * CLIENTS
    made: list[Attempt] = []
    for number in range(1, count + 1):
        client = random.randrange(CLIENTS)
        start_s = free_s[client] + random.randint(0, 3)
        end_s = start_s + random.randint(0, 4)
        free_s[client] = end_s + random.randint(0, 1)
        outcome: Outcome = random.choices(("ok", "unknown", "failed"), (7, 2, 1))[0]
        effect_s = start_s + random.random() * (end_s - start_s)
        if outcome == "failed" or (outcome == "unknown" and random.random() < 0.4):
            effect_s = LOST_S
        elif outcome == "unknown":
            effect_s = start_s + random.random() * 8
        action = make(number)
        operation = Operation(number, f"client-{client}", action, outcome, float(start_s), float(end_s))
        made.append(Attempt(operation, effect_s))
    return made


def played(tried: Sequence[Attempt], look: Callable[[Action, list[Action]], Action]) -> list[Operation]:
    """Let an object answer: a read sees, by ``look``, all that took effect before."""
    done: list[Action] = []
    answered: dict[int, Operation] = {}
    for attempt in sorted(tried, key=lambda each: each.effect_s):
        operation = attempt.operation
        if isinstance(operation.action, READS):
            if operation.outcome == "ok":
                operation = replace(operation, action=look(operation.action, done))
        elif attempt.effect_s < LOST_S:
            done.append(operation.action)
        answered[operation.number] = operation
    return [answered[number] for number in sorted(answered)]


def seen_after(action: Action, done: list[Action]) -> Action:
    """What a read of each kind sees after some writes."""
    match action:
        case Members(key):
            return Members(key, tuple(each.element for each in done if isinstance(each, Add)))
        case Elements(key):
            return Elements(key, tuple(each.element for each in done if isinstance(each, Append)))
        case Read(key):
            values: list[Element] = [each.value for each in done if isinstance(each, Write)]
            return Read(key, values[-1] if values else None)
        case Balances(key):
            balances = dict(OPENED)
            for each in done:
                if isinstance(each, Transfer):
                    balances[each.source] -= each.amount
                    balances[each.target] += each.amount
            return Balances(key, balances)
        case _:
            raise AssertionError(action)


def run_of(random: Random, write: Callable[[int], Action], read: Action, *, fault: str) -> list[Operation]:
    """A history of at most seven operations, as it was or with something that went wrong."""
    tried = attempts(
        random, random.randint(4, 7), lambda number: write(number) if random.random() < 0.55 else read
    )
    if fault == "lost write":
        tried = _one(random, tried, writes=True, change=lambda each: replace(each, effect_s=LOST_S))
    if fault == "stale read":
        tried = _one(
            random,
            tried,
            writes=False,
            change=lambda each: replace(each, effect_s=each.effect_s - random.randint(2, 9)),
        )
    if fault == "undone failure":
        tried = _one(random, tried, writes=True, change=_failed_but_done)
    if fault == "late write":
        tried = _one(
            random,
            tried,
            writes=True,
            change=lambda each: replace(each, effect_s=each.effect_s + random.randint(2, 9)),
        )
    return played(tried, seen_after)


def _one(
    random: Random, tried: list[Attempt], *, writes: bool, change: Callable[[Attempt], Attempt]
) -> list[Attempt]:
    places = [
        place
        for place, each in enumerate(tried)
        if isinstance(each.operation.action, READS) is not writes and each.effect_s < LOST_S
    ]
    if not places:
        return tried
    chosen = random.choice(places)
    return [change(each) if place == chosen else each for place, each in enumerate(tried)]


def _failed_but_done(attempt: Attempt) -> Attempt:
    return replace(attempt, operation=replace(attempt.operation, outcome="failed"))


def with_seen(
    random: Random,
    operations: list[Operation],
    change: Callable[[tuple[Element, ...]], tuple[Element, ...]],
) -> list[Operation]:
    """Change what one read saw: of a register, to any value."""
    places = [
        place
        for place, each in enumerate(operations)
        if isinstance(each.action, Members | Elements | Read) and each.action.seen
    ]
    if not places:
        return operations
    chosen = random.choice(places)
    found = list(operations)
    action = found[chosen].action
    if isinstance(action, Read):
        value: Element | None = random.choice((None, *range(1, len(operations) + 2)))
        found[chosen] = replace(found[chosen], action=replace(action, seen=value))
    elif isinstance(action, Members | Elements) and action.seen is not None:
        found[chosen] = replace(found[chosen], action=replace(action, seen=change(action.seen)))
    return found


def bank_opened() -> Operation:
    """The first operation of every bank."""
    return Operation(0, "setup", Open("bank", OPENED), "ok", -1.0, -1.0)
