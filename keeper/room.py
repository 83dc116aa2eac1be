"""Says that PostgreSQL went down on a full disk, how much is free, and when there is room again.

A server whose WAL finds no room goes down at once, and again after each start. What is free is looked at
while it is down; nothing else is done about it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from common.model.reasons import Reason
from common.runtime.clock import Clock
from keeper.local import Local
from keeper.postgres.port import Postgres, Room

LOOK_EVERY_S: Final = 1.0
FULL_BELOW_BYTES: Final = 32 << 20
"""Less than two segments of WAL, of the greatest common size: the next one may not find its place."""
ROOM_FROM_BYTES: Final = 2 * FULL_BELOW_BYTES

_MB: Final = 1 << 20


class RoomWatch:
    """Looks at the disks of a PostgreSQL that is down; ``changed`` is called when there is news."""

    def __init__(
        self, postgres: Postgres, local: Local, clock: Clock, *, changed: Callable[[], None]
    ) -> None:
        self._postgres = postgres
        self._local = local
        self._clock = clock
        self._changed = changed
        self._full: str | None = None

    async def run(self) -> None:
        """Look for ever; a disk that hangs holds up nothing but this loop."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Look once."""
        local = self._local
        if local.postgres in {"running", "no_data", "cloning", "initializing"}:
            self._take(None)
        elif local.postgres in {"down", "failed"} or self._full is not None:
            rooms: tuple[Room, ...] = ()
            with contextlib.suppress(OSError):  # it is looked at again
                rooms = await self._postgres.room()
            if rooms and local.postgres in {"down", "failed", "stopped", "starting"}:
                self._take(self._fullest(rooms))

    def _fullest(self, rooms: tuple[Room, ...]) -> Room | None:
        """The disk that was full and has to get room again, else the first that is full now."""
        if self._full is not None:
            return next((room for room in rooms if room.path == self._full), None)
        return next((room for room in rooms if room.free_bytes < FULL_BELOW_BYTES), None)

    def _take(self, room: Room | None) -> None:
        local = self._local
        before = (local.room_again, local.reasons.get("disk"))
        self._full = room.path if room is not None else None
        local.room_again = room is not None and room.free_bytes >= ROOM_FROM_BYTES
        if room is None or local.room_again:
            local.reasons.pop("disk", None)
        else:
            local.reasons["disk"] = _disk_full(local.settings.uid, room)
        if (local.room_again, local.reasons.get("disk")) != before:
            self._changed()


def _disk_full(uid: str, room: Room) -> Reason:
    what = {"data": "its data", "wal": "its WAL"}[room.place]
    return Reason(
        code="disk_full",
        severity="critical",
        subject=uid,
        text=f"PostgreSQL of {uid} is down, and the disk of {what} ({room.path}) is full: "
        f"{room.free_bytes // _MB} of {room.size_bytes // _MB} MB are free",
        fix=f"make room on {room.path}: {ROOM_FROM_BYTES // _MB} MB at least",
    )
