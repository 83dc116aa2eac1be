"""The lock that keeps a second keeper out of a directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from common.errors import UnsafeOperation


class RootLock:
    """The lock on a keeper's root directory; it ends with the process, however that ends."""

    def __init__(self, root: Path) -> None:
        """Take the lock.

        Raises UnsafeOperation, naming the holder, when another keeper has it.
        """
        path = root / "keeper.lock"
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._handle, 20).decode(errors="replace").strip() or "unknown"
            os.close(self._handle)
            raise UnsafeOperation(
                f"another keeper (process {holder}) runs on {root}: stop it, or give this one another root"
            ) from error
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another keeper have the directory."""
        os.close(self._handle)
