"""What may be late: slots, parameters, roles, the checkpoint after a promotion."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from common.errors import InvalidSpec, PostgresUnavailable
from common.model.reasons import Reason
from common.model.spec import ClusterSpec, PostgresSpec
from common.model.view import ClusterView
from common.model.wal import Lsn
from common.runtime.clock import Clock
from keeper.actions import Actions
from keeper.local import Local
from keeper.postgres.port import Postgres

SLOTS_EVERY_S = 10.0
CHECKPOINT_TIMEOUT_S = 600.0

Positions = Callable[[], Awaitable[Mapping[str, Lsn]]]
"""Where the other members are, by their reports: how far their slots here may advance."""

_log = structlog.get_logger()


async def _no_positions() -> Mapping[str, Lsn]:
    """On a primary the slots advance by themselves."""
    return {}


class Upkeep:
    """Slow work on a running PostgreSQL, done when it is due, never in the way of a failover."""

    def __init__(self, postgres: Postgres, local: Local, actions: Actions, clock: Clock) -> None:
        self._postgres = postgres
        self._local = local
        self._actions = actions
        self._clock = clock
        self._slots_for: object = None
        self._slots_at = float("-inf")
        self._configured: tuple[str | None, PostgresSpec] | None = None
        self._roles_for: str | None = None
        self._checkpoint_for: tuple[str | None, int] | None = None
        self._checkpoint: asyncio.Task[None] | None = None

    async def primary(self, view: ClusterView, spec: ClusterSpec, *, settled: bool) -> None:
        """Slots at once when a member changed; the rest once there is a route and clients are back."""
        await self._slots(view, _no_positions)
        if view.route is None or not settled:
            return
        if self._roles_for != self._local.start_id:
            await self._postgres.ensure_roles()
            self._roles_for = self._local.start_id
        await self._configure(spec.postgres)
        await self._reload(view)
        self._checkpoint_once(view)

    async def standby(self, view: ClusterView, spec: ClusterSpec, positions: Positions) -> None:
        """Keep slots for the others, advanced as they advance: a failover leaves all able to follow."""
        if view.phase not in {"running", "promoting"} or self._local.following is None:
            return
        await self._slots(view, positions)
        await self._configure(spec.postgres)
        await self._reload(view)

    async def _slots(self, view: ClusterView, positions: Positions) -> None:
        now = self._clock.monotonic()
        wanted_for = (self._local.start_id, self._local.role, view.term, view.members, view.phase)
        if wanted_for == self._slots_for and now - self._slots_at < SLOTS_EVERY_S:
            return
        await self._actions.keep_slots(view, await positions())
        if self._local.role == "primary":
            self._local.oldest_wal = await self._postgres.oldest_wal()
        self._slots_for, self._slots_at = wanted_for, now

    async def _configure(self, wanted: PostgresSpec) -> None:
        key = (self._local.start_id, wanted)
        seen = self._local.observation
        if key == self._configured and not (seen and seen.undone):
            return
        try:
            waiting = await self._postgres.configure(wanted)
        except InvalidSpec as error:
            self._configured = key
            self._local.reasons["parameters"] = self._reason(
                "parameters_refused", str(error), "correct it in the spec: pgha spec edit"
            )
            return
        self._configured = key
        if waiting:
            self._local.reasons["parameters"] = self._reason(
                "restart_pending",
                f"{', '.join(waiting)} wait for a restart of PostgreSQL",
                f"restart PostgreSQL of {self._local.settings.uid} when it suits",
            )
        else:
            self._local.reasons.pop("parameters", None)

    async def _reload(self, view: ClusterView) -> None:
        """Once for each request; after a restart of the keeper perhaps once more, which harms nothing."""
        if view.reload != self._local.reloaded:
            await self._postgres.reload()
            self._local.reloaded = view.reload
            _log.info("reloaded", request=view.reload)

    def _checkpoint_once(self, view: ClusterView) -> None:
        """A rewind needs the new timeline in the primary's control data: a checkpoint puts it there."""
        key = (self._local.start_id, self._local.observation.timeline if self._local.observation else 0)
        if key == self._checkpoint_for:
            return
        self._checkpoint_for = key
        self._checkpoint = asyncio.create_task(self._run_checkpoint(view.term), name="checkpoint")

    async def _run_checkpoint(self, term: int) -> None:
        try:
            await self._postgres.checkpoint(CHECKPOINT_TIMEOUT_S)
            _log.info("checkpoint_done", term=term)
        except PostgresUnavailable as error:
            self._checkpoint_for = None
            _log.warning("checkpoint_failed", term=term, error=str(error))

    def _reason(self, code: str, text: str, fix: str) -> Reason:
        uid = self._local.settings.uid
        return Reason(code=code, severity="warning", subject=uid, text=f"{uid}: {text}", fix=fix)
