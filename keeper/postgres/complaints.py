"""What PostgreSQL says when it refuses a configuration file, in an operator's terms. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

_LINE: Final = re.compile(r"\b(LOG|HINT|DETAIL):\s+(.+)$")
_NAMED: Final = re.compile(r'parameter "([^"]+)"')
_PLACE: Final = re.compile(r' in file "[^"]*" line \d+')


def complaints(lines: Iterable[str], parameters: Mapping[str, str]) -> tuple[str, ...]:
    """What is wrong with which parameter, each as ``field = value: rule``; empty where no line names one.

    ``lines`` are in English, as PostgreSQL writes them on standard error.
    """
    given = {name.lower(): (name, value) for name, value in parameters.items()}
    found: list[str] = []
    for line in lines:
        match = _LINE.search(line)
        if match is None:
            continue
        kind, text = match.groups()
        named = _NAMED.search(text)
        if kind == "LOG" and named is not None:
            name, value = given.get(named[1].lower(), (named[1], None))
            field = f"postgres.parameters.{name}" + ("" if value is None else f" = {value!r}")
            found.append(f"{field}: {_PLACE.sub('', text)}")
        elif kind != "LOG" and found:
            found[-1] += f"; {text.rstrip('.')}"
    return tuple(found)
