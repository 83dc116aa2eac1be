"""Small files that must survive a crash.

Everything here blocks: async callers go through :class:`StateFiles`, or ``asyncio.to_thread``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from common.errors import InvalidSpec, UnsafeOperation
from common.runtime.apart import apart

WRITE_LIMIT_S: Final = 5.0
"""Longer than a loaded disk takes, short enough that the loop which waits for it still counts as alive."""


class DiskSilent(OSError):
    """A write did not become durable in time: it does not count, and may still happen."""


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
    """A service's own memory: small named JSON values, durable when the call returns."""

    async def read(self, name: str) -> dict[str, Any] | None:
        """Return a value, or None when it was never written.

        Raises UnsafeOperation when it cannot be understood: guessing could break a promise.
        """

    async def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace a value."""

    async def remove(self, name: str) -> None:
        """Forget a value."""


class StateFiles:
    """The Disk on a real disk: ``<directory>/<name>.json``.

    A write that is not durable within ``limit_s`` raises DiskSilent. While it hangs no other one begins: it
    may still happen, and must then not come after a newer one.
    """

    def __init__(self, directory: Path, *, limit_s: float = WRITE_LIMIT_S) -> None:
        self._directory = directory
        self._limit_s = limit_s
        self._under_way: asyncio.Future[None] | None = None

    async def read(self, name: str) -> dict[str, Any] | None:
        """Read ``<name>.json``."""
        return await asyncio.to_thread(self._read, name)

    async def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Write ``<name>.json`` and fsync file and directory."""
        content = json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"
        await self._in_turn(lambda: write_durably(self._path(name), content))

    async def remove(self, name: str) -> None:
        """Remove ``<name>.json``."""
        await self._in_turn(lambda: remove_durably(self._path(name)))

    async def _in_turn(self, work: Callable[[], None]) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                while self._under_way is not None and not self._under_way.done():
                    await asyncio.wait({self._under_way})
                mine = self._under_way = asyncio.ensure_future(apart(work))
                mine.add_done_callback(_retrieve)
                await asyncio.shield(mine)
        except TimeoutError as error:
            raise DiskSilent(
                f"the disk of {self._directory} has not written what must be remembered within "
                f"{self._limit_s:g} s"
            ) from error

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
                f"{path} cannot be read ({error}): it holds what this service must not forget. "
                "Restore the file; if it is lost, remove the service's directory: a keeper is cloned then"
            ) from error
        if not isinstance(value, dict):
            raise UnsafeOperation(f"{path} holds no mapping: it was not written by pgha")
        return value


def open_directory(directory: Path) -> StateFiles:
    """A service's own directory, made if it is missing; raises InvalidSpec when it cannot be written to."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSpec(f"state_dir = {str(directory)!r}: {error.strerror}") from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise InvalidSpec(f"state_dir = {str(directory)!r}: this user may not write there")
    return StateFiles(directory)


def _retrieve(done: asyncio.Future[None]) -> None:
    """Take note of an error that nobody waits for any more."""
    if not done.cancelled():
        done.exception()
