"""The processes of a data directory: finding them, hearing of the postmaster's end, leaving none.

Protocol, section 1, "down, stopped, killed": a postmaster's death alone proves nothing, a busy backend
goes on and may acknowledge. A process belongs to a data directory when its executable is a
``postgres`` and its working directory is that directory; a DBA's shell there does not count.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.errors import PostgresUnavailable
from common.runtime.clock import Clock
from keeper.postgres.port import Killed

_DELETED: Final = " (deleted)"
_SERVERS: Final = frozenset({"postgres", "postmaster"})
_SIGKILL_BIT: Final = 1 << (signal.SIGKILL - 1)
_POLL_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Segment:
    """The System V shared memory segment that interlocks a data directory."""

    key: int
    id: int


def find(directory: Path) -> list[int]:
    """Return the pid of every server process of a data directory.

    Raises PostgresUnavailable when a process that may be one cannot be looked at (a container without
    CAP_SYS_PTRACE): nothing could be proved then.
    """
    return find_programs(_SERVERS, directory)


def find_programs(names: Collection[str], directory: Path) -> list[int]:
    """Return the pid of every process of these executables that works in a directory."""
    wanted = set(names)
    try:
        status = directory.stat()
        identity = (status.st_dev, status.st_ino)
    except FileNotFoundError:
        identity = None
    texts = {str(directory), str(directory) + _DELETED}
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208 - the scan must take a millisecond, not ten
        if not entry.isdigit():
            continue
        try:
            executable = os.readlink(f"/proc/{entry}/exe")  # noqa: PTH115 - as above
            if executable.removesuffix(_DELETED).rpartition("/")[2] not in wanted:
                continue
            if _works_in(entry, identity, texts):
                found.append(int(entry))
        except (FileNotFoundError, ProcessLookupError):
            continue
        except PermissionError:
            _refuse_blindness(entry, wanted, directory)
    return found


def _works_in(entry: str, identity: tuple[int, int] | None, texts: set[str]) -> bool:
    status = os.stat(f"/proc/{entry}/cwd")  # noqa: PTH116 - as above
    if (status.st_dev, status.st_ino) == identity:
        return True
    return os.readlink(f"/proc/{entry}/cwd") in texts  # noqa: PTH115 - as above


def _refuse_blindness(entry: str, wanted: set[str], directory: Path) -> None:
    """A process that hides its executable is somebody else's, unless its name says otherwise."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if Path(f"/proc/{entry}/comm").read_text().strip() not in wanted:
            return
        if not _may_be_of(directory, Path(f"/proc/{entry}").stat().st_uid):
            return
        raise PostgresUnavailable(
            f"the keeper may not look at process {entry}, which may be one of {directory}: "
            "run the keeper as PostgreSQL's user, or as root with CAP_SYS_PTRACE"
        )


def _may_be_of(directory: Path, owner: int) -> bool:
    """Whether a server that runs as this user can be one of the directory."""
    if directory.exists():
        return owner in {directory.stat().st_uid, 0}
    # Root may have started it as anybody, everybody else only as themselves.
    return os.geteuid() in {owner, 0}


def postmaster_pid(directory: Path) -> int | None:
    """The pid that ``postmaster.pid`` names, alive or not."""
    lines = _lock_file(directory)
    return abs(int(lines[0])) if lines and lines[0].strip().lstrip("-").isdigit() else None


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


async def kill_all(directory: Path, clock: Clock, *, limit_s: float = 10.0) -> Killed:
    """Kill every server process of a data directory, the postmaster first, until none is left.

    Raises PostgresUnavailable when that could not be proved within ``limit_s``.
    """
    deadline = clock.monotonic() + limit_s
    segment = shared_memory(directory)
    first = postmaster_pid(directory)
    killed: set[int] = set()
    empty_scans = 0
    while True:
        found = find(directory)
        for pid in sorted(found, key=lambda pid: pid != first):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        if found:
            empty_scans = 0
            silenced = tuple(pid for pid in found if is_silenced(pid))
            if len(silenced) == len(found):
                return Killed(len(killed), silenced)
        elif attached(segment) == 0:
            # Without a segment to count on, a child forked during the first scan shows in the second.
            empty_scans += 1
            if segment is not None or empty_scans > 1:
                return Killed(len(killed))
        if clock.monotonic() > deadline:
            raise PostgresUnavailable(
                f"processes of {directory} are left {limit_s:g} s after SIGKILL: {found or 'unknown to us'}, "
                f"{attached(segment)} attached to its shared memory"
            )
        await clock.sleep(_POLL_S)


async def kill_programs(
    names: Collection[str], directory: Path, clock: Clock, *, limit_s: float = 10.0
) -> None:
    """Kill every process of these programs that works in a directory: left by a killed keeper.

    Raises PostgresUnavailable when one is left after ``limit_s``.
    """
    deadline = clock.monotonic() + limit_s
    while found := find_programs(names, directory):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if clock.monotonic() > deadline:
            raise PostgresUnavailable(f"processes {found} in {directory} do not end")
        await clock.sleep(_POLL_S)


class Postmaster:
    """One start of a postmaster, held by a pidfd: its end is known within milliseconds."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError when it is gone already."""
        self.pid = pid
        self.start_id = _start_id(pid)
        self._fd = os.pidfd_open(pid)
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._on_end)

    @classmethod
    def adopt(cls, directory: Path) -> Postmaster | None:
        """Hold the postmaster that runs on a data directory, or None."""
        pid = postmaster_pid(directory)
        if pid is None:
            return None
        try:
            postmaster = cls(pid)
        except ProcessLookupError:
            return None
        # Only now: a pid looked up before it was held could have become somebody else's.
        if pid in find(directory) and not postmaster.has_ended:
            return postmaster
        postmaster.close()
        return None

    @property
    def has_ended(self) -> bool:
        """Whether it is gone; asks the kernel, so that it is true even before the loop has run."""
        if not self._ended.is_set() and self._fd >= 0:
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            if poll.poll(0):
                self._on_end()
        return self._ended.is_set()

    async def wait(self) -> None:
        """Return when it has ended."""
        await self._ended.wait()

    def signal(self, number: int) -> bool:
        """Send a signal to this very process; False when it has ended."""
        if self._ended.is_set() or self._fd < 0:
            return False
        try:
            signal.pidfd_send_signal(self._fd, number)
        except ProcessLookupError:
            return False
        return True

    def close(self) -> None:
        """Let go; the process runs on."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _on_end(self) -> None:
        self._loop.remove_reader(self._fd)
        # An adopted postmaster is somebody else's child, and they reap it.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        self._ended.set()


def _start_id(pid: int) -> str:
    """Name this start for good: pids come back, on one boot no pid does with the same start time."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except FileNotFoundError as error:
        raise ProcessLookupError(pid) from error
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    return f"{boot}-{pid}-{ticks}"
