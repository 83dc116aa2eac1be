"""Writers and readers that go through both sites' proxies, and note every statement's fate."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Final, LiteralString

import psycopg
from psycopg.rows import TupleRow

from common.errors import PostgresUnavailable
from common.runtime.clock import Clock
from pgha.demo.accounting import Result, Statement
from pgha.demo.layout import HOST, ProxyPlace
from pgha.demo.straggler import Straggler

WRITERS_PER_SITE: Final = 2
READERS_PER_SITE: Final = 1
PAUSE_S: Final = 0.008
"""Between two statements of one client: a gap of some 10 ms can be told from the ordinary rhythm, and the
machine is left to the cluster."""
STATEMENT_LIMIT_S: Final = 15.0
ASK_LIMIT_S: Final = 60.0
RETRY_PAUSE_S: Final = 0.02
"""After a connection that was refused: a proxy that is down would be asked thousands of times a second."""

LOAD_PAUSE_S: Final = 0.05
"""Between two statements of one of the many clients of an exercise that asks for load."""
KNOCKS_EACH: Final = 4
"""Every so manieth of them connects anew for each statement."""

_CREATE: Final = (
    "CREATE TABLE IF NOT EXISTS pgha_demo (id bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"
)
_WRITE: Final = "INSERT INTO pgha_demo (id) VALUES (%s)"
_READ: Final = "SELECT id FROM pgha_demo ORDER BY id DESC LIMIT 1"
_ALL: Final = "SELECT id FROM pgha_demo"


class NotConnected(Exception):
    """A statement was never sent: nothing can have come of it."""


class Client:
    """One connection through one proxy, made again whenever it is gone; statements one after the other."""

    def __init__(self, site: str, conninfo: str, clock: Clock, limit_s: float) -> None:
        self._site = site
        self._conninfo = conninfo
        self._clock = clock
        self._limit_s = limit_s
        self._connection: psycopg.AsyncConnection | None = None
        self._cancelled_wait = False

    async def run(self, query: LiteralString, row: int | None = None) -> Statement:
        """Run one statement within its deadline; never raises for what a server or network does."""
        began_s = self._clock.monotonic()
        result: Result = "failed"
        connected = False
        try:
            async with asyncio.timeout(self._limit_s):
                connection = await self._connected()
                result, connected = "unknown", True
                self._cancelled_wait = False
                await connection.execute(query, None if row is None else (row,))
            result = "unknown" if self._cancelled_wait else "ok"
        except NotConnected:
            result = "failed"
        except (psycopg.Error, OSError, TimeoutError) as error:
            result = fate(error) if result == "unknown" else "failed"
            await self.close()
        return Statement(self._site, began_s, self._clock.monotonic(), result, row, connected)

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None:
            try:
                self._connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
            except (psycopg.Error, OSError) as error:
                raise NotConnected from error
            self._connection.add_notice_handler(self._on_notice)
        return self._connection

    def _on_notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        # A success with this warning is no acknowledgement: the wait for the standbys was cut short.
        self._cancelled_wait |= (diagnostic.sqlstate or "").startswith("01")

    async def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await connection.close()


def fate(error: Exception) -> Result:
    """What became of a statement that raised: PostgreSQL's refusals had no effect, all else is unknown.

    Classes 08 and 57 mean that the session ended, possibly after the commit was made.
    """
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    return "unknown" if state is None or state[:2] in {"08", "57"} else "failed"


class Workload:
    """All clients of the demo; ``statements`` is what they have done since :meth:`running` began.

    A client gives a statement up after ``limit_s``.
    """

    def __init__(
        self,
        proxies: Sequence[ProxyPlace],
        credentials: str,
        clock: Clock,
        limit_s: float = STATEMENT_LIMIT_S,
    ) -> None:
        self._proxies = proxies
        self._credentials = credentials
        self._clock = clock
        self._limit_s = limit_s
        self._rows = itertools.count(1)
        self.statements: list[Statement] = []
        self.acked: set[int] = set()

    def conninfo(self, port: int) -> str:
        """How a client connects to a port of this machine."""
        return f"host={HOST} hostaddr={HOST} port={port} {self._credentials} application_name=pgha-demo"

    def straggler(self, port: int) -> Straggler:
        """A client of a server's own port; its rows are accounted for like all others."""
        return Straggler(self.conninfo(port), self._rows, self.acked, self._clock)

    async def create_table(self, port: int) -> None:
        """Create the table that everything is written to; raises PostgresUnavailable."""
        await self._ask(port, _CREATE)

    async def present(self, port: int) -> set[int]:
        """Every row that the server at a port has; raises PostgresUnavailable."""
        return {int(row[0]) for row in await self._ask(port, _ALL)}

    async def _ask(self, port: int, query: LiteralString) -> list[TupleRow]:
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                connecting = psycopg.AsyncConnection.connect(self.conninfo(port), autocommit=True)
                async with await connecting as connection:
                    cursor = await connection.execute(query)
                    return await cursor.fetchall() if cursor.description else []
        except (psycopg.Error, OSError, TimeoutError) as error:
            raise PostgresUnavailable(f"{HOST}:{port} does not answer the demo: {error!r}") from error

    @contextlib.asynccontextmanager
    async def running(self, load: int = 0) -> AsyncIterator[list[Statement]]:
        """Run all clients, and as many writers more as ``load`` says.

        At an orderly end each finishes the statement that it is at.
        """
        statements = self.statements = []
        stop = asyncio.Event()
        clients = [
            asyncio.create_task(self._client(place, stop, statements, writes=number < WRITERS_PER_SITE))
            for place in self._proxies
            for number in range(WRITERS_PER_SITE + READERS_PER_SITE)
        ]
        clients += [
            asyncio.create_task(
                self._loader(self._proxies[number % len(self._proxies)], stop, statements, number)
            )
            for number in range(load)
        ]
        try:
            yield statements
            stop.set()
            await asyncio.gather(*clients)
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

    async def _client(
        self, place: ProxyPlace, stop: asyncio.Event, statements: list[Statement], *, writes: bool
    ) -> None:
        client = Client(place.site, self.conninfo(place.port), self._clock, self._limit_s)
        try:
            while not stop.is_set():
                done = await self._one(client, statements, writes=writes)
                if done.result == "ok":
                    await self._clock.sleep(PAUSE_S)
                elif done.result == "failed":
                    await self._clock.sleep(RETRY_PAUSE_S)
        finally:
            await client.close()

    async def _loader(
        self, place: ProxyPlace, stop: asyncio.Event, statements: list[Statement], number: int
    ) -> None:
        """A writer among many; one that knocks makes a new connection for each statement."""
        client = Client(place.site, self.conninfo(place.port), self._clock, self._limit_s)
        try:
            while not stop.is_set():
                await self._one(client, statements, writes=True)
                if number % KNOCKS_EACH == 0:
                    await client.close()
                await self._clock.sleep(LOAD_PAUSE_S)
        finally:
            await client.close()

    async def _one(self, client: Client, statements: list[Statement], *, writes: bool) -> Statement:
        row = next(self._rows) if writes else None
        done = await client.run(_WRITE if writes else _READ, row)
        statements.append(done)
        if done.result == "ok" and row is not None:
            self.acked.add(row)
        return done
