"""Whether a running server still stands on its data directory, and what its processes are known by if not."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keeper.proc import Place, Segment, shared_memory

CONTROL_FILE: Final = Path("global", "pg_control")
"""Never removed while its directory lives, unlike ``postmaster.pid``, which goes at a clean end."""


@dataclass(frozen=True, slots=True)
class Presence:
    """The processes of one start, as /proc knows them; ``why_lost`` is empty while all is well.

    ``place`` has the inode in which the postmaster works, wherever that lies by now.
    """

    place: Place
    segment: Segment | None
    why_lost: str = ""

    @property
    def has_moved(self) -> bool:
        """Whether the processes work elsewhere than in their data directory."""
        return Place.of(self.place.path).inode != self.place.inode


def look(data: Path, postmaster: int, before: Presence | None) -> Presence:
    """Look at a data directory and at what the postmaster works in; blocks.

    A directory that is not there, that is another one, or that has no control file is lost. Any
    other error says nothing of the kind, and is raised as the OSError that it is. Raises
    ProcessLookupError when the postmaster has ended.
    """
    here = Place.of(data)
    try:
        works_in = Path(f"/proc/{postmaster}/cwd").stat()
    except FileNotFoundError as error:
        raise ProcessLookupError(postmaster) from error
    place = Place(data, here.texts, (works_in.st_dev, works_in.st_ino), works_in.st_uid)
    segment = before.segment if before is not None else None
    if here.inode is None:
        return Presence(place, segment, f"{data} is gone")
    if here.inode != place.inode:
        return Presence(place, segment, f"{data} is another directory than its PostgreSQL works in")
    if not _is_there(data / CONTROL_FILE):
        return Presence(place, segment, f"{data} has lost its {CONTROL_FILE}")
    return Presence(place, shared_memory(data) or segment)


def _is_there(path: Path) -> bool:
    try:
        os.stat(path)  # noqa: PTH116 - Path.exists would take any other error for an answer
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
