"""The history of a run: what each client did and saw, when, and with which outcome.

All times are seconds on one monotonic clock. An operation starts before its request is sent and ends after
its answer came, so that the interval contains the instant of its effect.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Element: TypeAlias = int | str
Outcome = Literal["ok", "failed", "unknown"]


class MalformedHistory(ValueError):
    """A history that cannot be judged: which line and field, and why."""

    def __init__(self, line: int, field: str, why: str) -> None:
        super().__init__(f"line {line}{field and f', field {field}'}: {why}")
        self.line = line
        self.field = field


@dataclass(frozen=True, slots=True)
class Add:
    """Put an element into a set: a row into a table that only grows."""

    key: str
    element: Element


@dataclass(frozen=True, slots=True)
class Members:
    """Read a whole set; ``seen`` is None unless the read has succeeded."""

    key: str
    seen: tuple[Element, ...] | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """Put an element at the end of a list."""

    key: str
    element: Element


@dataclass(frozen=True, slots=True)
class Elements:
    """Read a whole list in its order; ``seen`` is None unless the read has succeeded."""

    key: str
    seen: tuple[Element, ...] | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """Give a register a value that nobody else gives it."""

    key: str
    value: Element


@dataclass(frozen=True, slots=True)
class Read:
    """Read a register; ``seen`` is None where nothing had been written yet."""

    key: str
    seen: Element | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """Open a bank with the first balance of every account."""

    key: str
    balances: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move an amount from one account to another."""

    key: str
    source: str
    target: str
    amount: int


@dataclass(frozen=True, slots=True)
class Balances:
    """Read all balances in one snapshot; ``seen`` is None unless the read has succeeded."""

    key: str
    seen: Mapping[str, int] | None = None


Action: TypeAlias = Add | Members | Append | Elements | Write | Read | Open | Transfer | Balances
READS = (Members, Elements, Read, Balances)


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that a client did.

    ``failed`` had no effect, now or later. ``unknown``: the answer was lost; it may have taken effect at
    any time since the start, also after ``end_s``, or never. ``number`` counts from 1: the line of the file.
    """

    number: int
    client: str
    action: Action
    outcome: Outcome
    start_s: float
    end_s: float

    @property
    def effect_by_s(self) -> float:
        """When its effect had been seen to, at the latest: never, for an unknown outcome."""
        return math.inf if self.outcome == "unknown" else self.end_s

    def __str__(self) -> str:
        when = f"{self.start_s:.6f} s to {self.end_s:.6f} s"
        return f"line {self.number}: {self.client} {_said(self)}, {when}, {self.outcome}"


def _said(operation: Operation) -> str:
    match operation.action:
        case Add(key, element):
            return f"adds {element!r} to {key}"
        case Append(key, element):
            return f"appends {element!r} to {key}"
        case Write(key, value):
            return f"writes {value!r} to {key}"
        case Open(key, balances):
            return f"opens {key} with {len(balances)} accounts and {sum(balances.values())} in all"
        case Transfer(key, source, target, amount):
            return f"moves {amount} from {source} to {target} in {key}"
        case Read(key, seen):
            return f"reads {key}" + (f" and sees {seen!r}" if operation.outcome == "ok" else "")
        case Members(key, elements) | Elements(key, elements):
            return f"reads {key}" + ("" if elements is None else f" and sees {_shortened(elements)}")
        case Balances(key, balances):
            return f"reads {key}" + (f" and sees {sum(balances.values())} in all" if balances else "")


def _shortened(elements: tuple[Element, ...]) -> str:
    if not elements:
        return "nothing"
    shown = ", ".join(repr(element) for element in elements[-3:])
    if len(elements) <= 3:
        return shown
    return f"{len(elements)} elements up to {shown}"
