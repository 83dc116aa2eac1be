"""Starting a deadman: apart from its keeper, and apart from everything that is installed around it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from common.errors import DeadmanUnavailable
from keeper.deadman.main import EXIT_HELD
from keeper.deadman.wire import log_path
from keeper.processes import spawn_apart

LOG_LIMIT_BYTES: Final = 1 << 20
_LOG_TAIL_BYTES: Final = 500

_SOURCES: Final = Path(__file__).parents[2]
_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from keeper.deadman.main import main; sys.exit(main(sys.argv[2:]))"
)


def command(root: Path, data: Path) -> Sequence[str]:
    """Its command line: no environment, no site-packages, no file that is written at its start."""
    return [sys.executable, "-I", "-S", "-B", "-c", _PROGRAM, str(_SOURCES), str(root), str(data)]


class Child:
    """A deadman that this process has started; it outlives this process."""

    def __init__(self, root: Path, data: Path) -> None:
        """Raises DeadmanUnavailable when it cannot be started. Blocks: fork and exec."""
        self._log = log_path(root)
        with contextlib.suppress(OSError):
            if self._log.stat().st_size > LOG_LIMIT_BYTES:
                self._log.replace(self._log.with_name(f"{self._log.name}.1"))
        try:
            self.pid = spawn_apart(command(root, data), {"LC_ALL": "C.UTF-8"}, self._log)
        except OSError as error:
            raise DeadmanUnavailable(f"the deadman cannot be started: {error}") from error
        self._status: int | None = None

    def has_ended(self) -> bool:
        """Whether it is gone; reaps it then."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = self.pid, 0
            if pid == self.pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is not None

    def check(self) -> None:
        """Raise DeadmanUnavailable with the end of its log when it has failed; to be second is no failure."""
        if self.has_ended() and self._status not in {0, EXIT_HELD}:
            tail = ""
            with contextlib.suppress(OSError):
                tail = self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
            raise DeadmanUnavailable(f"the deadman ended with status {self._status}: {tail}")
