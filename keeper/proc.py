"""The server processes of a data directory: what /proc shows of them, and the sweep that kills them.

Protocol, section 1, "down, stopped, killed": a process belongs to a data directory when its executable
is a ``postgres`` and its working directory is that directory; a DBA's shell there does not count. A
postmaster's death alone proves nothing, a busy backend goes on and may acknowledge.

Everything here is the standard library's and waits for nothing, so that the deadman can use it too. A
:class:`Place` is looked up beforehand: after that a sweep reads /proc alone, and gets through
while the disk below the data directory answers nobody.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

_DELETED: Final = " (deleted)"
SERVERS: Final = frozenset({"postgres", "postmaster"})
_SIGKILL_BIT: Final = 1 << (signal.SIGKILL - 1)


@dataclass(frozen=True, slots=True)
class Segment:
    """The System V shared memory segment that interlocks a data directory."""

    key: int
    id: int


@dataclass(frozen=True, slots=True)
class Place:
    """A directory as /proc names it. ``inode`` (device and number) and ``owner`` are None when it is gone."""

    path: Path
    texts: frozenset[str]
    inode: tuple[int, int] | None
    owner: int | None

    @classmethod
    def of(cls, directory: Path) -> Place:
        """Look a directory up."""
        # A link in its path does not show in /proc; whoever works there is known by the real one.
        names = {str(directory), os.path.realpath(directory)}
        texts = frozenset(names | {name + _DELETED for name in names})
        try:
            status = directory.stat()
        except (FileNotFoundError, NotADirectoryError):
            return cls(directory, texts, None, None)
        return cls(directory, texts, (status.st_dev, status.st_ino), status.st_uid)


@dataclass(frozen=True, slots=True)
class Scan:
    """What one look at /proc found. ``hidden`` may be of the place too, but may not be looked at."""

    pids: tuple[int, ...]
    hidden: tuple[int, ...] = ()


def scan(names: Collection[str], place: Place) -> Scan:
    """Find every process of these executables that works in a place."""
    found, hidden = [], []
    for entry in os.listdir("/proc"):  # noqa: PTH208 - the scan must take a millisecond, not ten
        if not entry.isdigit():
            continue
        try:
            executable = os.readlink(f"/proc/{entry}/exe")  # noqa: PTH115 - as above
            if executable.removesuffix(_DELETED).rpartition("/")[2] in names and _works_in(entry, place):
                found.append(int(entry))
        except (FileNotFoundError, ProcessLookupError):
            continue
        except PermissionError:
            if _may_be_of(entry, names, place):
                hidden.append(int(entry))
    return Scan(tuple(found), tuple(hidden))


def _works_in(entry: str, place: Place) -> bool:
    # The text first: it comes from the kernel alone, where a stat may wait for a server of files.
    if os.readlink(f"/proc/{entry}/cwd") in place.texts:  # noqa: PTH115 - as above
        return True
    if place.inode is None:
        return False
    status = os.stat(f"/proc/{entry}/cwd")  # noqa: PTH116 - as above
    return (status.st_dev, status.st_ino) == place.inode


def _may_be_of(entry: str, names: Collection[str], place: Place) -> bool:
    """A process that hides its executable is somebody else's, unless its name says otherwise."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if Path(f"/proc/{entry}/comm").read_text().strip() in names:
            return may_run_as(place, Path(f"/proc/{entry}").stat().st_uid)
    return False


def may_run_as(place: Place, user: int) -> bool:
    """Whether a server that runs as this user can be one of the place."""
    if place.owner is not None:
        return user in {place.owner, 0}
    # Root may have started it as anybody, everybody else only as themselves.
    return os.geteuid() in {user, 0}


def postmaster_pid(directory: Path) -> int | None:
    """The pid that ``postmaster.pid`` names, alive or not."""
    lines = _lock_file(directory)
    return abs(int(lines[0])) if lines and lines[0].strip().lstrip("-").isdigit() else None


def postmaster_port(directory: Path) -> int | None:
    """The port that the postmaster was started with, as line 4 of its lock file says."""
    lines = _lock_file(directory)
    port = lines[3].strip() if len(lines) > 3 else ""  # noqa: PLR2004 - line 4 of the file
    return int(port) if port.isdigit() else None


def postmaster_status(directory: Path) -> str:
    """What the postmaster says of itself in its lock file: ``starting``, ``standby``, ``ready`` ..."""
    lines = _lock_file(directory)
    return lines[7].strip() if len(lines) > 7 else ""  # noqa: PLR2004 - line 8 of the file


def shared_memory(directory: Path) -> Segment | None:
    """The segment that line 7 of ``postmaster.pid`` names."""
    lines = _lock_file(directory)
    fields = lines[6].split() if len(lines) > 6 else []  # noqa: PLR2004 - line 7 of the file
    if len(fields) != 2 or not all(field.isdigit() for field in fields):  # noqa: PLR2004 - key and id
        return None
    return Segment(int(fields[0]), int(fields[1]))


def _lock_file(directory: Path) -> list[str]:
    try:
        return (directory / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []


def attached(segment: Segment | None) -> int:
    """How many processes are attached to a segment; 0 when it is gone."""
    if segment is None:
        return 0
    for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]:
        fields = line.split()
        if (int(fields[0]) & 0xFFFFFFFF, int(fields[1])) == (segment.key & 0xFFFFFFFF, segment.id):
            return int(fields[6])
    return 0


def is_silenced(pid: int) -> bool:
    """Whether a process only sleeps uninterruptibly with SIGKILL pending: it will run no code again."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    pending = int(fields.get("SigPnd", "0"), 16) | int(fields.get("ShdPnd", "0"), 16)
    return fields.get("State", "").startswith("D") and bool(pending & _SIGKILL_BIT)


Left = Literal["some", "silenced", "none"]
"""What a round left: processes, such as will run no code again, or (proved) nothing."""


class Sweep:
    """SIGKILL for every server process of a place, round by round, until none is left.

    Call :meth:`round` until it says ``none``; the caller pauses between rounds, and gives up when it
    must. ``killed`` is whom it signalled so far, ``last`` what the last round found. The segment is
    known from ``postmaster.pid`` before the first round, or not at all.
    """

    def __init__(self, place: Place, postmaster: int | None, segment: Segment | None) -> None:
        self._place = place
        self._postmaster = postmaster
        self._segment = segment
        self._empty_scans = 0
        self.killed: set[int] = set()
        self.last = Scan(())

    def round(self) -> Left:
        """Look, kill what is there, the postmaster first, and say what is left."""
        self.last = scan(SERVERS, self._place)
        for pid in sorted(self.last.pids, key=lambda pid: pid != self._postmaster):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.killed.add(pid)
        if self.last.pids or self.last.hidden:
            self._empty_scans = 0
            silenced = not self.last.hidden and all(is_silenced(pid) for pid in self.last.pids)
            return "silenced" if silenced else "some"
        if self.attached() > 0:
            return "some"
        # Without a segment to count on, a child forked during the first scan shows in the second.
        self._empty_scans += 1
        return "none" if self._segment is not None or self._empty_scans > 1 else "some"

    def attached(self) -> int:
        """How many processes still hold the shared memory."""
        return attached(self._segment)
