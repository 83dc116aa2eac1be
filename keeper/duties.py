"""What a primary does beside the plan: apply the sync set, confirm it, keep slots and roles.

Applying and confirming wait for other members, perhaps for ever, so each is a task of its own,
begun again when what it works for changes, and given up with the start of PostgreSQL it belongs to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog

from common.errors import PostgresUnavailable
from common.model.names import parse_standby_name, standby_name
from common.model.view import ClusterView, SyncSet
from common.model.wal import ZERO, Lsn
from common.runtime.clock import Clock
from keeper.local import Local, SyncProgress
from keeper.postgres.port import Postgres, SyncSetting

WAIT_S = 5.0
"""One try of a wait for other members; it is repeated while the view still asks for it."""

CHECKPOINT_WAIT_S = 600.0
"""One try where a CHECKPOINT must end, which a server that writes a lot takes minutes for."""

RETRY_PAUSE_S = 0.2

Work = Callable[[ClusterView, SyncSet], Coroutine[Any, Any, None]]

_log = structlog.get_logger()


def setting_of(each: SyncSet, term: int) -> SyncSetting:
    """A sync set under the names of one term."""
    return SyncSetting(
        each.k, frozenset(standby_name(member.uid, member.incarnation, term) for member in each.members)
    )


def setting_in_words(names: str) -> SyncSetting | None:
    """The set that a running ``synchronous_standby_names`` of ours stands for; None when it counts nobody.

    An empty one asks for nobody.
    """
    if not names.strip():
        return SyncSetting(0)
    found = frozenset(part for part in names.split('"') if parse_standby_name(part))
    return SyncSetting(1, found) if found else None


def wanted_slots(view: ClusterView, own_uid: str, positions: Mapping[str, Lsn]) -> dict[str, Lsn]:
    """The slots that a member keeps for all others, by the names of the view's term."""
    return {
        standby_name(member.uid, member.incarnation, view.term): positions.get(member.uid, ZERO)
        for member in view.members
        if member.uid != own_uid and member.incarnation is not None
    }


class SyncDuties:
    """Works on the sync sets of the view while this member is primary."""

    def __init__(self, postgres: Postgres, local: Local, clock: Clock, changed: Callable[[], None]) -> None:
        self._postgres = postgres
        self._local = local
        self._clock = clock
        self._changed = changed
        self._tasks: dict[tuple[str, str | None, int, int], asyncio.Task[None]] = {}

    def serve(self, view: ClusterView) -> None:
        """Have the tasks that this view asks for, and no others."""
        local = self._local
        if local.sync is None or local.sync.term != view.term:
            local.sync = SyncProgress(view.term)
        wanted: dict[tuple[str, str | None, int, int], tuple[Work, SyncSet]] = {}
        target = view.sync.target
        if local.sync.applied != target.id:
            wanted[("apply", local.start_id, view.term, target.id)] = (self._apply, target)
        if view.route is None:
            for each in view.sync.in_force:
                if each.id not in local.sync.confirmed:
                    wanted[("confirm", local.start_id, view.term, each.id)] = (self._confirm, each)
        for key in self._tasks.keys() - wanted.keys():
            self._tasks.pop(key).cancel()
        for key, (work, each) in wanted.items():
            if key not in self._tasks or self._tasks[key].done():
                self._tasks[key] = asyncio.create_task(work(view, each), name=f"{key[0]} {key[3]}")

    async def end(self) -> None:
        """Give all up: this member is not primary any more."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _apply(self, view: ClusterView, target: SyncSet) -> None:
        in_force = [setting_of(each, view.term) for each in view.sync.in_force]
        before = self._local.observation
        running = setting_in_words(before.synchronous_standby_names) if before else None
        if running is not None:
            in_force.append(running)
        needs_checkpoint = target.k > 0 and any(each.k == 0 for each in in_force)
        wait_s = CHECKPOINT_WAIT_S if needs_checkpoint else WAIT_S
        while True:
            try:
                await self._postgres.apply_sync(setting_of(target, view.term), in_force, wait_s)
                break
            except (PostgresUnavailable, OSError) as error:  # a full disk takes no setting either
                _log.info("sync_set_not_applied_yet", set=target.id, term=view.term, error=str(error))
                await self._clock.sleep(RETRY_PAUSE_S)
        if self._local.sync is not None and self._local.sync.term == view.term:
            self._local.sync.applied = target.id
            _log.info("sync_set_applied", set=target.id, term=view.term)
            self._changed()

    async def _confirm(self, view: ClusterView, each: SyncSet) -> None:
        while True:
            try:
                lsn = await self._postgres.confirm([setting_of(each, view.term)], WAIT_S)
                break
            except PostgresUnavailable as error:
                _log.info("sync_set_not_confirmed_yet", set=each.id, term=view.term, error=str(error))
                await self._clock.sleep(RETRY_PAUSE_S)
        if self._local.sync is not None and self._local.sync.term == view.term:
            self._local.sync.confirmed |= {each.id}
            _log.info("start_confirmed", set=each.id, term=view.term, lsn=str(lsn))
            self._changed()
