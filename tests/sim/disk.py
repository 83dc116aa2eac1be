"""A keeper's disk: what a call has not finished may or may not be there after a crash, nothing in between.

As with threads of a real process: a write whose caller was cancelled goes on, one of a stopped process waits,
one of a killed process ends where it was.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from common.errors import UnsafeOperation

FSYNC_S: Final = 0.002
LOOKS_AGAIN_AFTER_S: Final = 0.1


class SimDisk:
    """The Disk port; it outlives the processes that use it.

    ``fsync_s`` is what a write takes, twice that at most. ``errno`` fails every write, ENOSPC for example;
    a disk that ``hangs`` answers nothing until it goes on.
    """

    def __init__(self, chance: random.Random, *, fsync_s: float = FSYNC_S) -> None:
        self._chance = chance
        self._files: dict[str, bytes] = {}
        self._busy_until = 0.0
        self.fsync_s = fsync_s
        self.errno = 0
        self.hangs = False
        self.on_change: Callable[[], None] | None = None

    # The port.

    async def read(self, name: str) -> dict[str, Any] | None:
        """Read a value; raises UnsafeOperation for one that was damaged."""
        while self.hangs:  # noqa: ASYNC110 - what is waited for knows no event
            await asyncio.sleep(LOOKS_AGAIN_AFTER_S)
        content = self._files.get(name)
        if content is None:
            return None
        try:
            value = json.loads(content)
        except ValueError as error:
            raise UnsafeOperation(f"{name} cannot be read ({error})") from error
        if not isinstance(value, dict):
            raise UnsafeOperation(f"{name} holds no mapping")
        return value

    async def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace a value; raises OSError when the disk does not take it."""
        content = json.dumps(value, sort_keys=True).encode()

        def land() -> None:
            self._files[name] = content

        await self._change(land)

    async def remove(self, name: str) -> None:
        """Forget a value."""
        await self._change(lambda: self._files.pop(name, None))

    async def _change(self, land: Callable[[], object]) -> None:
        """Let a change land at some moment within the call, after all earlier ones."""
        loop = asyncio.get_running_loop()
        begins = max(loop.time(), self._busy_until)
        takes_s = self.fsync_s * (1 + self._chance.random())
        self._busy_until = begins + takes_s
        lands_at = begins + takes_s * self._chance.random()
        done: asyncio.Future[None] = loop.create_future()
        loop.call_at(lands_at, self._land, land, done, begins + takes_s)
        await done

    def _land(self, land: Callable[[], object], done: asyncio.Future[None], ends_at: float) -> None:
        loop = done.get_loop()
        if self.hangs:
            loop.call_later(LOOKS_AGAIN_AFTER_S, self._land, land, done, ends_at)
        elif self.errno:
            if not done.done():
                done.set_exception(OSError(self.errno, os.strerror(self.errno)))
        else:
            land()
            if self.on_change is not None:
                self.on_change()
            loop.call_at(ends_at, _finish, done)

    # What happens to disks.

    def damage(self, name: str) -> None:
        """Make a value unreadable."""
        self._files[name] = self._files.get(name, b"")[:-1] + b"\0"

    def snapshot(self) -> dict[str, bytes]:
        """All that is there, as a backup of the host keeps it."""
        return dict(self._files)

    def restore(self, files: Mapping[str, bytes]) -> None:
        """Put a backup in the place of what is there; nothing, for a new disk."""
        self._files = dict(files)


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
