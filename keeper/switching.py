"""What a primary does before a switchover, and what both sides report in it (protocol, section 8).

The preparation is made beside everything else, since a checkpoint may take minutes, and is begun again when
the attempt or the start of PostgreSQL is another one.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from common.errors import PostgresUnavailable
from common.model.names import standby_name
from common.model.reports import SwitchingReport
from common.model.view import ClusterView, Switching
from common.runtime.clock import Clock
from common.store.signal import Signal
from keeper.local import Local
from keeper.postgres.port import Observation, Postgres

CHECKPOINTS: Final = 2
"""The second has only to write what was changed during the first; the one of the stop, what came after."""

CHECKPOINT_TIMEOUT_S: Final = 600.0

CLOSE_BYTES: Final = 4 << 20
"""How much the target may still have to replay: less than any server needs a tenth of a second for."""

LOOK_EVERY_S: Final = 0.1
RETRY_PAUSE_S: Final = 1.0

TICK_S: Final = 1.0
"""How often PostgreSQL is looked at when nothing happens."""

PRIMARY_TICK_S: Final = 0.1
TARGET_TICK_S: Final = 0.03
"""How often the two look at their PostgreSQL in phase ``switching``: a look that comes late is write gap."""

_log = structlog.get_logger()


def tick_s(view: ClusterView | None, uid: str) -> float:
    """How often PostgreSQL of this member is looked at: more often in a switchover of its own."""
    if view is None or view.switching is None or view.phase != "switching":
        return TICK_S
    if view.switching.target.uid == uid:
        return TARGET_TICK_S
    return PRIMARY_TICK_S if view.primary is not None and view.primary.uid == uid else TICK_S


def lag_of(target: str, seen: Observation) -> int | None:
    """How many bytes a standby, by its name, has still to replay; None when it does not stream."""
    replayed = [each.replay for each in seen.senders if each.name == target and each.state == "streaming"]
    return max(0, seen.lsn - max(replayed)) if replayed else None


class SwitchingDuties:
    """One keeper's part in a switchover, beside the steps of its plan."""

    def __init__(self, postgres: Postgres, local: Local, clock: Clock, wake: Signal) -> None:
        self._postgres = postgres
        self._local = local
        self._clock = clock
        self._wake = wake
        self._task: asyncio.Task[None] | None = None
        self._for: tuple[int, str | None] | None = None

    def look(self, view: ClusterView | None) -> None:
        """Forget what was done for another attempt; as the target, tell what is there."""
        attempt = view.switching if view is not None else None
        known = self._local.switching
        if known is not None and (attempt is None or known.id != attempt.id):
            self._local.switching = None
        if view is not None and attempt is not None and view.phase == "switching":
            self._local.note_target(attempt)

    async def serve(self, view: ClusterView) -> None:
        """Prepare, as the primary, for the attempt in the view; give up what is not asked for any more."""
        attempt = view.switching if view.phase == "running" else None
        wanted = (attempt.id, self._local.start_id) if attempt is not None else None
        if wanted != self._for:
            await self.end()
        if attempt is not None and self._for is None and self._local.switching is None:
            self._for = wanted
            self._task = asyncio.create_task(self._prepare(view.term, attempt), name="prepare switchover")

    async def end(self) -> None:
        """Give up; what was reported stays."""
        task, self._task, self._for = self._task, None, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _prepare(self, term: int, attempt: Switching) -> None:
        target = standby_name(attempt.target.uid, attempt.target.incarnation, term)
        while True:
            try:
                for _ in range(CHECKPOINTS):
                    await self._postgres.checkpoint(CHECKPOINT_TIMEOUT_S)
                while (lag := lag_of(target, await self._postgres.observe())) is None or lag > CLOSE_BYTES:
                    await self._clock.sleep(LOOK_EVERY_S)
                break
            except PostgresUnavailable as error:
                _log.warning("switchover_not_prepared", attempt=attempt.id, error=str(error))
                await self._clock.sleep(RETRY_PAUSE_S)
        self._local.switching = SwitchingReport(id=attempt.id, ready=True)
        _log.info("switchover_prepared", attempt=attempt.id, target=attempt.target.uid, lag_bytes=lag)
        self._wake.notify()
