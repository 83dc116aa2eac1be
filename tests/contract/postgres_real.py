"""PostgreSQL itself, for the contract."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from common.model.wal import Switch
from keeper.postgres.history import history_file
from keeper.postgres.port import Postgres
from keeper.postgres.presence import CONTROL_FILE
from keeper.processes import postmaster_pid
from tests.contract.postgres_backends import Backend, Group, Member, holds
from tests.sim.postgres.backend import Outcome
from tests.support.aio import run
from tests.support.postgres import Server, Servers, servers
from tests.support.standstill import wal_receiver


class _RealMember(Member):
    def __init__(self, server: Server) -> None:
        super().__init__(server.uid)
        self._server = server

    @property
    def postgres(self) -> Postgres:
        return self._server.server

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._server.settings.port

    async def commit(self, number: int, *, local: bool = False) -> Outcome:
        warnings: list[psycopg.errors.Diagnostic] = []
        options = {"synchronous_commit": "local"} if local else {}
        try:
            connection = await self._server.connect(**options)
        except psycopg.OperationalError:
            return "failed"
        try:
            connection.add_notice_handler(warnings.append)
            await connection.execute("INSERT INTO written VALUES (%s)", [number])
        except psycopg.errors.ReadOnlySqlTransaction:
            return "failed"
        except psycopg.OperationalError:
            return "unknown"
        finally:
            await connection.close()
        return "unknown" if warnings else "acknowledged"

    async def waiting_commits(self) -> int:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        return int(await self._server.value(waiting))

    async def rows(self) -> set[int]:
        async with await self._server.connect() as connection:
            found = await (await connection.execute("SELECT id FROM written")).fetchall()
        return {int(row[0]) for row in found}

    def new_keeper(self) -> Postgres:
        return self._server.new_handle()

    def _postmaster(self) -> int:
        pid = postmaster_pid(self._server.data)
        assert pid is not None
        return pid

    async def kill_postmaster(self) -> None:
        os.kill(self._postmaster(), signal.SIGKILL)

    async def never_hang_up(self) -> None:
        # Where ALTER SYSTEM writes wins over what the keeper has written, until the keeper's next start.
        for name in ("wal_sender_timeout", "wal_receiver_timeout"):
            await self._server.value(f"ALTER SYSTEM SET {name} = 0")
        await self._server.value("SELECT pg_reload_conf()")

        async def in_force() -> bool:
            """A new session has what the postmaster has, and so has each sender that comes after it."""
            return str(await self._server.value("SHOW wal_sender_timeout")) == "0"

        await holds(in_force, f"{self.uid} never hangs up")

    async def freeze_receiver(self) -> None:
        os.kill(await wal_receiver(self._postmaster()), signal.SIGSTOP)

    def put_history(self, timeline: int, history: tuple[Switch, ...]) -> None:
        path = history_file(self._server.data, timeline)
        path.write_text("".join(f"{switch.timeline}\t{switch.lsn}\tby a test\n" for switch in history))
        status = self._server.data.stat()
        os.chown(path, status.st_uid, status.st_gid)

    def remove_data(self) -> None:
        shutil.rmtree(self._server.data)

    def remove_control_file(self) -> None:
        (self._server.data / CONTROL_FILE).unlink()

    def histories(self) -> set[int]:
        return {int(path.stem, 16) for path in (self._server.data / "pg_wal").glob("*.history")}


class _RealGroup(Group):
    def __init__(self, group: Servers) -> None:
        self._group = group

    def make(self, uid: str, *, empty: bool = False) -> Member:
        return _RealMember(self._group.make(uid, empty=empty))

    async def prepare(self, primary: Member) -> None:
        server = next(each for each in self._group.made if each.uid == primary.uid)
        await server.value("CREATE TABLE IF NOT EXISTS written (id int PRIMARY KEY)")


class RealPostgres(Backend):
    """PostgreSQL itself."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Group]:
        async with servers() as group:
            yield _RealGroup(group)

    def run(self, story: Callable[[Group], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with self.opened() as group:
                await story(group)

        run(main(), timeout_s=180)
