"""The demo's processes: services in process groups of their own, and whatever PostgreSQL left behind.

A service dies with the demo, be the demo killed itself (``PR_SET_PDEATHSIG``, by way of ``setpriv``).
PostgreSQL does not: a keeper starts it apart from itself on purpose, so the demo looks for it by
executable and working directory. After a SIGKILL of the demo PostgreSQL therefore runs on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.runtime.clock import Clock
from keeper.processes import find, postmaster_pid

LOG_TAIL_BYTES: Final = 2000
_PAUSE_S: Final = 0.02


@dataclass
class Service:
    """One program that the demo starts, kills and starts again; its output goes to a file."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        running = self.process is not None and self.process.returncode is None
        return self.process.pid if running and self.process else None

    async def start(self) -> None:
        """Start it in a session of its own."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *dying_with_us(),
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.environment),
                cwd="/",
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process group; nothing happens when it has ended."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def end(self, limit_s: float) -> None:
        """Ask it to end, and kill it when it has not within the limit."""
        if self.process is None:
            return
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(limit_s):
                await self.process.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.process.wait()

    def tail(self) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return ""


def dying_with_us() -> tuple[str, ...]:
    """The words before a command that make the kernel kill it when the demo dies."""
    found = shutil.which("setpriv")
    return (found, "--pdeathsig", "KILL", "--") if found else ()


def ports_in_use(ports: Mapping[int, str], host: str) -> list[str]:
    """Say which ports somebody else listens on."""
    taken = []
    for port, who in sorted(ports.items()):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                taken.append(f"{port} (for {who}): {error.strerror}")
    return taken


def unreachable_part(path: Path) -> Path | None:
    """The first part of a path that other users may not pass through, or None."""
    parts = [path, *path.parents]
    return next((part for part in reversed(parts) if not part.stat().st_mode & stat.S_IXOTH), None)


def postgres_processes(directories: Iterable[Path], programs: Path) -> list[int]:
    """Every process that works below these directories: servers, and programs such as pg_basebackup.

    ``programs`` is where the executables are; one that was replaced on disk counts too. A person's
    shell or psql in one of the directories is left alone.
    """
    roots = [directory.resolve() for directory in directories]
    binaries = programs.resolve()
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _works_below(entry, roots, binaries)
    ]


def _works_below(entry: Path, roots: Sequence[Path], binaries: Path) -> bool:
    try:
        executable = Path(str((entry / "exe").readlink()).removesuffix(" (deleted)"))
        if executable.parent != binaries or executable.name == "psql":
            return False
        place = Path(str((entry / "cwd").readlink()).removesuffix(" (deleted)"))
    except OSError:
        return False
    return any(place.is_relative_to(root) for root in roots)


def kill_all(pids: Iterable[int]) -> None:
    """SIGKILL to each, one after the other without a pause."""
    signal_all(pids, signal.SIGKILL)


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """A signal to each that still lives, one after the other without a pause."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


async def kill_postgres(directories: Sequence[Path], programs: Path, clock: Clock, limit_s: float) -> bool:
    """Kill what is left of PostgreSQL below these directories until nothing is; False at the limit."""
    deadline_s = clock.monotonic() + limit_s
    while pids := postgres_processes(directories, programs):
        kill_all(pids)
        if clock.monotonic() > deadline_s:
            return False
        await clock.sleep(_PAUSE_S)
    return True


async def stop_postgres(roots: Iterable[Path], clock: Clock, limit_s: float) -> None:
    """Ask every postmaster below keepers' roots for a fast stop and wait, at most so long."""
    deadline_s = clock.monotonic() + limit_s
    directories = [root / "data" for root in roots]
    for directory in directories:
        pid = postmaster_pid(directory)
        if pid is not None and pid in find(directory):
            os.kill(pid, signal.SIGINT)
    while any(find(directory) for directory in directories) and clock.monotonic() < deadline_s:
        await clock.sleep(_PAUSE_S)
