"""What of a data directory lies elsewhere: tablespaces, and WAL on a disk of its own.

A clone is made beside the directory that it replaces, so it cannot put its tablespaces where the old ones
are. It puts each into the same place, on the same disk, in a directory of its own life: a tablespace at
``/fast`` becomes ``/fast/pgha_<incarnation>``, WAL in ``/wal`` becomes ``/wal/pgha_<incarnation>``. What has
such a name was made here, and goes with its life; anything else is never removed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from common.errors import PostgresUnavailable
from common.runtime.disk import Owner

PREFIX: Final = "pgha_"
WAL: Final = "pg_wal"
TABLESPACES: Final = "pg_tblspc"
_OURS: Final = re.compile(rf"{PREFIX}[0-9a-f]{{8}}")

_QUERY: Final = """
SELECT oid::text, spcname, pg_tablespace_location(oid) FROM pg_tablespace
WHERE pg_tablespace_location(oid) LIKE '/%'
"""


@dataclass(frozen=True, slots=True)
class Tablespace:
    """A tablespace as the server has it that is copied from; ``oid`` is the name of its link."""

    oid: str
    name: str
    location: Path


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where a new life puts what does not lie in its data directory; ``moved`` is by the source's places."""

    moved: Mapping[Path, Path]
    wal: Path | None

    @property
    def made(self) -> tuple[Path, ...]:
        """Every directory of it."""
        return (*self.moved.values(), *((self.wal,) if self.wal else ()))

    @property
    def for_basebackup(self) -> tuple[str, ...]:
        """Say it to pg_basebackup."""
        mapped = (f"--tablespace-mapping={_escaped(a)}={_escaped(b)}" for a, b in self.moved.items())
        return (*mapped, *((f"--waldir={self.wal}",) if self.wal else ()))


async def tablespaces_of(target: str, timeout_s: float) -> tuple[Tablespace, ...]:
    """Ask a server for its tablespaces; raises PostgresUnavailable."""
    try:
        async with (
            asyncio.timeout(timeout_s),
            await psycopg.AsyncConnection.connect(target, autocommit=True) as connection,
        ):
            rows = await (await connection.execute(_QUERY)).fetchall()
    except (psycopg.Error, TimeoutError) as error:
        raise PostgresUnavailable(f"the source cannot be asked for its tablespaces: {error}") from error
    return tuple(Tablespace(oid, name, Path(location)) for oid, name, location in rows)


def plan_elsewhere(
    tablespaces: tuple[Tablespace, ...],
    incarnation: str,
    *,
    data: Path,
    wal_dir: Path | None,
    owner: Owner,
) -> Elsewhere:
    """Where a new life puts what lies elsewhere; blocks, and touches nothing.

    ``wal_dir`` None: where ``data`` has its WAL, be that elsewhere. Raises PostgresUnavailable with what an
    operator has to do when a place cannot serve.
    """
    moved = {each.location: _place(each.location) / f"{PREFIX}{incarnation}" for each in tablespaces}
    for each in tablespaces:
        _check(_place(each.location), f"tablespace {each.name!r}", owner)
    if len(set(moved.values())) < len(moved):
        places = ", ".join(sorted(str(each.location) for each in tablespaces))
        raise PostgresUnavailable(f"two tablespaces lie in one place ({places}): they cannot be cloned")
    base = wal_dir or _present_wal_dir(data)
    if base is not None:
        _check(base, "WAL", owner)
    return Elsewhere(moved, base / f"{PREFIX}{incarnation}" if base is not None else None)


def missing_tablespaces(tablespaces: tuple[Tablespace, ...], data: Path) -> tuple[Tablespace, ...]:
    """Those of the source that a data directory has no link for; blocks."""
    return tuple(each for each in tablespaces if not (data / TABLESPACES / each.oid).is_symlink())


def made_for(directory: Path) -> tuple[Path, ...]:
    """What was made elsewhere for this life of a data directory; blocks."""
    links = directory / TABLESPACES
    found = [*(links.iterdir() if links.is_dir() else ()), directory / WAL]
    targets = [link.readlink() for link in found if link.is_symlink()]
    return tuple(target for target in targets if _is_ours(target))


def _place(location: Path) -> Path:
    """The operator's own directory, of one that may have been made here."""
    return location.parent if _is_ours(location) else location


def _is_ours(place: Path) -> bool:
    """Whether it has a name that is given here; an operator's ``pgha_fast`` has not, and stays."""
    return _OURS.fullmatch(place.name) is not None


def _present_wal_dir(data: Path) -> Path | None:
    link = data / WAL
    return _place(link.readlink()) if link.is_symlink() else None


def _check(place: Path, what: str, owner: Owner) -> None:
    try:
        status = place.stat()
        is_usable = place.is_dir() and status.st_uid == owner.uid
    except OSError:
        is_usable = False
    if not is_usable:
        raise PostgresUnavailable(
            f"{what} lies in {place}, which on this host is no directory of PostgreSQL's own user: "
            f"create it on the disk where it shall be, give it to that user, and the clone is tried again"
        )


def _escaped(path: Path) -> str:
    return str(path).replace("=", "\\=")
