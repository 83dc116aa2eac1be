"""What a demo was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgha.demo.layout import Layout


@dataclass(frozen=True, slots=True)
class Options:
    """``durability`` as it stands in a spec; ``stay``: run on after the exercises until told to end.

    ``history``: the file that gets every write, for other checkers.
    """

    layout: Layout
    durability: Mapping[str, str | None]
    exercises: Sequence[str]
    postgres: Path | None
    keep: bool
    as_json: bool
    stay: bool
    history: Path | None = None
