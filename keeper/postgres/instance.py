"""One PostgreSQL: its parts, and the life of its postmaster."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.errors import InvalidSpec, PostgresUnavailable
from common.runtime.apart import apart
from common.runtime.clock import Clock
from common.runtime.disk import StateFiles, give, write_durably
from keeper.postgres.access import REPLICATION_ROLE, REWIND_ROLE
from keeper.postgres.config_files import ConfigFiles
from keeper.postgres.data import DataDirectory
from keeper.postgres.history import forget, remove_empty_above
from keeper.postgres.layout import Layout
from keeper.postgres.parameters import Place as Served
from keeper.postgres.port import Killed, StopMode
from keeper.postgres.presence import Presence, look
from keeper.postgres.programs import Programs, find_programs
from keeper.postgres.sql import Sql
from keeper.proc import Place, Segment
from keeper.processes import (
    Postmaster,
    kill_at,
    postmaster_pid,
    postmaster_status,
    shared_memory,
    spawn_apart,
)

LOG_LIMIT_BYTES: Final = 64 << 20
_LOG_TAIL_BYTES: Final = 4000
_LOG_TAIL_LINES: Final = 8
_POLL_S: Final = 0.005
_SEEN_LIMIT_S: Final = 1.0
_STOP_SIGNAL: Final[dict[StopMode, signal.Signals]] = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


@dataclass(frozen=True, slots=True)
class PostgresSettings:
    """What one keeper's own settings say of its PostgreSQL.

    ``bin_dir`` None takes the newest PostgreSQL that is found. ``postgres_user`` counts only where
    the keeper is root. The passwords are those of the replication and the rewind role. ``wal_dir`` None keeps
    WAL where the present data directory has it.
    """

    uid: str
    root: Path
    port: int
    listen_addresses: str
    replication_password: str
    rewind_password: str
    bin_dir: Path | None = None
    postgres_user: str = "postgres"
    superuser: str = "postgres"
    locale: str = "C.UTF-8"
    wal_dir: Path | None = None


def read_password(path: Path) -> str:
    """Read a password from a file, without the line end that editors add.

    Raises InvalidSpec when the file cannot be read or holds nothing.
    """
    try:
        text = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSpec(f"password file {path}: cannot be read: {error}") from error
    if not text:
        raise InvalidSpec(f"password file {path}: must hold a password, but is empty")
    if "\n" in text or "\0" in text:
        raise InvalidSpec(f"password file {path}: must hold one line")
    return text


def checked_wal_dir(path: Path | None) -> Path | None:
    """The directory for WAL as it was given; raises InvalidSpec where it cannot be one."""
    if path is not None and not (path.is_absolute() and path.is_dir()):
        raise InvalidSpec(f"wal_dir = {path}: must be the absolute path of a directory that is there")
    return path


class Instance:
    """The parts that every operation needs, and the postmaster that is held.

    Raises InvalidSpec when the settings cannot serve. Creates the directories and the password file.
    """

    def __init__(self, settings: PostgresSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.layout = Layout(settings.root)
        self.layout.check(settings.port)
        bin_dir = find_programs(settings.bin_dir)
        self.programs = Programs(bin_dir, settings.postgres_user, settings.root)
        self.layout.create(self.programs.owner)
        self._write_passwords()
        place = Served(settings.uid, settings.port, settings.listen_addresses, str(self.layout.socket))
        self.files = ConfigFiles(self.layout, self.programs, place, settings.superuser)
        self.directory = DataDirectory(self.layout, self.programs, StateFiles(self.layout.state), clock)
        self.sql = Sql(self.layout, settings.port, settings.superuser)
        self.postmaster: Postmaster | None = None
        self._log_from = 0
        self._presence: Presence | None = None

    def _write_passwords(self) -> None:
        lines = [
            f"*:*:*:{role}:{password.replace(chr(92), chr(92) * 2).replace(':', chr(92) + ':')}\n"
            for role, password in (
                (REPLICATION_ROLE, self.settings.replication_password),
                (REWIND_ROLE, self.settings.rewind_password),
            )
        ]
        write_durably(self.layout.passwords, "".join(lines).encode(), owner=self.programs.owner)

    # The postmaster.

    @property
    def running(self) -> Postmaster:
        """The postmaster that is held; raises PostgresUnavailable when there is none."""
        if self.postmaster is None or self.postmaster.has_ended:
            raise PostgresUnavailable("PostgreSQL does not run")
        return self.postmaster

    @property
    def start_id(self) -> str | None:
        """The start that is held and has not ended."""
        held = self.postmaster
        return held.start_id if held is not None and not held.has_ended else None

    def reload(self) -> None:
        """Have PostgreSQL read its configuration files."""
        self.running.signal(signal.SIGHUP)

    def adopt(self) -> str | None:
        """Hold a postmaster that runs already."""
        if self.start_id is None:
            self._let_go()
            self.postmaster = Postmaster.adopt(self.layout.data)
            self._log_from = _size(self.layout.log)
        return self.start_id

    async def spawn(self) -> str:
        """Start the postmaster in a session of its own, so that the keeper's end does not touch it.

        It begins in the data directory: so it is found as soon as it is a ``postgres``.
        """
        await self.sql.forget()
        self._let_go()
        await asyncio.to_thread(trim_log, self.layout.log)
        give_log(self.layout.log, self.programs)
        self._log_from = _size(self.layout.log)
        command = [
            *("/bin/sh", "-c", 'cd "$0" && exec "$@"', str(self.layout.data)),
            *self.programs.command("postgres", "-D", self.layout.data),
        ]
        pid = await asyncio.to_thread(spawn_apart, command, self.programs.environment(), self.layout.log)
        try:
            self.postmaster = Postmaster(pid)
        except ProcessLookupError as error:
            raise PostgresUnavailable(f"PostgreSQL ended at once{self._log_tail()}") from error
        return self.postmaster.start_id

    async def wait_until_accepting(self, timeout_s: float) -> None:
        """Return once PostgreSQL takes connections."""
        deadline = self.clock.monotonic() + timeout_s
        problem = "it has not said that it is ready"
        while True:
            if self.start_id is None:
                raise PostgresUnavailable(f"PostgreSQL ended while it started{self._log_tail()}")
            if postmaster_status(self.layout.data) == "ready":
                try:
                    await self.sql.rows("SELECT 1", timeout_s=max(0.1, deadline - self.clock.monotonic()))
                    return
                except PostgresUnavailable as error:
                    problem = str(error)
            if self.clock.monotonic() > deadline:
                raise PostgresUnavailable(
                    f"PostgreSQL takes no connection after {timeout_s:g} s: {problem}{self._log_tail()}"
                )
            await self.clock.sleep(_POLL_S)

    async def wait_until_down(self) -> None:
        """Return when the postmaster that is held has ended."""
        if self.postmaster is not None:
            await self.postmaster.wait()

    def interrupt(self) -> None:
        """Ask for a fast stop, if anything runs."""
        if self.start_id is not None:
            self.running.signal(_STOP_SIGNAL["fast"])

    async def stop(self, mode: StopMode, timeout_s: float) -> Killed:
        """Ask, wait, then kill whatever is left."""
        if self.start_id is not None:
            self.running.signal(_STOP_SIGNAL[mode])
            waiting = asyncio.ensure_future(self.wait_until_down())
            try:
                await asyncio.wait({waiting}, timeout=timeout_s)
            finally:
                waiting.cancel()
        return await self.kill()

    async def why_lost(self) -> str:
        """Why the running server does not stand on the data directory any more; empty while it does."""
        held = self.postmaster
        if held is None or held.has_ended:
            return ""
        try:
            seen = await asyncio.to_thread(look, self.layout.data, held.pid, self._presence)
        except ProcessLookupError:
            return ""
        except OSError as error:
            raise PostgresUnavailable(f"the data directory cannot be looked at: {error}") from error
        if self.postmaster is not held or held.has_ended:
            return ""
        self._presence = seen
        return seen.why_lost

    async def kill(self) -> Killed:
        """Make it down: no process of the data directory is left, nor of where that has gone."""
        held = self.postmaster
        if held is not None:
            # Also one that is not a ``postgres`` yet, which the scan cannot know.
            held.signal(signal.SIGKILL)
        known = self._presence
        seen = await self._seen_on_disk()
        if seen is not None:
            killed = await kill_at(*seen, self.clock)
        elif held is not None and known is not None:
            return await kill_at(known.place, held.pid, known.segment, self.clock)
        else:
            raise PostgresUnavailable(f"the disk of {self.layout.data} does not say what runs there")
        if held is not None and known is not None and known.has_moved:
            moved = await kill_at(known.place, held.pid, known.segment, self.clock)
            killed = Killed(killed.killed + moved.killed, killed.silenced + moved.silenced)
        if held is not None and not killed.silenced:
            await held.wait()
        await self.sql.forget()
        return killed

    async def _seen_on_disk(self) -> tuple[Place, int | None, Segment | None] | None:
        """Whom to kill, by what lies in the data directory; None when its disk does not answer in time."""
        data = self.layout.data
        try:
            async with asyncio.timeout(_SEEN_LIMIT_S):
                return await apart(lambda: (Place.of(data), postmaster_pid(data), shared_memory(data)))
        except TimeoutError:
            return None

    @property
    def works_in(self) -> tuple[int, int] | None:
        """Device and inode of the directory in which the server works; None before it was looked at."""
        return self._presence.place.inode if self._presence is not None else None

    async def restart_in_recovery(self, *, without: tuple[int, ...], timeout_s: float) -> None:
        """Restart a standby so that it forgets timelines that were abandoned."""
        killed = await self.stop("fast", timeout_s)
        if killed.silenced:
            raise PostgresUnavailable(f"processes {killed.silenced} do not end: PostgreSQL cannot start")
        await self.directory.signal_standby()
        await asyncio.to_thread(forget, self.layout.data, without)
        await self.prepare_recovery()
        await self.spawn()
        await self.wait_until_accepting(timeout_s)

    async def prepare_recovery(self) -> dict[str, int]:
        """Before any start in recovery: no number is reserved beyond the greatest real timeline.

        Returns the settings that the control data ask for.
        """
        control = await self.directory.control()
        greatest = max(control.checkpoint_timeline, control.minimum_recovery_timeline)
        await asyncio.to_thread(remove_empty_above, self.layout.data, greatest)
        return dict(control.settings)

    async def close(self) -> None:
        """Let go of everything; PostgreSQL runs on."""
        await self.sql.forget()
        self._let_go()

    def _let_go(self) -> None:
        self._presence = None
        if self.postmaster is not None:
            self.postmaster.close()
            self.postmaster = None

    def _log_tail(self) -> str:
        """What PostgreSQL has said last, since this start."""
        try:
            with self.layout.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(self._log_from if size >= self._log_from else 0, size - _LOG_TAIL_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return ": " + " | ".join(lines[-_LOG_TAIL_LINES:]) if lines else ""


def trim_log(path: Path) -> None:
    """Put a log that has grown too long aside, as ``.1``; PostgreSQL goes on at the beginning."""
    if _size(path) > LOG_LIMIT_BYTES:
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)


def give_log(path: Path, programs: Programs) -> None:
    """Have the log file exist, for PostgreSQL's user alone."""
    path.touch(mode=0o600)
    give(path, programs.owner)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
