"""Writing a server's configuration: validated, durable, one writer at a time.

``postgresql.conf`` holds the operator's and the managed parameters and includes, last, three files
with one subject each: what recovery had to raise, whom to follow, whom commits wait for. Each is
written by its own operation only, so that none can take back what another has promised.
"""

from __future__ import annotations

import asyncio
import hashlib
import pwd
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from common.errors import InvalidSpec, PostgresUnavailable
from common.model.spec import PostgresSpec
from common.runtime.disk import Owner, write_durably
from keeper.postgres.access import render_hba, render_ident
from keeper.postgres.complaints import complaints
from keeper.postgres.layout import Layout
from keeper.postgres.parameters import (
    MANAGED,
    RULES,
    Place,
    effective_parameters,
    raised_for_recovery,
    render,
    without_parameters,
)
from keeper.postgres.port import Source, SyncSetting
from keeper.postgres.programs import Programs
from keeper.postgres.replication import (
    SYNC_FILE,
    UPSTREAM_FILE,
    render_sync,
    render_upstream,
    upstream_parameters,
)

T = TypeVar("T")

MAIN_FILE: Final = "postgresql.conf"
RAISED_FILE: Final = "pgha.raised.conf"
AUTO_FILE: Final = "postgresql.auto.conf"
HBA_FILE: Final = "pg_hba.conf"
IDENT_FILE: Final = "pg_ident.conf"
ACCEPTED_FILE: Final = "pgha.access"
"""Digest of the two above as PostgreSQL took them: a copy of the directory brings it along."""

OURS: Final = frozenset(MANAGED) | frozenset(RULES)
"""Parameters that ALTER SYSTEM must not override."""

_CHECK_LIMIT_S: Final = 10.0
_JUDGE_LIMIT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Access:
    """The contents of pg_hba.conf and pg_ident.conf; empty where there is none."""

    hba: str
    ident: str

    @property
    def digest(self) -> str:
        """What they are known by."""
        return hashlib.sha256(f"{self.hba}\0{self.ident}".encode()).hexdigest()


class ConfigFiles:
    """The configuration files of one keeper's PostgreSQL."""

    def __init__(self, layout: Layout, programs: Programs, place: Place, superuser: str) -> None:
        self._layout = layout
        self._programs = programs
        self._place = place
        self._superuser = superuser
        self._one_writer = asyncio.Lock()

    async def write_parameters(self, directory: Path, spec: PostgresSpec) -> bool:
        """Write postgresql.conf and undo ALTER SYSTEM on managed parameters; whether anything changed.

        PostgreSQL is asked beforehand whether it takes the file: with one unknown name it would
        refuse every later reload as a whole, a seal's too. Raises InvalidSpec, nothing written.
        """
        parameters = effective_parameters(spec, self._place, self._programs.major)
        includes = (RAISED_FILE, UPSTREAM_FILE, SYNC_FILE)
        text = render(parameters, "The spec's parameters, and those that pgha manages.", includes)
        if await asyncio.to_thread(_read, directory / MAIN_FILE) != text:
            try:
                refused = await self._refusals(spec, parameters, "candidate.conf", _CHECK_LIMIT_S)
            except PostgresUnavailable as error:
                said = str(error).partition(": ")[2]
                raise InvalidSpec(f"postgres.parameters: PostgreSQL refuses them: {said}") from error
            if refused:
                raise InvalidSpec(f"PostgreSQL refuses {'; '.join(refused)}")
        written = await self._exclusively(lambda: self._write(directory / MAIN_FILE, text))
        return bool(await self.undo_alter_system(directory)) or written

    async def judge_parameters(self, spec: PostgresSpec) -> tuple[str, ...]:
        """What is wrong with a spec's parameters, by our rules and PostgreSQL's; nothing else is written.

        May run beside everything else, but not beside itself. Raises PostgresUnavailable when it cannot tell.
        """
        try:
            parameters = effective_parameters(spec, self._place, self._programs.major)
        except InvalidSpec as error:
            return (str(error),)
        return await self._refusals(spec, parameters, "judged.conf", _JUDGE_LIMIT_S)

    async def undo_alter_system(self, directory: Path) -> tuple[str, ...]:
        """Take managed parameters out of postgresql.auto.conf; returns those that were there."""
        return await self._exclusively(lambda: self._undo(directory / AUTO_FILE))

    async def write_access(self, directory: Path, spec: PostgresSpec) -> Access | None:
        """Write pg_hba.conf and pg_ident.conf; returns the former ones if either changed.

        A running PostgreSQL must be asked whether it takes them before it reads them. Raises InvalidSpec,
        nothing written.
        """
        wanted = self._access(spec)
        before = await asyncio.to_thread(_read_access, directory)
        await self.put_access(directory, wanted)
        return before if before != wanted else None

    async def write_accepted_access(self, directory: Path) -> None:
        """Have files with which PostgreSQL starts and lets its keeper in, where none can be asked.

        What a running one took stays, be it copied from another member; the operator's lines that are new
        come once it runs (:meth:`write_access`). With one bad line it would not start at all.
        """
        own = self._access(PostgresSpec())
        found = await asyncio.to_thread(_read_access, directory)
        noted = await asyncio.to_thread(_read, directory / ACCEPTED_FILE)
        is_known = noted == found.digest and found.ident.startswith(own.ident)
        await self.put_access(directory, found if is_known else own)

    async def note_accepted(self, directory: Path) -> None:
        """Remember that the running PostgreSQL takes the files as they are: later starts and copies may."""
        found = await asyncio.to_thread(_read_access, directory)
        await self._exclusively(lambda: self._write(directory / ACCEPTED_FILE, found.digest))

    async def put_access(self, directory: Path, access: Access) -> None:
        """Write both files as they are given."""
        await self._exclusively(lambda: self._write(directory / IDENT_FILE, access.ident))
        await self._exclusively(lambda: self._write(directory / HBA_FILE, access.hba))

    def _access(self, spec: PostgresSpec) -> Access:
        users = {"root", self._programs.user, pwd.getpwuid(self._programs.owner.uid).pw_name}
        return Access(render_hba(spec, self._superuser), render_ident(spec, users, self._superuser))

    async def write_raised(
        self, directory: Path, spec: PostgresSpec, control: Mapping[str, int] | None
    ) -> bool:
        """Write what a server in recovery must set higher; ``control`` is None for one that is not."""
        raised = raised_for_recovery(spec.parameters, control) if control is not None else {}
        text = render(raised, "Raised to what the primary had when it wrote this server's WAL.")
        return await self._exclusively(lambda: self._write(directory / RAISED_FILE, text))

    async def write_upstream(self, directory: Path, source: Source | None) -> bool:
        """Write whom to follow."""
        text = render_upstream(upstream_parameters(source, self._layout.passwords))
        return await self._exclusively(lambda: self._write(directory / UPSTREAM_FILE, text))

    async def write_sync(self, directory: Path, setting: SyncSetting) -> bool:
        """Write whom commits wait for."""
        text = render_sync(setting)
        return await self._exclusively(lambda: self._write(directory / SYNC_FILE, text))

    async def _exclusively(self, write: Callable[[], T]) -> T:
        """Write in a thread; a caller that is cancelled leaves, the writing ends before the next begins."""

        async def turn() -> T:
            async with self._one_writer:
                return await asyncio.to_thread(write)

        return await _uninterrupted(turn())

    def _write(self, path: Path, text: str) -> bool:
        if _read(path) == text:
            return False
        write_durably(path, text.encode(), owner=self._owner)
        return True

    def _undo(self, path: Path) -> tuple[str, ...]:
        text = _read(path) or ""
        kept, removed = without_parameters(text, OURS)
        if removed:
            write_durably(path, kept.encode(), owner=self._owner)
        return removed

    @property
    def _owner(self) -> Owner:
        return self._programs.owner

    async def _refusals(
        self, spec: PostgresSpec, parameters: Mapping[str, str], file: str, limit_s: float
    ) -> tuple[str, ...]:
        """What PostgreSQL itself finds wrong with a configuration file."""
        candidate, lines = self._layout.root / file, list[str]()
        text = render(parameters, "A candidate, to be checked.")
        await asyncio.to_thread(write_durably, candidate, text.encode(), owner=self._owner)
        try:
            await self._programs.run(
                "postgres",
                *("-D", self._layout.root, "-c", f"config_file={candidate}", "-C", "port"),
                timeout_s=limit_s,
                on_line=lines.append,
            )
        except PostgresUnavailable:
            found = complaints(lines, spec.parameters)
            if not found:
                raise
            return found
        finally:
            await asyncio.to_thread(candidate.unlink)
        return ()


async def _uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    return await asyncio.shield(asyncio.ensure_future(work))


def _read_access(directory: Path) -> Access:
    return Access(_read(directory / HBA_FILE) or "", _read(directory / IDENT_FILE) or "")


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
