"""Does PostgreSQL still do what a server that lives does? The keeper's own probes (protocol, section 4).

Each second (of a standby every few seconds): ``SELECT 1`` over a new connection of the superuser, for whom
some are reserved, so that clients who use up the others are never taken for a dead server; and a small write
to each disk beneath it, made durable. What has not finished for ``hang_timeout`` hangs. The probes have a
loop and threads of their own: it is told, and the lease is kept, while other loops wait for the same
disk. Any answer is one, an error too: a server that refuses, or a disk that says it is full, does not hang.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import structlog

from common.errors import PostgresSilent, PostgresUnavailable
from common.model.reasons import Reason
from common.runtime.clock import Clock
from keeper.local import Local
from keeper.postgres.port import Postgres

PERIOD_S: Final = 1.0

STANDBY_PERIOD_S: Final = 5.0
"""A standby that hangs is only a warning: it is not worth a tenth of what its keeper costs at rest."""

PAUSED_S: Final = 2 * PERIOD_S
"""A look so late after the last one means that this process stood still, and learned nothing of others."""

_log = structlog.get_logger()


class Vital:
    """One thing that has to succeed again and again, tried by one task at a time."""

    def __init__(self, what: str, try_once: Callable[[], Awaitable[None]]) -> None:
        self.what = what
        self.pending_since = math.inf
        self.pending_from: datetime | None = None
        self._try_once = try_once
        self._task: asyncio.Task[None] | None = None

    def begin(self, clock: Clock) -> None:
        """Try again, unless the last try is still under way; what was silent goes on counting."""
        if self._task is not None and not self._task.done():
            return
        if self.pending_from is None:
            self.pending_since, self.pending_from = clock.monotonic(), clock.wall()
        self._task = asyncio.create_task(self._try(), name=self.what)

    async def _try(self) -> None:
        try:
            await self._try_once()
        except PostgresSilent:
            return
        except (PostgresUnavailable, OSError) as error:
            _log.debug("vital_failed", what=self.what, error=str(error))
        self.pending_since, self.pending_from = math.inf, None

    def forgive(self, seconds: float) -> None:
        """Do not count a time in which nobody could have noticed an answer."""
        self.pending_since += seconds

    def give_up(self) -> None:
        """Nobody waits for this any more; a thread that hangs is left to itself."""
        if self._task is not None:
            self._task.cancel()


class Vitals:
    """Probes the running PostgreSQL and says in :class:`keeper.local.Local` what hangs.

    ``changed`` is called when that is something else than before. ``excuse`` is called at each look while a
    primary hangs: the keeper's loop may wait for the very disk, and its lease must not end for that, since
    this report is what the sentinels act on.
    """

    def __init__(
        self,
        postgres: Postgres,
        local: Local,
        clock: Clock,
        *,
        hang_timeout_s: Callable[[], float],
        changed: Callable[[], None],
        excuse: Callable[[], None],
    ) -> None:
        self._postgres = postgres
        self._local = local
        self._clock = clock
        self._hang_timeout_s = hang_timeout_s
        self._changed = changed
        self._excuse = excuse
        self._of_start: str | None = None
        self._vitals: tuple[Vital, ...] = ()
        self._looked_at = clock.monotonic()
        self._begun_at = -math.inf

    async def run(self) -> None:
        """Probe for ever."""
        try:
            while True:
                self.look()
                await self._clock.sleep(PERIOD_S)
        finally:
            self._drop()

    def look(self) -> None:
        """Begin what is due, and say what hangs."""
        self._forgive_a_pause()
        start_id = self._local.start_id if self._local.postgres == "running" else None
        if start_id != self._of_start:
            self._drop()
            self._of_start = start_id
            self._vitals = self._new() if start_id is not None else ()
            self._begun_at = -math.inf
        hangs = self._what_hangs()
        if self._is_due():
            for vital in self._vitals:
                vital.begin(self._clock)
        self._say(hangs)

    def _is_due(self) -> bool:
        now = self._clock.monotonic()
        period_s = PERIOD_S if self._local.role == "primary" else STANDBY_PERIOD_S
        if now - self._begun_at < period_s - PERIOD_S / 2:
            return False
        self._begun_at = now
        return True

    def _forgive_a_pause(self) -> None:
        now = self._clock.monotonic()
        passed_s, self._looked_at = now - self._looked_at, now
        if passed_s > PAUSED_S:
            for vital in self._vitals:
                vital.forgive(passed_s)

    def _new(self) -> tuple[Vital, ...]:
        postgres = self._postgres
        return (
            Vital(
                "SELECT 1 over a new local connection",
                lambda: postgres.probe(max(PERIOD_S, self._hang_timeout_s())),
            ),
            Vital("a write to the disk of the data directory", lambda: postgres.write_through("data")),
            Vital("a write to the disk of the WAL", lambda: postgres.write_through("wal")),
        )

    def _what_hangs(self) -> str:
        limit = self._clock.monotonic() - self._hang_timeout_s()
        late = [vital for vital in self._vitals if vital.pending_since <= limit]
        return "; ".join(
            f"{vital.what}, begun at {vital.pending_from:%H:%M:%S} UTC, has not ended" for vital in late
        )

    def _say(self, hangs: str) -> None:
        local = self._local
        is_primary = local.role == "primary"
        hanging = hangs if is_primary else ""
        if hangs and not is_primary:
            local.reasons["hanging"] = _standby_hangs(local.settings.uid, hangs)
        else:
            local.reasons.pop("hanging", None)
        if hanging:
            self._excuse()
        if hanging != local.hanging:
            local.hanging = hanging
            _log.error("postgres_hangs", what=hanging) if hanging else _log.info("postgres_hangs_no_more")
            self._changed()

    def _drop(self) -> None:
        for vital in self._vitals:
            vital.give_up()
        self._vitals = ()


def _standby_hangs(uid: str, hangs: str) -> Reason:
    return Reason(
        code="standby_hangs",
        severity="warning",
        subject=uid,
        text=f"{uid}: {hangs}",
        fix=f"see to the host and the disks of {uid}",
    )
