"""SQL as the superuser, over the local socket, every answer within a deadline.

One connection is kept open and reopened after an error; ``fresh`` opens another, which alone proves
what the server's configuration is *now*. Both run at ``synchronous_commit = local``: the keeper must
never wait for the standbys it is there to manage.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator
from typing import Any, Final

import psycopg
from psycopg.abc import Query
from psycopg.conninfo import make_conninfo

from common.errors import PostgresSilent, PostgresUnavailable
from keeper.postgres.layout import Layout

Row = tuple[Any, ...]

APPLICATION_NAME: Final = "pgha"
STATEMENT_LIMIT_S: Final = 5.0
_CUT_LIMIT_S: Final = 1.0

_OPTIONS: Final = " ".join(
    f"-c {setting}"
    for setting in (
        "synchronous_commit=local",
        "lock_timeout=0",
        "idle_session_timeout=0",
        "idle_in_transaction_session_timeout=0",
        "default_transaction_read_only=off",
        "default_transaction_isolation=read\\ committed",
        "search_path=pg_catalog",
        "row_security=on",
    )
)
"""Given with the connection, so that settings of the role or the database cannot get in the way."""


class Session:
    """One connection; any failure makes it useless, and it says so by raising."""

    def __init__(self, connection: psycopg.AsyncConnection[Row]) -> None:
        self._connection = connection
        self._running: asyncio.Future[list[Row]] | None = None

    @property
    def is_usable(self) -> bool:
        """Whether the connection is open and between statements."""
        return not self._connection.closed

    async def rows(self, query: Query, *, timeout_s: float = STATEMENT_LIMIT_S) -> list[Row]:
        """Run one statement and return its rows.

        Raises PostgresUnavailable on any error, PostgresSilent when the deadline passes: the connection
        is then cut rather than asked to cancel, since a server that hangs would not answer that either.
        """
        task = asyncio.ensure_future(self._run(query))
        task.add_done_callback(_retrieve)
        self._running = task
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout_s)
        except asyncio.CancelledError:
            self._cut()
            raise
        if not done:
            await self._cut_short()
            raise PostgresSilent(f"PostgreSQL did not answer within {timeout_s:g} s")
        try:
            return task.result()
        except psycopg.Error as error:
            raise PostgresUnavailable(f"PostgreSQL: {_text(error)}") from error

    async def value(self, query: Query, *, timeout_s: float = STATEMENT_LIMIT_S) -> Any:
        """Run one statement and return its only value."""
        return (await self.rows(query, timeout_s=timeout_s))[0][0]

    async def close(self) -> None:
        """End the connection, and with an error whatever runs on it."""
        await self._cut_short()
        await self._connection.close()

    async def _run(self, query: Query) -> list[Row]:
        cursor = await self._connection.execute(query)
        return await cursor.fetchall() if cursor.description else []

    async def _cut_short(self) -> None:
        if self._running is not None and not self._running.done():
            self._cut()
            await asyncio.wait({self._running}, timeout=_CUT_LIMIT_S)

    def _cut(self) -> None:
        """Make the statement under way end with an error, as if the server had gone."""
        with contextlib.suppress(OSError, psycopg.Error):
            copy = os.dup(self._connection.fileno())
            with socket.socket(fileno=copy) as wire:
                wire.shutdown(socket.SHUT_RDWR)


def _retrieve(task: asyncio.Future[list[Row]]) -> None:
    """Take note of an error that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


def _text(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class Sql:
    """The superuser's connections to one server."""

    def __init__(self, layout: Layout, port: int, superuser: str) -> None:
        self._layout = layout
        self._port = port
        self._superuser = superuser
        self._kept: dict[bool, Session] = {}
        self._turn = {False: asyncio.Lock(), True: asyncio.Lock()}

    async def rows(
        self, query: Query, *, timeout_s: float = STATEMENT_LIMIT_S, replication: bool = False
    ) -> list[Row]:
        """Run one statement on a kept connection, opening it if need be.

        After an error the connection is given up; a statement that may have run is never sent twice.
        ``replication`` takes a connection that understands the commands of the replication protocol.
        """
        async with self._turn[replication]:
            session = self._kept.get(replication)
            if session is None or not session.is_usable:
                session = await self.open(timeout_s, replication=replication)
                self._kept[replication] = session
            try:
                return await session.rows(query, timeout_s=timeout_s)
            except (PostgresUnavailable, asyncio.CancelledError):
                self._kept.pop(replication, None)
                await session.close()
                raise

    @contextlib.asynccontextmanager
    async def fresh(
        self, *, timeout_s: float = STATEMENT_LIMIT_S, replication: bool = False
    ) -> AsyncIterator[Session]:
        """Open a new connection for a while."""
        session = await self.open(timeout_s, replication=replication)
        try:
            yield session
        finally:
            await session.close()

    async def forget(self) -> None:
        """Close the kept connections: the server has been stopped, or the keeper ends."""
        sessions = list(self._kept.values())
        self._kept.clear()
        for session in sessions:
            await session.close()

    async def value(self, query: Query, *, timeout_s: float = STATEMENT_LIMIT_S) -> Any:
        """Run one statement on a kept connection and return its only value."""
        return (await self.rows(query, timeout_s=timeout_s))[0][0]

    async def open(self, timeout_s: float, *, replication: bool = False) -> Session:
        """Open a new connection, which the caller closes."""
        target = make_conninfo(
            host=str(self._layout.socket),
            port=self._port,
            user=self._superuser,
            dbname="postgres",
            application_name=APPLICATION_NAME,
            options=_OPTIONS,
            replication="database" if replication else None,
        )
        try:
            async with asyncio.timeout(timeout_s):
                connection = await psycopg.AsyncConnection.connect(
                    target, autocommit=True, prepare_threshold=None
                )
        except TimeoutError as error:
            raise PostgresSilent(f"PostgreSQL took no connection within {timeout_s:g} s") from error
        except psycopg.Error as error:
            if os.strerror(errno.EAGAIN) in str(error):  # more wait to be accepted than the socket takes
                raise PostgresSilent(f"PostgreSQL takes no connection: {_text(error)}") from error
            raise PostgresUnavailable(f"PostgreSQL takes no connection: {_text(error)}") from error
        return Session(connection)
