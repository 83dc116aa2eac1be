"""Let an operator edit text in the editor of their choice; what was written is never thrown away."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from common.errors import InvalidSpec

FALLBACK: Final = "vi"


def editor() -> list[str]:
    """The command: VISUAL, else EDITOR, else vi; raises InvalidSpec when it cannot be understood."""
    name = next((name for name in ("VISUAL", "EDITOR") if os.environ.get(name, "").strip()), "")
    value = os.environ.get(name, FALLBACK)
    try:
        return shlex.split(value)
    except ValueError as error:
        raise InvalidSpec(f"{name} = {value!r}: is no command: {error}") from error


def write_draft(text: str) -> Path:
    """Put a text into a new file that only this user can read."""
    handle, name = tempfile.mkstemp(prefix="pgha-spec-", suffix=".yaml")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)


def edit(draft: Path) -> None:
    """Open the editor on a file and wait for it; raises InvalidSpec when it cannot run or fails."""
    command = editor()
    try:
        done = subprocess.run([*command, str(draft)], check=False)
    except OSError as error:
        raise InvalidSpec(
            f"the editor {command[0]!r} cannot be started: {error.strerror}; set EDITOR "
            f"(your text is in {draft})"
        ) from error
    if done.returncode:
        raise InvalidSpec(
            f"the editor {command[0]!r} ended with status {done.returncode}: nothing was changed "
            f"(your text is in {draft})"
        )
