"""Real PostgreSQL servers for tests: each with its own directory and port, none left behind."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.abc import Query

from common.errors import PostgresUnavailable
from common.model.names import standby_name
from common.model.spec import PostgresSpec
from common.model.wal import ZERO, Lsn
from common.runtime.clock import SystemClock
from keeper.postgres.instance import PostgresSettings
from keeper.postgres.port import Source, SyncSetting
from keeper.postgres.programs import from_the_demo_extra
from keeper.postgres.server import PostgresServer
from keeper.processes import find
from tests.support.aio import until
from tests.support.ports import free_port

SPEC = PostgresSpec(parameters={"shared_buffers": "16MB", "max_connections": "40"})
"""Small, so that several servers start fast."""

BY_ITSELF = SyncSetting(k=0)
"""A primary whose commits wait for nobody."""

FIRST_LIFE = "00000001"


def new_root() -> Path:
    """A directory that PostgreSQL's user can pass through (pytest's own it cannot); the caller removes it."""
    root = Path(tempfile.mkdtemp(prefix="pgha-"))
    root.chmod(0o755)
    return root


def other_versions() -> list[Path]:
    """The directories with PostgreSQL's programs that the demo extra brings."""
    return sorted(from_the_demo_extra())


@dataclass
class Server:
    """One server and what a test wants to do with it."""

    uid: str
    settings: PostgresSettings
    server: PostgresServer
    life: str = FIRST_LIFE
    spec: PostgresSpec = SPEC

    @property
    def root(self) -> Path:
        return self.settings.root

    @property
    def data(self) -> Path:
        return self.root / "data"

    def name(self, term: int) -> str:
        """Slot and application name in a term."""
        return standby_name(self.uid, self.life, term)

    def source_for(self, standby: Server, term: int) -> Source:
        """How a standby reaches this server in a term."""
        return Source("127.0.0.1", self.settings.port, standby.name(term))

    async def start(
        self, *, source: Source | None = None, writable: SyncSetting | None = None, accepting: bool = True
    ) -> str:
        start_id = await self.server.start(self.spec, source=source, writable=writable)
        if accepting:
            await self.server.wait_until_accepting(20)
        return start_id

    async def connect(self, **options: str) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        """A superuser's connection with the server's own defaults, as an application has them."""
        return await psycopg.AsyncConnection.connect(
            host=str(self.root / "socket"),
            port=self.settings.port,
            user="postgres",
            dbname="postgres",
            autocommit=True,
            options=" ".join(f"-c {name}={value}" for name, value in options.items()),
        )

    async def value(self, query: Query) -> Any:
        """Run a statement that waits for no standby, and return its only value, if there is one."""
        async with await self.connect(synchronous_commit="local") as connection:
            cursor = await connection.execute(query)
            row = await cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    async def lsn(self) -> Lsn:
        """The end of WAL of a primary."""
        return Lsn.parse(await self.value("SELECT pg_current_wal_flush_lsn()"))

    async def replayed(self) -> Lsn:
        """The end of replay of a standby."""
        return Lsn.parse(await self.value("SELECT pg_last_wal_replay_lsn()") or 0)

    async def caught_up(self, standby: Server) -> None:
        """Wait until a standby has replayed everything that this primary has."""
        end = await self.lsn()
        await until(standby.replayed, lambda lsn: lsn >= end, "the standby has caught up")

    def new_handle(self) -> PostgresServer:
        """Another keeper's life on the same directory."""
        self.server = PostgresServer(self.settings, SystemClock())
        return self.server


async def refuses(call: Callable[[float], Coroutine[Any, Any, object]], says: str) -> None:
    """Fail the test unless a call is refused with these words.

    It gets more time until it has come as far as that: with little a busy server is not even asked.
    """
    for limit_s in (0.3, 1.0, 3.0, 10.0):
        with pytest.raises(PostgresUnavailable) as refused:
            await call(limit_s)
        if re.search(says, str(refused.value)):
            return
    raise AssertionError(f"nothing about {says!r} in: {refused.value}")


@dataclass
class Servers:
    """Makes servers that begin as copies of one freshly created cluster."""

    bin_dir: Path | None = None
    made: list[Server] = field(default_factory=list)

    def make(self, uid: str, *, empty: bool = False, root: Path | None = None) -> Server:
        root = root or new_root()
        settings = settings_for(uid, root, self.bin_dir)
        server = Server(uid, settings, PostgresServer(settings, SystemClock()))
        self.made.append(server)
        if not empty:
            copy_data(template(self.bin_dir), server.data)
        return server

    async def primary(self, uid: str = "one", sync: SyncSetting = BY_ITSELF) -> Server:
        """A running primary, with the roles that standbys need."""
        server = self.make(uid)
        await server.start(writable=sync)
        await server.server.ensure_roles()
        return server

    async def standby(self, primary: Server, uid: str = "two", *, term: int = 1) -> Server:
        """A standby that streams from a primary."""
        server = self.make(uid)
        await primary.server.keep_slots({server.name(term): ZERO}, drop_others=False)
        await server.start(source=primary.source_for(server, term))
        await primary.caught_up(server)
        return server

    async def clean_up(self) -> None:
        for server in self.made:
            with contextlib.suppress(Exception):
                await server.server.kill()
            await server.server.close()
            shutil.rmtree(server.root, ignore_errors=True)
            assert not find(server.data)


def settings_for(uid: str, root: Path, bin_dir: Path | None = None) -> PostgresSettings:
    """Settings of a test's server."""
    return PostgresSettings(
        uid=uid,
        root=root,
        port=free_port(),
        listen_addresses="127.0.0.1",
        replication_password="replicate: it's \\ odd",
        rewind_password="rewind",
        bin_dir=bin_dir,
    )


@contextlib.asynccontextmanager
async def servers(bin_dir: Path | None = None) -> AsyncIterator[Servers]:
    """Servers that are gone, with their files, when the test ends."""
    group = Servers(bin_dir)
    try:
        yield group
    finally:
        await group.clean_up()


def sync_of(k: int, *standbys: Server, term: int = 1) -> SyncSetting:
    """``ANY k`` of some standbys under their names of a term."""
    return SyncSetting(k, frozenset(standby.name(term) for standby in standbys))


@functools.cache
def template(bin_dir: Path | None) -> Path:
    """A freshly created data directory, made once for all tests of a process."""
    root = new_root()
    server = PostgresServer(settings_for("template", root, bin_dir), SystemClock())
    _in_a_thread(lambda: asyncio.run(server.initialize(FIRST_LIFE, SPEC)))
    _templates.append(tempfile.TemporaryDirectory(prefix="pgha-", ignore_cleanup_errors=True))
    kept = Path(_templates[-1].name) / "data"
    (root / "data").rename(kept)
    shutil.rmtree(root)
    return kept


_templates: list[tempfile.TemporaryDirectory[str]] = []


def _in_a_thread(work: Callable[[], Any]) -> None:
    """Run something with a loop of its own while the caller's loop stands still."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def copy_data(source: Path, target: Path) -> None:
    """Copy a stopped data directory, owners and all."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True, timeout=60)
