"""The data directory as a whole: what it is, which life it is in, and replacing it without losing it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Final

from common.errors import PostgresUnavailable
from common.runtime.clock import Clock
from common.runtime.disk import Disk, Owner, give, remove_durably, sync_directory, write_durably
from keeper.postgres.control import parse_control_data
from keeper.postgres.elsewhere import made_for
from keeper.postgres.history import histories
from keeper.postgres.layout import Layout
from keeper.postgres.port import ControlData, DataKind, DataState, WorkKind
from keeper.postgres.presence import CONTROL_FILE
from keeper.postgres.programs import Programs
from keeper.processes import kill_all, kill_programs

MARKER: Final = "pgha.incarnation"
STANDBY_SIGNAL: Final = "standby.signal"

_WORK: Final = "work"
_REWIND: Final = "rewind"
_PROGRAMS: Final = frozenset({"initdb", "pg_basebackup", "pg_rewind"})
_CONTROL_LIMIT_S: Final = 10.0


def why_another_life(marker: str | None, kept: str | None) -> str:
    """Why a data directory is not in the life that its keeper remembers; empty when it is.

    Marker and kept incarnation must agree, or a new life begins. Pure. (Protocol, section 1,
    "incarnation".)
    """
    if marker is not None and marker == kept:
        return ""
    if marker is None and kept is None:
        return "the data directory has not been this keeper's before"
    if marker is None:
        return f"the data directory lacks its marker, the keeper knows it as {kept}"
    if kept is None:
        return f"the data directory says {marker}, the keeper remembers none"
    return f"the data directory says {marker}, the keeper knows it as {kept}"


class DataDirectory:
    """One keeper's data directory and the work recorded on it."""

    def __init__(self, layout: Layout, programs: Programs, disk: Disk, clock: Clock) -> None:
        self._layout = layout
        self._programs = programs
        self._disk = disk
        self._clock = clock

    async def inspect(self) -> DataState:
        """Say what lies on disk."""
        layout = self._layout
        kind, version, marker, old = await asyncio.to_thread(_look, layout)
        unfinished = await self._unfinished()
        if kind != "ours":
            return DataState(kind, unfinished=unfinished, old_directory_kept=old)
        control = None if unfinished == "rewind" else await self.control()
        known = [control.checkpoint_timeline, control.minimum_recovery_timeline] if control else []
        real = await asyncio.to_thread(histories, layout.data)
        return DataState(
            kind, marker, unfinished, version, control, max([0, *known, *real]), old_directory_kept=old
        )

    async def control(self) -> ControlData:
        """Read pg_control."""
        said = await self._programs.run("pg_controldata", "-D", self._layout.data, timeout_s=_CONTROL_LIMIT_S)
        return parse_control_data(said)

    async def mark(self, incarnation: str, directory: Path | None = None) -> None:
        """Write the marker."""
        path = (directory or self._layout.data) / MARKER
        await asyncio.to_thread(write_durably, path, f"{incarnation}\n".encode(), owner=self._programs.owner)

    async def signal_standby(self, directory: Path | None = None) -> None:
        """Write ``standby.signal``: the next start is one in recovery."""
        path = (directory or self._layout.data) / STANDBY_SIGNAL
        await asyncio.to_thread(write_durably, path, b"", owner=self._programs.owner)

    async def unsignal_standby(self) -> None:
        """Remove ``standby.signal``: the next start is writable."""
        await asyncio.to_thread(remove_durably, self._layout.data / STANDBY_SIGNAL)

    # Work that must be recognised when it was interrupted.

    async def begin(self, kind: WorkKind, elsewhere: tuple[Path, ...] = ()) -> None:
        """Record that work begins; the room for a clone or initdb is cleared.

        ``elsewhere`` are the directories that it will make outside of its own: they go if it is given up.
        """
        if kind == "rewind":
            await self._disk.write(_REWIND, {"kind": kind})
            return
        await self._kill_programs()
        await asyncio.to_thread(_remove_life, self._layout.new)
        await self._disk.write(_WORK, {"kind": kind, "elsewhere": [str(path) for path in elsewhere]})

    async def end(self, kind: WorkKind) -> None:
        """Record that work has ended."""
        await self._disk.remove(_REWIND if kind == "rewind" else _WORK)

    async def abandon(self) -> None:
        """Give a clone or initdb up: what lies beside goes."""
        await self._kill_programs()
        work = await self._disk.read(_WORK) or {}
        for path in work.get("elsewhere", ()):
            await asyncio.to_thread(_remove_tree, Path(path))
        await asyncio.to_thread(_remove_tree, self._layout.new)
        await self._disk.remove(_WORK)

    async def swap(self) -> None:
        """Put the finished ``data.new`` in place of the data directory, which is kept as ``data.old``."""
        await asyncio.to_thread(sync_directory, self._layout.new)
        if await asyncio.to_thread(self._layout.data.exists):
            await self.discard_old()
        await self._disk.write(_WORK, {"kind": "swap"})
        await self._finish_swap()

    async def check_usable(self) -> None:
        """Raise PostgresUnavailable when the directory is half rewound: it must never be started."""
        if await self._unfinished() == "rewind":
            raise PostgresUnavailable(
                f"{self._layout.data} was left half done by a rewind: it can only be replaced by a clone"
            )

    async def discard_old(self) -> None:
        """Remove what a clone replaced."""
        await asyncio.to_thread(_remove_life, self._layout.old)

    async def set_remains_aside(self) -> None:
        """Move what an interrupted removal has left of the directory to where a clone would put it."""
        await asyncio.to_thread(_set_remains_aside, self._layout)

    async def recover(self) -> None:
        """Clear up after interrupted work; a clone that had come to its swap is finished."""
        await self._kill_programs()
        kind = await self._unfinished()
        if kind == "swap":
            await self._finish_swap()
        elif kind in {"clone", "initdb"}:
            await self.abandon()

    async def _finish_swap(self) -> None:
        await asyncio.to_thread(_swap, self._layout)
        await self._disk.remove(_REWIND)
        await self._disk.remove(_WORK)

    async def _unfinished(self) -> WorkKind | None:
        work = await self._disk.read(_WORK) or await self._disk.read(_REWIND)
        kinds: dict[str, WorkKind] = {
            "initdb": "initdb",
            "clone": "clone",
            "swap": "swap",
            "rewind": "rewind",
        }
        return kinds.get(str(work["kind"])) if work else None

    async def _kill_programs(self) -> None:
        await kill_programs(_PROGRAMS, self._layout.root, self._clock)
        await kill_all(self._layout.new, self._clock)


def _look(layout: Layout) -> tuple[DataKind, int | None, str | None, bool]:
    """What kind of directory it is, its major version, its marker, and whether an old one is kept."""
    data, old = layout.data, layout.old.exists()
    if data.is_symlink():
        raise PostgresUnavailable(f"{data} is a symbolic link: it must be a plain directory")
    if not data.exists():
        return "absent", None, None, old
    if not any(data.iterdir()):
        return "empty", None, None, old
    version = data / "PG_VERSION"
    if not version.exists():
        return "foreign", None, None, old
    marker = data / MARKER
    text = marker.read_text().strip() if marker.exists() else None
    return "ours", int(version.read_text().strip()), text or None, old


def _swap(layout: Layout) -> None:
    """Two renames; either may have happened already."""
    if layout.new.exists():
        if layout.data.exists():
            layout.data.rename(layout.old)
        layout.new.rename(layout.data)
        sync_directory(layout.root)


def _set_remains_aside(layout: Layout) -> None:
    """Without its control file a directory of PostgreSQL is worth nothing."""
    if layout.data.exists() and not (layout.data / CONTROL_FILE).exists():
        _remove_life(layout.old)
        layout.data.rename(layout.old)
        sync_directory(layout.root)


def _remove_life(path: Path) -> None:
    """Remove a data directory, first what was made for it elsewhere: its links tell of that."""
    for place in made_for(path):
        _remove_tree(place)
    _remove_tree(path)


def _remove_tree(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
        sync_directory(path.parent)


def create_directory(path: Path, owner: Owner) -> None:
    """Create an empty data directory as PostgreSQL wants it."""
    path.mkdir(mode=0o700)
    give(path, owner)
