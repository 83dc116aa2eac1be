"""Exit codes of every command, and the one way to end with an error: a clear line, never a traceback."""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import NoReturn

import typer


class Exit(IntEnum):
    """What an exit code means. ``DEGRADED`` is also plain failure of a command that is not ``status``.

    Of what is asked for: 0 it is done, or was so already; 1 it was refused, failed or was cancelled; 3 there
    was nobody to ask; 4 it goes on, and was not waited for any longer.
    """

    HEALTHY = 0
    DEGRADED = 1
    FAILED = 1
    DIFFERENT = 1
    NO_PRIMARY = 2
    CRITICAL = 2
    NO_STORE = 3
    GOES_ON = 4
    USAGE = 64
    INTERRUPTED = 130


def say(text: str) -> None:
    """Write one line on standard error."""
    sys.stderr.write(f"pgha: {' '.join(text.split())}\n")


def fail(text: str, code: Exit = Exit.FAILED) -> NoReturn:
    """End the command with one line on standard error."""
    say(text)
    raise typer.Exit(code)
