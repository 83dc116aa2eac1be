"""Applications that write without a pause, and remember what was acknowledged to them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import psycopg

from tests.support.postgres import Server, until


@dataclass
class Acknowledged:
    """The ids whose INSERT returned."""

    ids: set[int] = field(default_factory=set)

    async def more(self, count: int) -> None:
        """Wait until so many more writes were acknowledged."""
        wanted = len(self.ids) + count

        async def look() -> int:
            return len(self.ids)

        await until(look, lambda seen: seen >= wanted, f"{count} more writes are acknowledged")


@contextlib.asynccontextmanager
async def writers(primary: Server, count: int = 3) -> AsyncIterator[Acknowledged]:
    """Have writers at work; each waits for its commit, whatever the primary waits for."""
    await primary.value("CREATE TABLE IF NOT EXISTS written (id int PRIMARY KEY)")
    acknowledged = Acknowledged()
    ids = itertools.count(1)

    async def write() -> None:
        with contextlib.suppress(psycopg.OperationalError):
            async with await primary.connect() as connection:
                while True:
                    number = next(ids)
                    await connection.execute("INSERT INTO written VALUES (%s)", [number])
                    acknowledged.ids.add(number)

    tasks = [asyncio.create_task(write()) for _ in range(count)]
    try:
        yield acknowledged
    finally:
        # A statement under way ends with the server: psycopg would wait for its cancellation.
        await primary.server.kill()
        await asyncio.gather(*tasks)
