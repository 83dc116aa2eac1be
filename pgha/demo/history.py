"""What every writer of the demo did, as JSON lines, for whoever wants to judge the run by other means.

    {"op":"add","client":"sandun","key":"pgha_demo","element":7,"outcome":"ok","start_s":1.25,"end_s":1.26}
    {"op":"members","client":"demo","key":"pgha_demo","seen":[7],"outcome":"ok","start_s":9.0,"end_s":9.1}

A write is one line, and so is each look at the whole table; seconds are of one clock. ``failed`` had no
effect, ``unknown`` may have had one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from common.errors import InvalidSpec
from pgha.demo.accounting import Statement

TABLE: Final = "pgha_demo"


class HistoryFile:
    """A file that is written anew, line by line."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidSpec when it cannot be written."""
        self._path = path
        try:
            path.write_bytes(b"")
        except OSError as error:
            raise InvalidSpec(f"history = {str(path)!r}: {error.strerror}") from error

    def wrote(self, statements: Iterable[Statement]) -> None:
        """Add what clients wrote; reads are left out."""
        self._add(
            {
                "op": "add",
                "client": each.site,
                "key": TABLE,
                "element": each.row,
                "outcome": each.result,
                "start_s": each.began_s,
                "end_s": each.ended_s,
            }
            for each in statements
            if each.row is not None
        )

    def saw(self, rows: Collection[int], *, began_s: float, ended_s: float) -> None:
        """Add what the primary's table held."""
        seen = {"op": "members", "client": "demo", "key": TABLE, "seen": sorted(rows), "outcome": "ok"}
        self._add([{**seen, "start_s": began_s, "end_s": ended_s}])

    def _add(self, operations: Iterable[dict[str, object]]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(each, separators=(",", ":")) + "\n" for each in operations)
