"""Durations and sizes as operators write them: ``3s``, ``500ms``, ``10GB``. A unit is required."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {"kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")


def parse_duration(value: Any) -> float:
    """Read ``500ms``, ``3s``, ``10min``, ``2h`` or ``7d`` as seconds; a float is taken as seconds.

    Raises ValueError when the unit is missing or unknown, or when it could not be written back exactly.
    """
    if isinstance(value, float):
        return value
    match = _QUANTITY.fullmatch(str(value).strip())
    if match is None or match[2] not in _SECONDS:
        raise ValueError("a duration needs a number and one of the units ms, s, min, h, d, like 3s")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if math.isinf(seconds) or not math.isclose(seconds, round(seconds, 3)):
        raise ValueError("a duration must be whole milliseconds")
    return round(seconds, 3)


def format_duration(seconds: float) -> str:
    """Write seconds in the largest unit that divides them."""
    milliseconds = round(seconds * 1000)
    for unit, factor in reversed(_SECONDS.items()):
        if milliseconds and milliseconds % round(factor * 1000) == 0:
            return f"{milliseconds // round(factor * 1000)}{unit}"
    return f"{milliseconds}ms"


def parse_size(value: Any) -> int:
    """Read ``64MB`` or ``10GB`` (powers of 1024, PostgreSQL's spelling) as bytes.

    Raises ValueError when the unit is missing or unknown, or when it could not be written back exactly.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _QUANTITY.fullmatch(str(value).strip())
    if match is None or match[2] not in _BYTES:
        raise ValueError("a size needs a number and one of the units kB, MB, GB, TB, like 10GB")
    size_bytes = float(match[1]) * _BYTES[match[2]]
    if size_bytes % _BYTES["kB"]:
        raise ValueError("a size must be whole kB")
    return int(size_bytes)


def format_size(size_bytes: int) -> str:
    """Write bytes in the largest unit that divides them; kB when none does."""
    for unit, factor in reversed(_BYTES.items()):
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return f"{size_bytes // _BYTES['kB']}kB"


def _duration_without_bare_numbers(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("a duration needs a unit: ms, s, min, h or d, like 3s")  # noqa: TRY004 - pydantic's way
    return parse_duration(value)


def _size_without_bare_numbers(value: Any) -> Any:
    if isinstance(value, int | float):
        raise ValueError("a size needs a unit: kB, MB, GB or TB, like 10GB")  # noqa: TRY004 - pydantic's way
    return parse_size(value)


Duration = Annotated[
    float,
    BeforeValidator(_duration_without_bare_numbers),
    PlainSerializer(format_duration, return_type=str),
]
"""Seconds in memory, text with a unit in documents."""

Size = Annotated[
    int,
    BeforeValidator(_size_without_bare_numbers),
    PlainSerializer(format_size, return_type=str),
]
"""Bytes in memory, text with a unit in documents."""
