"""Long work of a keeper: a start that recovers, a stop in order, a clone, a rewind. One at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from common.errors import PostgresUnavailable, StoreUnavailable, UnsafeOperation
from common.model.spec import ClusterSpec
from common.model.view import ClusterView
from common.runtime.clock import Clock
from keeper.actions import Actions
from keeper.local import Local
from keeper.postgres.port import Postgres
from keeper.steps import Clone, Rewind

NAMED_WITHIN_S = 15.0
"""How long a new life waits until the view names it, so that the primary has made its slot."""

ACCEPTING_SLICE_S = 1.0

_log = structlog.get_logger()


class Work:
    """The one piece of long work that may be under way; ``failed`` is told why one ended early."""

    def __init__(
        self,
        postgres: Postgres,
        local: Local,
        actions: Actions,
        clock: Clock,
        *,
        done: Callable[[Exception | None], None],
        publish: Callable[[], None],
    ) -> None:
        self._postgres = postgres
        self._local = local
        self._actions = actions
        self._clock = clock
        self._done = done
        self._publish = publish
        self._task: asyncio.Task[None] | None = None
        self._for_upstream: str | None = None

    def await_accepting(self) -> None:
        """Begin to wait for a start, however long its recovery takes."""
        self._begin(self._await_accepting(), busy="")

    def shut_down(self, attempt: int) -> None:
        """Begin to stop a primary in order; sessions may take their time to end."""
        self._local.postgres, self._local.shutting_down = "stopping", True
        self._publish()
        self._begin(self._actions.shut_down(attempt), busy="")

    def new_life(
        self,
        step: Clone | Rewind,
        view: ClusterView,
        spec: ClusterSpec,
        current_view: Callable[[], ClusterView | None],
    ) -> None:
        """Begin a clone or rewind."""
        self._for_upstream = step.upstream_uid
        work = self._new_life(step, view, spec, current_view)
        self._begin(
            self._counted(work) if isinstance(step, Rewind) else work, busy=type(step).__name__.lower()
        )

    async def _counted(self, rewind: Coroutine[Any, Any, None]) -> None:
        """Count rewinds that fail one after the other: the plan clones in the end (protocol, section 9)."""
        try:
            await rewind
        except (PostgresUnavailable, OSError):
            self._local.failed_rewinds += 1
            raise
        self._local.failed_rewinds = 0

    async def give_up_if_moved(self, view: ClusterView | None) -> None:
        """End a clone or rewind whose source is not the primary any more; the plan begins another."""
        moved = view is not None and view.primary is not None and view.primary.uid != self._for_upstream
        if self._task is not None and not self._task.done() and self._for_upstream is not None and moved:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None], *, busy: str) -> None:
        self._local.busy = busy
        self._task = asyncio.create_task(self._finish(work), name=busy or "start")

    async def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        problem: Exception | None = None
        try:
            await work
        except (PostgresUnavailable, StoreUnavailable, OSError) as error:
            problem = error
        except asyncio.CancelledError:
            problem = PostgresUnavailable("given up, because another member is primary by now")
        if problem is not None and self._local.busy:
            problem = await self._learn_what_is_left(problem)
        self._local.busy = self._local.progress = ""
        self._for_upstream = None
        self._done(problem)

    async def _learn_what_is_left(self, problem: Exception) -> Exception:
        """See what failed work has left; that this fails too must not leave the keeper busy for ever."""
        try:
            await self._actions.learn_data()
        except (PostgresUnavailable, StoreUnavailable, UnsafeOperation, OSError) as error:
            return error
        return problem

    async def _await_accepting(self) -> None:
        local = self._local
        start_id = local.start_id
        while local.postgres == "starting" and local.start_id == start_id:
            try:
                await self._postgres.wait_until_accepting(ACCEPTING_SLICE_S)
            except PostgresUnavailable:
                if self._postgres.start_id is None:
                    await self._failed_to_start(start_id)
                    raise
                continue
            await self._accepted(start_id)

    async def _failed_to_start(self, start_id: str | None) -> None:
        """A postmaster may end before anybody has begun to watch it: that it has must not go unnoticed."""
        await self._postgres.kill()
        if self._local.postgres == "starting" and self._local.start_id == start_id:
            self._local.forget_start("failed")

    async def _accepted(self, start_id: str | None) -> None:
        local = self._local
        observation = await self._postgres.observe()
        if local.postgres != "starting" or local.start_id != start_id:
            return
        if not observation.in_recovery and local.life is not None:
            await self._postgres.ensure_roles()  # others clone as soon as they see it running
        if local.life is not None and not local.life.complete:
            await self._actions.save(lambda kept: kept.completed())
            await self._postgres.discard_old()
        local.postgres = "running"
        local.observed(observation)
        _log.info("accepting", role=local.role, timeline=observation.timeline, lsn=str(observation.lsn))

    async def _new_life(
        self,
        step: Clone | Rewind,
        view: ClusterView,
        spec: ClusterSpec,
        current_view: Callable[[], ClusterView | None],
    ) -> None:
        """Only when the view names the new life has the primary made its slot."""
        is_clone = isinstance(step, Clone)
        _log.info("new_life", how=self._local.busy, why=step.why, upstream=step.upstream_uid)
        incarnation = await self._actions.begin_life(view)
        self._local.postgres = "cloning" if is_clone else "rewinding"
        self._publish()
        named = await self._until_named(incarnation, current_view)
        if is_clone:
            await self._actions.clone(named, spec, incarnation)
        else:
            await self._actions.rewind(named, spec, incarnation)

    async def _until_named(
        self, incarnation: str, current_view: Callable[[], ClusterView | None]
    ) -> ClusterView:
        limit = self._clock.monotonic() + NAMED_WITHIN_S
        while self._clock.monotonic() < limit:
            view = current_view()
            member = view.member(self._local.settings.uid) if view else None
            if view is not None and member is not None and member.incarnation == incarnation:
                return view
            await self._clock.sleep(0.02)
        raise StoreUnavailable(f"the view did not name the new life {incarnation} in time")
