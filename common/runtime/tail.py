"""The last lines of this process's log, kept in memory so that they can be asked for over HTTP."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from structlog.typing import EventDict, WrappedLogger

KEPT_LINES: Final = 500
SHOWN_LINES: Final = 100
"""Lines of one answer at most."""
VALUE_LIMIT_CHARACTERS: Final = 500


class LogTail:
    """A processor of structlog that keeps what passes it; place it behind all that takes secrets out.

    Each line has a number that grows by one; a new process begins anew.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._lines: deque[dict[str, Any]] = deque(maxlen=KEPT_LINES)

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        """Keep a copy of a line and pass it on."""
        kept = {name: _short(value) for name, value in event.items() if not name.startswith("_")}
        self._lines.append({"number": next(self._numbers), **kept})
        return event

    def since(self, number: int, limit: int = SHOWN_LINES) -> dict[str, Any]:
        """The newest lines after a number, oldest first, and the number of the newest of all."""
        lines = list(self._lines)
        last = lines[-1]["number"] if lines else 0
        return {"last": last, "lines": [line for line in lines if line["number"] > number][-limit:]}


def _short(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        value = ", ".join(f"{name}={inner}" for name, inner in value.items())
    text = str(value)
    return text if len(text) <= VALUE_LIMIT_CHARACTERS else text[: VALUE_LIMIT_CHARACTERS - 3] + "..."
