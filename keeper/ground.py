"""Notices that a running PostgreSQL has lost its data directory: removed, moved away, or exchanged.

PostgreSQL itself looks for its directory once a minute, and through a working directory that moves
with it, so that a primary serves on for that long, or for ever, on files that nobody can find again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

import structlog

from common.errors import PostgresUnavailable
from common.runtime.clock import Clock
from keeper.actions import Actions
from keeper.local import Local
from keeper.postgres.port import Postgres

LOOK_EVERY_S = 1.0

_log = structlog.get_logger()


class Ground:
    """Looks once a second; ends a server that stands on nothing, and learns what lies there instead.

    ``learn`` finds out what is on disk, and reports by itself when that fails.
    """

    def __init__(
        self,
        postgres: Postgres,
        local: Local,
        actions: Actions,
        clock: Clock,
        learn: Callable[[], Awaitable[None]],
    ) -> None:
        self._postgres = postgres
        self._local = local
        self._actions = actions
        self._clock = clock
        self._learn = learn

    async def run(self, changed: Callable[[], None]) -> None:
        """Look for ever; call ``changed`` when a server was ended."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            if await self.look():
                changed()

    async def look(self) -> bool:
        """Look once; return whether the directory was lost.

        Order: nobody else begins a step -> no process is left -> the life is forgotten, durably, so that
        whatever lies there now is another one, be its marker the same -> what lies there is learned.
        """
        local, held = self._local, self._postgres.start_id
        if held is None or local.postgres != "running":
            return False
        why = await self._why_lost()
        if not why or local.start_id != held or local.postgres != "running":
            return False
        local.postgres = "stopping"
        killed = await self._postgres.kill()
        _log.critical("directory_lost", why=why, killed=killed.killed, silenced=list(killed.silenced))
        await self._actions.forget_life()
        with contextlib.suppress(OSError):  # it is said to be unusable then
            await self._postgres.set_remains_aside()
        await self._learn()
        if local.postgres == "stopping":
            local.forget_start("failed")
        return True

    async def _why_lost(self) -> str:
        try:
            return await self._postgres.why_lost()
        except PostgresUnavailable as error:
            _log.warning("directory_not_seen", error=str(error))
            return ""
