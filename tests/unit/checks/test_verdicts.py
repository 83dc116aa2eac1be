"""Each rule by itself: what it is called, which operations it shows, and how the verdict reads."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.checks.check import assert_holds, check
from tests.checks.history import (
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
from tests.checks.verdict import Verdict
from tests.unit.checks.builders import did, history

FIRST, SECOND = Append("k", 1), Append("k", 2)


def verdict_of(*operations: Operation) -> Verdict:
    [verdict] = check(history(*operations))
    return verdict


def saw(seen: tuple[int, ...]) -> Elements:
    return Elements("k", seen)


def rows(seen: tuple[int, ...]) -> Members:
    return Members("t", seen)


BROKEN = {
    "lost": (did(FIRST, 1, 2), did(saw(()), 3, 4)),
    "stale-read": (did(FIRST, 1, 2), did(saw(()), 3, 4), did(saw((1,)), 5, 6)),
    "duplicate": (did(FIRST, 1, 2), did(saw((1, 1)), 3, 4)),
    "never-written": (did(saw((1,)), 3, 4),),
    "failed-but-seen": (did(FIRST, 1, 2, "failed"), did(saw((1,)), 3, 4)),
    "not-a-prefix": (did(FIRST, 1, 9), did(SECOND, 1, 9), did(saw((2,)), 2, 8), did(saw((1, 2)), 10, 11)),
    "went-back": (did(FIRST, 1, 9, "unknown"), did(saw((1,)), 2, 3), did(saw(()), 4, 5)),
    "seen-too-early": (did(saw((1,)), 1, 2), did(FIRST, 3, 4), did(saw((1,)), 5, 6)),
    "out-of-order": (did(FIRST, 1, 2), did(SECOND, 3, 4), did(saw((2, 1)), 5, 6)),
    "not-looked-for": (did(saw(()), 1, 2), did(FIRST, 3, 4)),
    "fork": (
        did(Add("t", 1), 1, 9),
        did(Add("t", 2), 1, 9),
        did(rows((1,)), 2, 8),
        did(rows((2,)), 2, 8),
        did(rows((1, 2)), 10, 11),
    ),
    "not-linearizable": (did(Write("r", 1), 1, 2), did(Write("r", 2), 3, 4), did(Read("r", 1), 5, 6)),
}


@pytest.mark.parametrize(("rule", "operations"), BROKEN.items(), ids=BROKEN)
def test_one_fault_is_told_by_one_rule(rule: str, operations: tuple[Operation, ...]) -> None:
    """With the lines of the operations that show it, and their times."""
    verdict = verdict_of(*operations)
    shown = str(verdict)

    assert verdict.rules == {rule}
    assert not verdict.holds
    assert f"  {rule}: " in shown
    assert "\n    line " in shown
    assert " s to " in shown


def test_a_lost_row_reads_like_this() -> None:
    """The whole text of a verdict."""
    verdict = verdict_of(
        did(Add("accounts", 17), 12.30125, 12.304, client="writer-2"),
        did(Members("accounts", ()), 15.5, 15.75, client="final read"),
    )

    assert str(verdict).splitlines() == [
        "set accounts: VIOLATED (writes: 1 ok, 0 failed, 0 unknown; reads: 1)",
        (
            "  lost: 17 was acknowledged at 12.304000 s; the read that began at 15.500000 s lacks it, "
            "and so does the last read"
        ),
        "    line 1: writer-2 adds 17 to accounts, 12.301250 s to 12.304000 s, ok",
        "    line 2: final read reads accounts and sees nothing, 15.500000 s to 15.750000 s, ok",
    ]


def test_a_stale_read_of_a_register_reads_like_this() -> None:
    """Why either order is impossible, with the operations in the order in which they began."""
    verdict = verdict_of(did(Write("r", 1), 1, 2), did(Write("r", 2), 3, 4), did(Read("r", 1), 5, 6))

    assert str(verdict).splitlines()[1] == (
        "  not-linearizable: 1 came before 2: it had been written by 2.000000 s (line 1), and 2 was "
        "written by an operation that began only at 3.000000 s (line 2); 2 came before 1: it had been "
        "written by 4.000000 s (line 2), and 1 was read by an operation that began only at 5.000000 s "
        "(line 3)"
    )
    assert [each.number for each in verdict.findings[0].evidence] == [1, 2, 3]


def test_a_long_story_is_cut_short_with_its_number() -> None:
    """Of a thousand lost rows the first five, and how many more there are."""
    writes = (did(Add("t", number), number, number + 0.5) for number in range(1000))
    verdict = verdict_of(*writes, did(rows(()), 2000, 2001))
    lines = str(verdict).splitlines()

    assert len(verdict.findings) == 1000
    assert len(lines) == 1 + 5 * 3 + 1
    assert lines[-1] == "  lost: 995 more like these"


UNKNOWN_STORIES = {
    "that nobody saw": (did(FIRST, 1, 2, "unknown"), did(saw(()), 3, 4)),
    "that shows up long after": (
        did(FIRST, 1, 2, "unknown"),
        did(SECOND, 3, 4),
        did(saw((2,)), 5, 6),
        did(saw((2, 1)), 7, 8),
    ),
    "of a register that nobody saw": (did(Write("r", 1), 1, 2, "unknown"), did(Read("r"), 3, 4)),
    "of a register that shows up long after": (
        did(Write("r", 1), 1, 2, "unknown"),
        did(Write("r", 2), 3, 4),
        did(Read("r", 2), 5, 6),
        did(Read("r", 1), 7, 8),
    ),
    "that failed and was made again": (did(FIRST, 1, 2, "failed"), did(FIRST, 3, 4), did(saw((1,)), 5, 6)),
}


@pytest.mark.parametrize("operations", UNKNOWN_STORIES.values(), ids=UNKNOWN_STORIES)
def test_an_unknown_write_may_or_may_not_happen_at_any_time(operations: tuple[Operation, ...]) -> None:
    """Nothing is held against it."""
    assert verdict_of(*operations).holds


def test_an_unknown_write_of_a_register_that_was_read_cannot_be_taken_back() -> None:
    """Once its value has been replaced it does not return."""
    verdict = verdict_of(
        did(Write("r", 1), 1, 2, "unknown"),
        did(Read("r", 1), 3, 4),
        did(Write("r", 2), 5, 6),
        did(Read("r", 1), 7, 8),
    )

    assert verdict.rules == {"not-linearizable"}


OPENED = did(Open("bank", {"a": 10, "b": 10, "c": 10}), 0, 0)


def balances(seen: Mapping[str, int], start_s: float = 8) -> Operation:
    return did(Balances("bank", seen), start_s, start_s + 1)


def moved(amount: int, outcome: str = "ok", *, source: str = "a", target: str = "b") -> Operation:
    assert outcome in {"ok", "failed", "unknown"}
    return did(Transfer("bank", source, target, amount), 1, 2, outcome)  # type: ignore[arg-type]


BANKS = {
    "total": ((moved(3), balances({"a": 8, "b": 13, "c": 10}, 1.5)), "31 together, +1 against the 30"),
    "accounts": ((moved(3), balances({"a": 10, "b": 20}, 1.5)), "missing in a snapshot: c"),
    "a lost transfer": (
        (moved(3), balances({"a": 10, "b": 10, "c": 10})),
        "as if this acknowledged transfer",
    ),
    "twice": ((moved(3), balances({"a": 4, "b": 16, "c": 10})), "had been made twice"),
    "failed": ((moved(3, "failed"), balances({"a": 7, "b": 13, "c": 10})), "as if this failed transfer had"),
    "unknown": (
        (moved(3, "unknown"), moved(2, "unknown"), balances({"a": 6, "b": 14, "c": 10})),
        "no choice among the 2 transfers of unknown outcome explains it",
    ),
}


@pytest.mark.parametrize(("operations", "text"), BANKS.values(), ids=BANKS)
def test_a_bank_that_does_not_add_up_is_told_with_the_accounts(
    operations: tuple[Operation, ...], text: str
) -> None:
    """And, where a single transfer would explain it, with that one."""
    verdict = verdict_of(OPENED, *operations)

    assert verdict.findings
    assert text in str(verdict)


def test_some_of_the_unknown_transfers_may_explain_the_balances() -> None:
    """Here the first and the third."""
    operations = [moved(amount, "unknown") for amount in (1, 2, 4)]

    assert verdict_of(OPENED, *operations, balances({"a": 5, "b": 15, "c": 10})).holds


def test_too_many_unknown_transfers_are_said_to_be_undecided() -> None:
    """Forty powers of two over three accounts have more sums than anybody counts; it is no violation."""
    operations = [
        moved(2**power, "unknown", source=source, target=target)
        for power, (source, target) in enumerate([("a", "b"), ("b", "c"), ("c", "a")] * 14)
    ]
    verdict = verdict_of(OPENED, *operations, balances({"a": 5, "b": 15, "c": 10}))

    assert verdict.findings == ()
    assert verdict.rules == {"too-many-unknown"}


def test_a_bank_that_nobody_looked_at_in_the_end_shows_nothing() -> None:
    """Constant totals on the way are not enough."""
    verdict = verdict_of(OPENED, balances({"a": 10, "b": 10, "c": 10}, 0.2), moved(3))

    assert verdict.findings == ()
    assert verdict.rules == {"not-looked-for"}


UNUSABLE = {
    "written twice": (
        (did(FIRST, 1, 2), did(FIRST, 3, 4, "unknown")),
        "line 2, field element: 1 is also written",
    ),
    "two kinds": (
        (did(Add("k", 1), 1, 2), did(FIRST, 3, 4), did(Read("k"), 5, 6)),
        "line 2, field op: line 1 uses this key as something else",
    ),
    "a value twice": ((did(Write("r", 1), 1, 2), did(Write("r", 1), 3, 4)), "line 2, field value"),
    "never opened": ((moved(1),), "line 1, field key: this bank is never opened"),
    "opened twice": ((OPENED, OPENED), "line 2, field op: a bank is opened once"),
    "no such account": ((OPENED, moved(1, target="x")), "line 2, field target: the bank has no account 'x'"),
}


@pytest.mark.parametrize(("operations", "text"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_history_that_cannot_be_judged_is_refused(operations: tuple[Operation, ...], text: str) -> None:
    """Rather than judged wrongly."""
    with pytest.raises(MalformedHistory, match=f"^{text}"):
        check(history(*operations))


def test_an_assertion_carries_the_verdict() -> None:
    """A failed run shows what a DBA would read; a good run passes, an empty one does not."""
    good = history(did(FIRST, 1, 2), did(saw((1,)), 3, 4))
    assert_holds(good)

    with pytest.raises(AssertionError, match="list k: VIOLATED"):
        assert_holds(history(*BROKEN["lost"]))
    with pytest.raises(AssertionError, match="it shows nothing"):
        assert_holds([])
