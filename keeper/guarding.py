"""What one keeper does about its lease fence: when it is needed, and what it ends (protocol, section 7)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from common.errors import DeadmanUnavailable
from common.model.reasons import Reason
from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.store.publisher import Publisher
from keeper import steps
from keeper.actions import Actions
from keeper.lease_fence import Guard, Lease, LeaseFence
from keeper.local import Local
from keeper.postgres.port import Postgres

AT_ONCE_S: Final = 0.0

_log = structlog.get_logger()


class Guarding:
    """Ties a keeper's lease fence to its PostgreSQL."""

    def __init__(
        self,
        *,
        clock: Clock,
        lease: Lease,
        deadman: Guard,
        publisher: Publisher,
        postgres: Postgres,
        local: Local,
        actions: Actions,
    ) -> None:
        self._postgres = postgres
        self._local = local
        self._actions = actions
        self._ended: Callable[[], None] = lambda: None
        self.fence = LeaseFence(
            clock=clock,
            lease=lease,
            deadman=deadman,
            is_published=lambda: publisher.is_published,
            reported_ttl_s=lambda: local.lease_ttl_s,
            stop=self._stop,
            is_believed=lambda: not local.state.store.suspended,
        )

    def loops(self, ended: Callable[[], None]) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run, each for ever; ``ended`` is called once PostgreSQL has been stopped."""
        self._ended = ended
        return self.fence.loops()

    @property
    def protects(self) -> bool:
        """Whether this life may be a primary whose commits only a lease protects, as far as is remembered."""
        view, life = self._local.state.view, self._local.state.life
        named = (view.primary or view.old_primary) if view is not None and view.sync.lease_protects else None
        return named is not None and life is not None and named.incarnation == life.incarnation

    async def take_over(self) -> None:
        """Go on with what an earlier life of this keeper has left; call it once PostgreSQL was looked for.

        A primary that nobody guards may have outlived its lease for any time: it ends at once.
        """
        try:
            guarded = await self.fence.take_over()
        except DeadmanUnavailable as error:
            _log.warning("deadman_not_taken_over", error=str(error))
            guarded = False
        if self.protects and not guarded and self._local.start_id is not None:
            _log.critical("primary_unguarded", start_id=self._local.start_id)
            await self._stop(AT_ONCE_S)

    async def _stop(self, timeout_s: float) -> None:
        local = self._local
        if self._postgres.start_id is None and local.start_id is None:
            return
        await self._actions.fence(timeout_s)
        uid = local.settings.uid
        local.reasons["fence"] = Reason(
            code="lease_ended",
            severity="critical",
            subject=uid,
            text=f"{uid} stopped its PostgreSQL: only its lease protected commits, and the store has not "
            "confirmed that in time",
            fix="bring the store back; PostgreSQL then comes back by itself",
        )
        self._ended()

    def may_obey(self, view: ClusterView, step: steps.Step) -> bool:
        """Whether the view may be remembered as obeyed before this step: a later life goes by it."""
        if isinstance(step, steps.Guard):
            return False
        unguarded = self._local.role == "primary" and not self.fence.is_guarding
        return not (view.sync.lease_protects and unguarded)

    async def see_to(self, view: ClusterView, step: steps.Step) -> None:
        """Have the deadman armed, or let it go, as a step needs it, before that is carried out.

        It goes once the view that is obeyed has left ``k = 0`` behind, and before PostgreSQL starts in
        recovery or follows somebody: what is not writable needs no lease.
        """
        leaves = isinstance(step, steps.Serve) and not view.sync.lease_protects
        if isinstance(step, steps.Guard):
            await self.fence.hold()
        elif leaves or isinstance(step, steps.StartStandby | steps.Follow):
            await self.fence.release()
