"""Small files that must survive a crash, and the lock that keeps a second keeper out.

Everything here blocks: async callers go through :class:`StateFiles`, or ``asyncio.to_thread``.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from common.errors import UnsafeOperation


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom files in a data directory belong to."""

    uid: int
    gid: int

    @classmethod
    def of(cls, path: Path) -> Owner:
        """The owner of something that exists."""
        status = path.stat()
        return cls(status.st_uid, status.st_gid)


def sync_directory(path: Path) -> None:
    """Make what was created, renamed or removed in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, content: bytes, *, owner: Owner | None = None, mode: int = 0o600) -> None:
    """Replace a file in one step: after a crash it holds the old content or the new, never a part.

    Order: temporary file beside it, fsync, rename, fsync of the directory.
    """
    temporary = path.with_name(f".{path.name}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, mode)
        if owner is not None:
            give(handle, owner)
        file.write(content)
        file.flush()
        os.fsync(handle)
    temporary.replace(path)
    sync_directory(path.parent)


def remove_durably(path: Path) -> None:
    """Remove a file for good; one that is not there is no error."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync_directory(path.parent)


def give(target: int | Path, owner: Owner) -> None:
    """Hand a file to its owner; only root can, and only root needs to."""
    if os.geteuid() == 0:
        os.chown(target, owner.uid, owner.gid)


class Disk(Protocol):
    """A keeper's own memory: small named JSON values, durable when the call returns."""

    async def read(self, name: str) -> dict[str, Any] | None:
        """Return a value, or None when it was never written.

        Raises UnsafeOperation when it cannot be understood: guessing could break a promise.
        """

    async def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace a value."""

    async def remove(self, name: str) -> None:
        """Forget a value."""


class StateFiles:
    """The Disk on a real disk: ``<directory>/<name>.json``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def read(self, name: str) -> dict[str, Any] | None:
        """Read ``<name>.json``."""
        return await asyncio.to_thread(self._read, name)

    async def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Write ``<name>.json`` and fsync file and directory."""
        content = json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"
        await asyncio.to_thread(write_durably, self._path(name), content)

    async def remove(self, name: str) -> None:
        """Remove ``<name>.json``."""
        await asyncio.to_thread(remove_durably, self._path(name))

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.json"

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self._path(name)
        try:
            value = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise UnsafeOperation(
                f"{path} cannot be read ({error}): it holds promises of this keeper. Restore the file; "
                "if it is lost, remove this keeper's whole directory and let it be cloned"
            ) from error
        if not isinstance(value, dict):
            raise UnsafeOperation(f"{path} holds no mapping: it was not written by a keeper")
        return value


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
