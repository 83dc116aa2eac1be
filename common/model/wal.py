"""Positions in the write-ahead log, and the history of a timeline.

Source: PostgreSQL's ``pg_lsn`` type and the history files of
``src/backend/access/transam/timeline.c``.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_LAST: Final = (1 << 64) - 1
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_HISTORY_LINE = re.compile(r"^\s*(\d+)\s+([0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8})")


class Lsn(int):
    """A byte position in the write-ahead log; its text is PostgreSQL's ``X/X``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: str | int) -> Lsn:
        """Read ``X/X``, or take a number of bytes.

        Raises ValueError when the text is no position.
        """
        if isinstance(value, int):
            if not 0 <= value <= _LAST:
                raise ValueError(f"{value}: a WAL position has 64 bits")
            return cls(value)
        match = _LSN.fullmatch(value)
        if match is None:
            raise ValueError(f"{value!r} is no WAL position: it must look like 0/3000148")
        return cls((int(match[1], 16) << 32) + int(match[2], 16))

    def __str__(self) -> str:
        return f"{int(self) >> 32:X}/{int(self) & 0xFFFFFFFF:X}"

    def __repr__(self) -> str:
        return f"Lsn({str(self)!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """In a document an LSN is its text."""
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def _validate(cls, value: Any) -> Lsn:
        if not isinstance(value, int | str) or isinstance(value, bool):
            raise ValueError("a WAL position must be text like 0/3000148")  # noqa: TRY004 - pydantic wants ValueError
        return cls.parse(value)


ZERO: Final = Lsn(0)


class Switch(NamedTuple):
    """The end of one timeline inside a history: ``timeline`` was left at ``lsn``."""

    timeline: int
    lsn: Lsn


def parse_history(text: str) -> tuple[Switch, ...]:
    """Read a timeline history file: the timelines before it with the point at which each was left.

    An empty text (the placeholder that the promotion step puts down) is an empty history.
    Raises ValueError when a line is neither blank, a comment, nor an entry.
    """
    switches = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _HISTORY_LINE.match(line)
        if match is None:
            raise ValueError(f"{line!r} is no line of a timeline history file")
        switches.append(Switch(int(match[1]), Lsn.parse(match[2])))
    return tuple(switches)
