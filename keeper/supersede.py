"""Ends a primary that hangs as soon as the view says that its term is over.

The keeper's loop does that to any superseded primary, but in its own order, and it may wait for the very disk
that PostgreSQL waits for. This loop waits for no disk: it reads the view from the image of the store, and
kills by what it knows already.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from common.errors import InvalidDocument, PostgresUnavailable
from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.store.mirror import Mirror
from keeper.local import Local
from keeper.postgres.port import Postgres

AGAIN_AFTER_S = 1.0
"""Between two tries of what failed; and how often a view that is known already is held to what hangs."""

_log = structlog.get_logger()


def is_superseded(view: ClusterView, local: Local) -> bool:
    """Whether a view, not older than one that was obeyed here, has taken the term from this life."""
    named, life = view.primary, local.state.life
    return (
        view.generation >= local.state.generation
        and view.phase != "initializing"
        and view.system_identifier == local.system_identifier
        and (named is None or life is None or named.incarnation != life.incarnation)
    )


class Supersede:
    """Watches the view while the store is ``believed``; ``ended`` is called when a server was killed."""

    def __init__(
        self,
        postgres: Postgres,
        local: Local,
        clock: Clock,
        *,
        view: Mirror,
        view_key: str,
        believed: Callable[[], bool],
        ended: Callable[[], None],
    ) -> None:
        self._postgres = postgres
        self._local = local
        self._clock = clock
        self._view = view
        self._view_key = view_key
        self._believed = believed
        self._ended = ended

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            seen = self._view.version
            if self._local.hanging and self._is_over():
                await self._end()
            await self._view.wait_changed(AGAIN_AFTER_S, since=seen)

    def _is_over(self) -> bool:
        item = self._view.items.get(self._view_key)
        if item is None or not self._believed():
            return False
        try:
            return is_superseded(ClusterView.from_bytes(item.value), self._local)
        except InvalidDocument:
            return False

    async def _end(self) -> None:
        """Kill it; what is left sleeps in the kernel with SIGKILL pending and will run no code again."""
        local, start_id = self._local, self._local.start_id
        try:
            killed = await self._postgres.kill()
        except PostgresUnavailable as error:
            _log.critical("hanging_not_killed", error=str(error))
            await self._clock.sleep(AGAIN_AFTER_S)
            return
        _log.warning("hanging_killed", killed=killed.killed, silenced=list(killed.silenced))
        if local.start_id == start_id and local.postgres in {"running", "stopping"}:
            local.forget_start("down")
        local.hanging = ""
        self._ended()
