"""Hears of the end of PostgreSQL within milliseconds, whoever ended it."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from common.runtime.clock import Clock
from keeper.local import Local
from keeper.postgres.port import Postgres

PAUSE_S = 0.05
"""How often it is looked whether there is a postmaster to wait for."""

_log = structlog.get_logger()


class PostmasterWatch:
    """Waits for the end of each start; ``ended`` is called once nothing of it is left."""

    def __init__(self, postgres: Postgres, local: Local, clock: Clock, *, ended: Callable[[], None]) -> None:
        self._postgres = postgres
        self._local = local
        self._clock = clock
        self._ended = ended

    async def run(self) -> None:
        """Watch for ever. What another loop ends on purpose, that loop reports."""
        while True:
            held = self._postgres.start_id
            if held is not None:
                await self._postgres.wait_until_down()
            else:  # nothing runs; what should may have begun and ended between two looks
                held = self._local.start_id
            if (
                held is None
                or self._local.postgres not in {"starting", "running"}
                or self._local.start_id != held
            ):
                await self._clock.sleep(PAUSE_S)
                continue
            was = self._local.postgres
            killed = await self._postgres.kill()
            self._local.forget_start("failed" if was == "starting" else "down")
            _log.warning("postgres_down", was=was, killed=killed.killed, silenced=list(killed.silenced))
            self._ended()
