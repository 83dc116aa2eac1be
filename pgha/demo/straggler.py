"""A client that has an old primary's own address and keeps committing there, whatever proxies say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Final

import psycopg

from common.runtime.clock import Clock
from pgha.demo.accounting import Result, Statement

PAUSE_S: Final = 0.05
RETRY_PAUSE_S: Final = 0.2

CLIENT: Final = "at-the-old-address"
"""It is counted for no site."""

_WRITE: Final = "INSERT INTO pgha_demo (id) VALUES (%s)"


class Straggler:
    """Commits one row after the other; waits for each answer as long as it takes.

    ``acked`` gets the rows whose commit was acknowledged; ``acked_s`` is when the answers came.
    """

    def __init__(self, conninfo: str, rows: Iterator[int], acked: set[int], clock: Clock) -> None:
        self._conninfo = conninfo
        self._rows = rows
        self._acked = acked
        self._clock = clock
        self._cut_short = False
        self.acked_s: list[float] = []
        self.statements: list[Statement] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep committing meanwhile."""
        task = asyncio.create_task(self._run(), name="straggler")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def acks_after(self, instant_s: float) -> int:
        """How many commits were acknowledged after an instant."""
        return sum(acked_s > instant_s for acked_s in self.acked_s)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(psycopg.Error, OSError):
                async with await psycopg.AsyncConnection.connect(
                    self._conninfo, autocommit=True
                ) as connection:
                    connection.add_notice_handler(self._on_notice)
                    await self._commit(connection)
            await self._clock.sleep(RETRY_PAUSE_S)

    async def _commit(self, connection: psycopg.AsyncConnection) -> None:
        """Commit until an error."""
        while True:
            row, began_s = next(self._rows), self._clock.monotonic()
            self._cut_short = False
            result: Result = "unknown"
            try:
                await connection.execute(_WRITE, (row,))
                result = "unknown" if self._cut_short else "ok"
            finally:
                ended_s = self._clock.monotonic()
                self.statements.append(Statement(CLIENT, began_s, ended_s, result, row))
            if result == "ok":
                self.acked_s.append(ended_s)
                self._acked.add(row)
            await self._clock.sleep(PAUSE_S)

    def _on_notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        # A success with this warning is no acknowledgement: the wait for the standbys was cut short.
        self._cut_short |= (diagnostic.sqlstate or "").startswith("01")
