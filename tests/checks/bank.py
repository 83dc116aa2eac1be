"""A bank: the total is the same in every snapshot, and the final balances follow from the transfers.

Every acknowledged transfer must have been made, no failed one, and of the unknown ones any. Which of them,
is a question of sums of subsets: answered account by account, up to a number of combinations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.checks.history import Balances, MalformedHistory, Open, Operation, Transfer
from tests.checks.verdict import Finding, Verdict, tally_of

COMBINATIONS_MAX: Final = 200_000
"""Partial sums that are kept at a time; a run with that many is said to be undecided."""


@dataclass(frozen=True, slots=True)
class Move:
    """A transfer, and the operation that it was."""

    operation: Operation
    transfer: Transfer


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Balances that were read at once."""

    operation: Operation
    balances: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Bank:
    """The operations on one bank."""

    opened: Mapping[str, int]
    moves: tuple[Move, ...]
    snapshots: tuple[Snapshot, ...]

    def moves_that(self, outcome: str) -> list[Move]:
        """The transfers of one outcome."""
        return [each for each in self.moves if each.operation.outcome == outcome]


def check_bank(key: str, operations: Sequence[Operation]) -> Verdict:
    """Judge the transfers and snapshots of one bank; raises MalformedHistory."""
    bank = _sorted_out(operations)
    found = [finding for each in bank.snapshots for finding in _totals(bank, each)]
    gaps: list[Finding] = []
    last_s = max((each.operation.end_s for each in bank.moves_that("ok")), default=None)
    finals = [each for each in bank.snapshots if last_s is None or each.operation.start_s > last_s]
    if not finals:
        text = (
            "no snapshot was read after the last acknowledged transfer: nobody looked at the final balances"
        )
        gaps.append(Finding("not-looked-for", text))
    due = dict(bank.opened)
    for move in bank.moves_that("ok"):
        _apply(due, move.transfer)
    unknown = bank.moves_that("unknown")
    judged: set[tuple[int, frozenset[tuple[str, int]]]] = set()
    for snapshot in finals:
        # One that began later than the snapshot ended cannot be in it.
        open_then = [each.transfer for each in unknown if each.operation.start_s <= snapshot.operation.end_s]
        same = (len(open_then), frozenset(snapshot.balances.items()))
        if snapshot.balances.keys() == due.keys() and same not in judged:
            judged.add(same)
            violated, undecided = _final(bank, snapshot, due, open_then)
            found += violated
            gaps += undecided
    return Verdict("bank", key, tally_of(operations), tuple(found), tuple(gaps))


def _sorted_out(operations: Sequence[Operation]) -> Bank:
    opened: Mapping[str, int] | None = None
    moves: list[Move] = []
    snapshots: list[Snapshot] = []
    for each in operations:
        match each.action:
            case Open(_, balances):
                if opened is not None or each.outcome != "ok":
                    raise MalformedHistory(each.number, "op", "a bank is opened once, with outcome ok")
                opened = balances
            case Transfer() as transfer:
                moves.append(Move(each, transfer))
            case Balances(_, seen):
                if seen is not None:
                    snapshots.append(Snapshot(each, seen))
            case _:
                raise MalformedHistory(each.number, "op", "not an operation on a bank")
    if opened is None:
        raise MalformedHistory(operations[0].number, "key", "this bank is never opened")
    _must_be_opened(opened, moves)
    return Bank(opened, tuple(moves), tuple(snapshots))


def _must_be_opened(opened: Mapping[str, int], moves: Sequence[Move]) -> None:
    for move in moves:
        for field in ("source", "target"):
            account = getattr(move.transfer, field)
            if account not in opened:
                raise MalformedHistory(move.operation.number, field, f"the bank has no account {account!r}")


def _totals(bank: Bank, snapshot: Snapshot) -> Iterator[Finding]:
    """What one snapshot shows by itself."""
    gone = bank.opened.keys() - snapshot.balances.keys()
    new = snapshot.balances.keys() - bank.opened.keys()
    if gone or new:
        text = f"missing in a snapshot: {_listed(gone)}; never opened, but in it: {_listed(new)}"
        yield Finding("accounts", text, (snapshot.operation,))
    total, seen = sum(bank.opened.values()), sum(snapshot.balances.values())
    if total != seen:
        text = f"the accounts hold {seen} together, {seen - total:+d} against the {total} of the beginning"
        yield Finding("total", text, (snapshot.operation,))


def _final(
    bank: Bank, snapshot: Snapshot, due: Mapping[str, int], unknown: Sequence[Transfer]
) -> tuple[list[Finding], list[Finding]]:
    """Violations, and what could not be decided, of a snapshot after all that was acknowledged."""
    rest = {name: snapshot.balances[name] - due[name] for name in due}
    explained = some_of(unknown, rest)
    if explained:
        return [], []
    operation = snapshot.operation
    if explained is None:
        text = (
            f"{len(unknown)} transfers of unknown outcome have more than {COMBINATIONS_MAX} different sums: "
            "whether some of them explain the balances is not decided"
        )
        return [], [Finding("too-many-unknown", text, (operation,))]
    wrong = {name: amount for name, amount in rest.items() if amount}
    shown = ", ".join(f"{name} {wrong[name]:+d}" for name in sorted(wrong)[:5])
    more = f" and {len(wrong) - 5} accounts more" if len(wrong) > 5 else ""
    text = (
        f"the balances differ from those that follow from the acknowledged transfers ({shown}{more}), and no "
        f"choice among the {len(unknown)} transfers of unknown outcome explains it"
    )
    hint, culprit = _hint(bank, wrong)
    return [Finding("balances", text + hint, (*culprit, operation))], []


def _hint(bank: Bank, wrong: Mapping[str, int]) -> tuple[str, tuple[Operation, ...]]:
    """Name a single transfer whose loss, or whose effect against its outcome, would explain it all."""
    for move in bank.moves:
        effect: dict[str, int] = dict.fromkeys((move.transfer.source, move.transfer.target), 0)
        _apply(effect, move.transfer)
        effect = {name: amount for name, amount in effect.items() if amount}
        outcome = move.operation.outcome
        if outcome == "ok" and wrong == {name: -amount for name, amount in effect.items()}:
            return "; it is as if this acknowledged transfer were missing", (move.operation,)
        if outcome == "ok" and wrong == effect:
            return "; it is as if this transfer had been made twice", (move.operation,)
        if outcome == "failed" and wrong == effect:
            return "; it is as if this failed transfer had been made", (move.operation,)
    return "", ()


def some_of(transfers: Sequence[Transfer], wanted: Mapping[str, int]) -> bool | None:
    """Whether some of the transfers together change the accounts exactly as wanted.

    None: more than COMBINATIONS_MAX different partial sums. As soon as nothing more touches an account it
    must be right; sums that agree are one.
    """
    ordered = _closing_early(transfers)
    last = {name: place for place, each in enumerate(ordered) for name in (each.source, each.target)}
    if any(amount for name, amount in wanted.items() if name not in last):
        return False
    index = {name: place for place, name in enumerate(last)}
    states = {tuple(wanted[name] for name in index)}
    for place, each in enumerate(ordered):
        source, target = index[each.source], index[each.target]
        states |= {_without(state, source, target, each.amount) for state in states}
        for name in {each.source, each.target}:
            if last[name] == place:
                states = {state for state in states if state[index[name]] == 0}
        if len(states) > COMBINATIONS_MAX:
            return None
    return bool(states)


def _without(state: tuple[int, ...], source: int, target: int, amount: int) -> tuple[int, ...]:
    """What is still to be explained once a transfer is taken as made."""
    left = list(state)
    left[source] += amount
    left[target] -= amount
    return tuple(left)


def _closing_early(transfers: Sequence[Transfer]) -> list[Transfer]:
    """The transfers, account by account, so that accounts are finished with one after the other."""
    left = dict(enumerate(transfers))
    of_account: dict[str, set[int]] = {}
    for number, each in left.items():
        of_account.setdefault(each.source, set()).add(number)
        of_account.setdefault(each.target, set()).add(number)
    ordered: list[Transfer] = []
    while left:
        account = min(
            (name for name in of_account if of_account[name]), key=lambda name: len(of_account[name])
        )
        for number in sorted(of_account[account]):
            each = left.pop(number)
            ordered.append(each)
            of_account[each.source].discard(number)
            of_account[each.target].discard(number)
    return ordered


def _apply(balances: dict[str, int], transfer: Transfer) -> None:
    balances[transfer.source] -= transfer.amount
    balances[transfer.target] += transfer.amount


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
