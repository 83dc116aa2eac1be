"""Applications that write without a pause, and remember what became of each write."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString, TypeAlias

import psycopg

from common.runtime.clock import SystemClock
from pgha.demo.workload import fate
from tests.checks.check import assert_holds
from tests.checks.history import Action, Add, Append, Elements, Members
from tests.checks.recorder import Recorder
from tests.support.aio import until
from tests.support.postgres import Server

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]

ROWS: Final = "written"
LIST: Final = "appended"
_CREATE: Final = (
    "CREATE TABLE IF NOT EXISTS written (id int PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS appended (number int PRIMARY KEY, elements int[] NOT NULL)",
    "INSERT INTO appended VALUES (1, '{}') ON CONFLICT DO NOTHING",
)
_ADD: Final = "INSERT INTO written VALUES (%s)"
_APPEND: Final = "UPDATE appended SET elements = elements || %s::int"
_MEMBERS: Final = "SELECT array_agg(id) FROM written"
_ELEMENTS: Final = "SELECT elements FROM appended"


@dataclass
class Acknowledged:
    """What writers did, and the ids whose statement returned."""

    recorder: Recorder = field(default_factory=lambda: Recorder(SystemClock()))
    ids: set[int] = field(default_factory=set)

    async def more(self, count: int) -> None:
        """Wait until so many more writes were acknowledged."""
        wanted = len(self.ids) + count

        async def acknowledged() -> int:
            return len(self.ids)

        await until(acknowledged, lambda seen: seen >= wanted, f"{count} more writes are acknowledged")

    async def must_all_be_on(self, server: Server) -> None:
        """Read everything on a server, and hold it and every read before to what writers were told."""
        async with await server.connect() as connection:
            await self.look(connection, "final read", Members(ROWS), _MEMBERS)
            await self.look(connection, "final read", Elements(LIST), _ELEMENTS)
        assert_holds(self.recorder.operations)

    async def look(self, connection: Connection, client: str, action: Action, query: LiteralString) -> None:
        """Read a set or a list by a query that returns it as an array."""
        handle = self.recorder.begin(client, action)
        try:
            row = await (await connection.execute(query)).fetchone()
        except psycopg.Error:
            handle.unknown()
            raise
        assert row is not None
        handle.ok(row[0] or [])

    async def write(self, connection: Connection, client: str, action: Add | Append) -> None:
        """Write one element, and remember what became of it."""
        handle = self.recorder.begin(client, action)
        try:
            await connection.execute(_ADD if isinstance(action, Add) else _APPEND, [action.element])
        except psycopg.Error as error:
            if fate(error) == "failed":
                handle.failed()
            else:
                handle.unknown()
            raise
        handle.ok()
        self.ids.add(int(action.element))


@contextlib.asynccontextmanager
async def writers(primary: Server, count: int = 3) -> AsyncIterator[Acknowledged]:
    """Have writers at work; each waits for its commit, whatever the primary waits for.

    Each adds a row, appends to the one list that all share, reads that list, and begins again.
    """
    for statement in _CREATE:
        await primary.value(statement)
    acknowledged = Acknowledged()
    ids = itertools.count(1)

    async def write(name: str) -> None:
        with contextlib.suppress(psycopg.OperationalError):
            async with await primary.connect() as connection:
                while True:
                    await acknowledged.write(connection, name, Add(ROWS, next(ids)))
                    await acknowledged.write(connection, name, Append(LIST, next(ids)))
                    await acknowledged.look(connection, name, Elements(LIST), _ELEMENTS)

    tasks = [asyncio.create_task(write(f"writer-{number}")) for number in range(count)]
    try:
        yield acknowledged
    finally:
        # A statement under way ends with the server: psycopg would wait for its cancellation.
        await primary.server.kill()
        await asyncio.gather(*tasks)
