"""What all commands share about writing: the formats, and colours only where a person sees them."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Any

from rich.console import Console


class Format(StrEnum):
    """How a command writes its result."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


PIPE_WIDTH = 200
"""Columns where nobody's terminal sets a limit: tables are not folded for a file or a pipe."""


def console() -> Console:
    """A console on standard output: colours on a terminal without NO_COLOR, plain text elsewhere."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(highlight=False, width=width, soft_wrap=False, emoji=False, markup=False)


def dump(plain: Any, form: Format, *, one_line: bool = False) -> None:
    """Write a plain value as JSON or YAML; ``one_line`` makes a stream of JSON lines."""
    if form is Format.YAML:
        import yaml  # noqa: PLC0415 - not needed for what is read most

        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, explicit_start=one_line)
    else:
        text = json.dumps(plain, indent=None if one_line else 2, ensure_ascii=False) + "\n"
    sys.stdout.write(text)
    sys.stdout.flush()
