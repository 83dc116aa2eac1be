"""A data directory's processes as the keeper handles them: finding, killing, hearing of the postmaster's end.

What a process of a data directory is, and the sweep that kills them, stand in :mod:`keeper.proc`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import signal
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from common.errors import PostgresUnavailable
from common.runtime.clock import Clock
from keeper.postgres.port import Killed
from keeper.proc import (
    SERVERS,
    Place,
    Scan,
    Segment,
    Sweep,
    attached,
    postmaster_pid,
    postmaster_port,
    postmaster_status,
    scan,
    shared_memory,
)

__all__ = [
    "Postmaster",
    "attached",
    "find",
    "find_programs",
    "kill_all",
    "kill_at",
    "kill_programs",
    "postmaster_pid",
    "postmaster_port",
    "postmaster_status",
    "shared_memory",
    "spawn_apart",
]

_POLL_S: Final = 0.001


def find(directory: Path) -> list[int]:
    """Return the pid of every server process of a data directory.

    Raises PostgresUnavailable when a process that may be one cannot be looked at (a container without
    CAP_SYS_PTRACE): nothing could be proved then.
    """
    return find_programs(SERVERS, directory)


def find_programs(names: Collection[str], directory: Path) -> list[int]:
    """Return the pid of every process of these executables that works in a directory."""
    place = Place.of(directory)
    found = scan(set(names), place)
    _refuse_blindness(found, place)
    return list(found.pids)


def _refuse_blindness(found: Scan, place: Place) -> None:
    for pid in found.hidden:
        raise PostgresUnavailable(
            f"the keeper may not look at process {pid}, which may be one of {place.path}: "
            "run the keeper as PostgreSQL's user, or as root with CAP_SYS_PTRACE"
        )


async def kill_all(directory: Path, clock: Clock, *, limit_s: float = 10.0) -> Killed:
    """Kill every server process of a data directory, the postmaster first, until none is left.

    Raises PostgresUnavailable when that could not be proved within ``limit_s``.
    """
    place, segment = Place.of(directory), shared_memory(directory)
    return await kill_at(place, postmaster_pid(directory), segment, clock, limit_s=limit_s)


async def kill_at(
    place: Place, postmaster: int | None, segment: Segment | None, clock: Clock, *, limit_s: float = 10.0
) -> Killed:
    """Do that where a directory is known from before, and may have moved."""
    deadline = clock.monotonic() + limit_s
    sweep = Sweep(place, postmaster, segment)
    while (left := sweep.round()) == "some":
        _refuse_blindness(sweep.last, place)
        if clock.monotonic() > deadline:
            raise PostgresUnavailable(
                f"processes of {place.path} are left {limit_s:g} s after SIGKILL: "
                f"{list(sweep.last.pids) or 'unknown to us'}, "
                f"{sweep.attached()} attached to its shared memory"
            )
        await clock.sleep(_POLL_S)
    return Killed(len(sweep.killed), sweep.last.pids if left == "silenced" else ())


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


def spawn_apart(command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    """Start a process in a session of its own that inherits nothing of ours; it outlives us. Returns its pid.

    Standard input is empty, what it says is appended to ``log``.

    Not by :mod:`subprocess`: its objects warn about, and asyncio's kill, what they leave running.
    """
    inherited = [
        fd
        for fd in (int(entry.name) for entry in Path("/proc/self/fd").iterdir())
        if fd > 2 and _is_inheritable(fd)  # noqa: PLR2004 - the three standard ones
    ]
    return os.posix_spawn(
        command[0],
        list(command),
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            *((os.POSIX_SPAWN_CLOSE, fd) for fd in inherited),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
    )


def _is_inheritable(fd: int) -> bool:
    try:
        return not fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    except OSError:
        return False
