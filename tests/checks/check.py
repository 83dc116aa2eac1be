"""From a history to one verdict for each key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from tests.checks.bank import check_bank
from tests.checks.history import (
    Action,
    Add,
    Append,
    Balances,
    Elements,
    MalformedHistory,
    Members,
    Open,
    Operation,
    Read,
    Transfer,
    Write,
)
from tests.checks.lists import check_list
from tests.checks.registers import check_register
from tests.checks.sets import check_set
from tests.checks.verdict import Verdict

Checker = Callable[[str, Sequence[Operation]], Verdict]

_CHECKERS: Final[dict[type[Action], Checker]] = {
    **dict.fromkeys((Add, Members), check_set),
    **dict.fromkeys((Append, Elements), check_list),
    **dict.fromkeys((Write, Read), check_register),
    **dict.fromkeys((Open, Transfer, Balances), check_bank),
}


def check(operations: Iterable[Operation]) -> tuple[Verdict, ...]:
    """Judge a whole history, each key by itself.

    That is enough for all of it: a history is linearizable if and only if that of each object is (Herlihy and
    Wing, 1990). Raises MalformedHistory.
    """
    by_key: dict[str, list[Operation]] = {}
    for each in operations:
        several = by_key.setdefault(each.action.key, [])
        if several and _CHECKERS[type(several[0].action)] is not _CHECKERS[type(each.action)]:
            raise MalformedHistory(
                each.number, "op", f"line {several[0].number} uses this key as something else"
            )
        several.append(each)
    return tuple(_CHECKERS[type(several[0].action)](key, several) for key, several in sorted(by_key.items()))


def assert_holds(operations: Iterable[Operation]) -> None:
    """Fail with every verdict that is not a good one, and when there was nothing to judge."""
    verdicts = check(operations)
    assert verdicts, "the history is empty: it shows nothing"
    bad = [str(verdict) for verdict in verdicts if not verdict.holds]
    assert not bad, "\n".join(bad)
