"""On thousands of small histories, good and bad, each checker says what trying everything says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest

from tests.checks.bank import check_bank
from tests.checks.history import (
    Action,
    Add,
    Append,
    Balances,
    Element,
    Elements,
    Members,
    Operation,
    Read,
    Transfer,
    Write,
)
from tests.checks.lists import check_list
from tests.checks.registers import check_register
from tests.checks.sets import check_set
from tests.checks.verdict import Verdict
from tests.unit.checks import brute
from tests.unit.checks.runs import ACCOUNTS, bank_opened, run_of, with_seen

HISTORIES = 4000
OF_AN_OBJECT = ("none", "lost write", "stale read", "undone failure", "late write", "noise")
OF_A_SET = (*OF_AN_OBJECT, "duplicate")
OF_A_LIST = (*OF_A_SET, "reordering")
SHARE_MIN = 0.2
"""Of good and of bad histories, so that neither answer can be guessed."""

Checker = Callable[[str, Sequence[Operation]], Verdict]


def tampered(random: Random, operations: list[Operation], fault: str) -> list[Operation]:
    """Let a read see what the object has not shown it."""

    def duplicate(seen: tuple[Element, ...]) -> tuple[Element, ...]:
        return (*seen, random.choice(seen))

    def reordering(seen: tuple[Element, ...]) -> tuple[Element, ...]:
        return tuple(random.sample(seen, len(seen)))

    def noise(seen: tuple[Element, ...]) -> tuple[Element, ...]:
        kept = [element for element in seen if random.random() < 0.7]
        return tuple([*kept, 99] if random.random() < 0.2 else kept)

    changes = {"duplicate": duplicate, "reordering": reordering, "noise": noise}
    return with_seen(random, operations, changes[fault]) if fault in changes else operations


@pytest.mark.parametrize(
    ("checker", "step", "write", "read", "faults"),
    [
        (check_set, brute.of_a_set, lambda number: Add("k", number), Members("k"), OF_A_SET),
        (check_list, brute.of_a_list, lambda number: Append("k", number), Elements("k"), OF_A_LIST),
        (check_register, brute.of_a_register, lambda number: Write("k", number), Read("k"), OF_AN_OBJECT),
    ],
    ids=["set", "list", "register"],
)
def test_a_history_is_refused_if_and_only_if_no_order_explains_it(
    checker: Checker, step: brute.Step, write: Callable[[int], Action], read: Action, faults: Sequence[str]
) -> None:
    """Each kind of fault gives some histories that are found out; what is as it was is never refused."""
    verdicts: Counter[tuple[str, bool]] = Counter()
    for seed in range(HISTORIES):
        random = Random(seed)
        fault = faults[seed % len(faults)]
        history = tampered(random, run_of(random, write, read, fault=fault), fault)
        verdict = checker("k", history)
        verdicts[fault, not verdict.findings] += 1
        said, expected = not verdict.findings, brute.linearizable(history, step)
        if said != expected:
            shown = "\n".join(str(each) for each in history)
            pytest.fail(f"seed {seed}, {fault}: linearizable is {expected}\n{shown}\n{verdict}")

    assert verdicts["none", False] == 0
    for good in (True, False):
        count = sum(number for (_, said), number in verdicts.items() if said is good)
        assert count >= SHARE_MIN * HISTORIES, verdicts
    for fault in set(faults) - {"none"}:
        assert verdicts[fault, False] >= HISTORIES / len(faults) / 10, (fault, verdicts)


def transfer(random: Random) -> Transfer:
    source, target = random.sample(ACCOUNTS, 2)
    return Transfer("bank", source, target, random.randint(1, 3))


def bank_run(random: Random, fault: str) -> list[Operation]:
    """A bank's history; sometimes a balance is changed that somebody read."""
    operations = run_of(random, lambda _: transfer(random), Balances("bank"), fault=fault)
    found = [bank_opened()]
    for each in operations:
        action = each.action
        if fault == "noise" and isinstance(action, Balances) and action.seen and random.random() < 0.5:
            seen = dict(action.seen)
            seen["a"] += random.randint(0, 1)
            seen["b"] -= random.randint(0, 1)
            each = Operation(each.number, each.client, Balances("bank", seen), "ok", each.start_s, each.end_s)  # noqa: PLW2901
        found.append(each)
    return found


def test_a_bank_is_refused_if_and_only_if_no_choice_of_transfers_explains_it() -> None:
    """Every subset of the unknown transfers is tried."""
    faults = ("none", "lost write", "undone failure", "late write", "noise")
    verdicts: Counter[bool] = Counter()
    undecided = 0
    for seed in range(HISTORIES):
        random = Random(seed)
        fault = faults[seed % len(faults)]
        history = bank_run(random, fault)
        verdict = check_bank("bank", history)
        said, expected = not verdict.findings, brute.bank_adds_up(history)
        verdicts[said] += 1
        undecided += "too-many-unknown" in verdict.rules
        if said != expected or (fault == "none" and not said):
            shown = "\n".join(str(each) for each in history)
            pytest.fail(f"seed {seed}, {fault}: explained is {expected}\n{shown}\n{verdict}")

    assert undecided == 0
    assert min(verdicts[True], verdicts[False]) >= SHARE_MIN * HISTORIES, verdicts
