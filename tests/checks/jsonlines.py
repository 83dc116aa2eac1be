"""A history as JSON lines: one operation a line, written by whoever ran clients, read back with care.

    {"op":"append","client":"w1","key":"k","element":7,"outcome":"ok","start_s":1.25,"end_s":1.5}
    {"op":"elements","client":"r1","key":"k","seen":[7],"outcome":"ok","start_s":1.5,"end_s":1.75}

A read that did not succeed has ``"seen":null``. A line that is not exactly as it should be is refused with
its number and the field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, NoReturn, get_args

from tests.checks.history import (
    Action,
    Add,
    Append,
    Balances,
    Element,
    Elements,
    MalformedHistory,
    Members,
    Open,
    Operation,
    Outcome,
    Read,
    Transfer,
    Write,
)

_NAMES: Final = {kind: kind.__name__.lower() for kind in get_args(Action)}
_OUTCOMES: Final = get_args(Outcome)
_SECONDS_MAX: Final = 1e12
_SHOWN_CHARS: Final = 60


def to_line(operation: Operation) -> str:
    """One operation as a line, without its end; times keep every digit."""
    action = operation.action
    done = {each.name: getattr(action, each.name) for each in fields(action)}
    plain = {
        "op": _NAMES[type(action)],
        "client": operation.client,
        **done,
        "outcome": operation.outcome,
        "start_s": operation.start_s,
        "end_s": operation.end_s,
    }
    return json.dumps(plain, separators=(",", ":"), allow_nan=False)


def write_history(path: Path, operations: Iterable[Operation]) -> None:
    """Write a whole history; the operations' numbers are the lines only when they count from 1."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{to_line(operation)}\n" for operation in operations)


def read_history(path: Path) -> list[Operation]:
    """Read a history from a file; raises MalformedHistory, and OSError."""
    with path.open("rb") as file:
        return list(parse_lines(file))


def parse_lines(lines: Iterable[bytes]) -> Iterator[Operation]:
    """Read operations from lines; raises MalformedHistory."""
    for number, line in enumerate(lines, 1):
        yield _Line(number, line).operation()


class _Line:
    """One line, whose fields are taken one after the other."""

    def __init__(self, number: int, line: bytes) -> None:
        self._number = number
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            self._refuse("", f"not JSON: {error}")
        if not isinstance(found, dict):
            self._refuse("", "not an object")
        self._left: dict[str, Any] = found

    def operation(self) -> Operation:
        name = self._one_of("op", _ACTIONS)
        client = self._text("client")
        outcome: Outcome = self._one_of("outcome", _OUTCOMES)
        action = _ACTIONS[name](self, outcome == "ok")
        start_s, end_s = self._seconds("start_s"), self._seconds("end_s")
        if end_s < start_s:
            self._refuse("end_s", f"{end_s} lies before start_s, {start_s}")
        for field in self._left:
            self._refuse(
                field if field.isprintable() else ascii(field), f"an operation {name!r} has no such field"
            )
        return Operation(self._number, client, action, outcome, start_s, end_s)

    def add(self, _: bool) -> Action:
        return Add(self._text("key"), self._element("element"))

    def members(self, ok: bool) -> Action:
        return Members(self._text("key"), self._elements(ok=ok))

    def append(self, _: bool) -> Action:
        return Append(self._text("key"), self._element("element"))

    def elements(self, ok: bool) -> Action:
        return Elements(self._text("key"), self._elements(ok=ok))

    def write(self, _: bool) -> Action:
        return Write(self._text("key"), self._element("value"))

    def read(self, ok: bool) -> Action:
        key, seen = self._text("key"), self._take("seen")
        if seen is None:
            return Read(key)
        self._must_be_read(ok)
        return Read(key, self._as_element("seen", seen))

    def open(self, _: bool) -> Action:
        return Open(self._text("key"), self._amounts("balances", self._take("balances")))

    def transfer(self, _: bool) -> Action:
        key, source, target = self._text("key"), self._text("source"), self._text("target")
        return Transfer(key, source, target, self._as_amount("amount", self._take("amount")))

    def balances(self, ok: bool) -> Action:
        key, seen = self._text("key"), self._take("seen")
        if seen is None:
            self._must_not_be_read(ok)
            return Balances(key)
        self._must_be_read(ok)
        return Balances(key, self._amounts("seen", seen))

    def _elements(self, *, ok: bool) -> tuple[Element, ...] | None:
        seen = self._take("seen")
        if seen is None:
            self._must_not_be_read(ok)
            return None
        self._must_be_read(ok)
        if not isinstance(seen, list):
            self._refuse("seen", f"{_shown(seen)} is not a list")
        for element in seen:
            if type(element) not in {int, str}:
                self._refuse("seen", f"{_shown(element)} is neither a whole number nor a text")
        return tuple(seen)

    def _amounts(self, field: str, found: Any) -> dict[str, int]:
        if not isinstance(found, dict):
            self._refuse(field, f"{_shown(found)} is not an object of accounts and amounts")
        return {
            self._as_text(field, account): self._as_amount(field, amount) for account, amount in found.items()
        }

    def _as_amount(self, field: str, found: Any) -> int:
        if type(found) is not int:
            self._refuse(field, f"{_shown(found)} is not a whole number")
        return found

    def _element(self, field: str) -> Element:
        return self._as_element(field, self._take(field))

    def _as_element(self, field: str, found: Any) -> Element:
        if not isinstance(found, str) and type(found) is not int:
            self._refuse(field, f"{_shown(found)} is neither a whole number nor a text")
        return found

    def _text(self, field: str) -> str:
        return self._as_text(field, self._take(field))

    def _as_text(self, field: str, found: Any) -> str:
        # It will be printed as it is: nothing in it may do something to a terminal.
        if not isinstance(found, str) or not found or not found.isprintable():
            self._refuse(field, f"{_shown(found)} is not a text that can be printed")
        return found

    def _seconds(self, field: str) -> float:
        found = self._take(field)
        if type(found) not in {int, float} or not abs(found) <= _SECONDS_MAX:  # NaN too
            self._refuse(field, f"{_shown(found)} is not a number of seconds")
        return float(found)

    def _one_of(self, field: str, known: Iterable[str]) -> Any:
        found = self._take(field)
        if not isinstance(found, str) or found not in known:
            self._refuse(field, f"{_shown(found)} is not one of {', '.join(known)}")
        return found

    def _take(self, field: str) -> Any:
        if field not in self._left:
            self._refuse(field, "missing")
        return self._left.pop(field)

    def _must_be_read(self, ok: bool) -> None:
        if not ok:
            self._refuse("seen", "a read that did not succeed has seen nothing: null")

    def _must_not_be_read(self, ok: bool) -> None:
        if ok:
            self._refuse("seen", "a read that succeeded has seen something, be it nothing at all")

    def _refuse(self, field: str, why: str) -> NoReturn:
        raise MalformedHistory(self._number, field, why)


_ACTIONS: Final[dict[str, Callable[[_Line, bool], Action]]] = {
    name: getattr(_Line, name) for name in _NAMES.values()
}


def _shown(found: Any) -> str:
    text = json.dumps(found)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
