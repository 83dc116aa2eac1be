"""Promoting a sealed standby on exactly the timeline that the view names (protocol 5, step 3)."""

from __future__ import annotations

import asyncio
from typing import Final

from common.errors import InvariantViolated, PostgresUnavailable
from common.model.wal import ZERO, Lsn
from keeper.postgres.history import abandoned, histories, leads_past, read_history, reserve_below
from keeper.postgres.instance import Instance
from keeper.postgres.port import Promoted, PromotionOrder, SyncSetting
from keeper.postgres.replication import sync_names
from keeper.postgres.sql import Session
from keeper.postgres.waiting import Deadline

_POLL_S: Final = 0.001


async def promote(instance: Instance, order: PromotionOrder, timeout_s: float) -> Promoted:
    """Promote as ordered and check what came of it; one that has ended already is only checked."""
    deadline = Deadline(instance.clock, timeout_s, "the promotion")
    if not await instance.sql.value("SELECT pg_is_in_recovery()"):
        return await check_promotion(instance, order)
    timeline = await _check_position(instance, order)
    await _forget_what_leads_past(instance, timeline, order, deadline)
    await instance.files.write_sync(instance.layout.data, order.sync)
    instance.reload()
    archiving = await instance.sql.value("SELECT current_setting('archive_mode') <> 'off'")
    await asyncio.to_thread(
        reserve_below,
        instance.layout.data,
        timeline,
        order.timeline,
        instance.programs.owner,
        archiving=archiving,
    )
    session = await shows_sync(instance, order.sync, deadline)
    try:
        await session.rows("SELECT pg_promote(wait => false)")
        while await session.value("SELECT pg_is_in_recovery()"):
            await deadline.pause(_POLL_S, "recovery has not ended")
    finally:
        await session.close()
    return await check_promotion(instance, order)


async def check_promotion(instance: Instance, order: PromotionOrder) -> Promoted:
    """Check timeline and fork point of a server that is out of recovery.

    Raises InvariantViolated, every process killed first, when they are not those of the order.
    """
    in_recovery = await instance.sql.value("SELECT pg_is_in_recovery()")
    if in_recovery:
        raise PostgresUnavailable("the promotion has not ended: PostgreSQL is in recovery")
    name = await instance.sql.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
    timeline = int(name[:8], 16)
    history = read_history(instance.layout.data, timeline)
    fork = history[-1].lsn if history else ZERO
    if (timeline, fork) != (order.timeline, order.fork):
        await instance.kill()
        raise InvariantViolated(
            f"PostgreSQL came up on timeline {timeline} from {fork}, "
            f"but timeline {order.timeline} from {order.fork} was ordered; it has been killed"
        )
    return Promoted(timeline, fork, history)


async def shows_sync(instance: Instance, setting: SyncSetting, deadline: Deadline) -> Session:
    """Return a new connection that shows the sync setting: the caller closes it.

    Every process that the postmaster forks from now on runs with it.
    """
    wanted = sync_names(setting)
    while True:
        session = await instance.sql.open(deadline.left_s)
        try:
            shown = await session.value("SELECT current_setting('synchronous_standby_names')")
            if shown == wanted:
                return session
        except BaseException:
            await session.close()
            raise
        await session.close()
        if await instance.files.undo_alter_system(instance.layout.data):
            instance.reload()
        await deadline.pause(_POLL_S, f"synchronous_standby_names shows {shown!r}, not {wanted!r}")


async def _check_position(instance: Instance, order: PromotionOrder) -> int:
    """Return the timeline of the standby, which must stand exactly at the fork point."""
    rows = await instance.sql.rows("SELECT pg_last_wal_replay_lsn(), pg_is_wal_replay_paused()")
    replayed, paused = rows[0]
    if paused:
        raise PostgresUnavailable("replay is paused: this standby has not been sealed")
    if Lsn.parse(replayed or 0) != order.fork:
        raise PostgresUnavailable(f"replay stands at {replayed}, but promotion from {order.fork} was ordered")
    return int((await instance.sql.rows("IDENTIFY_SYSTEM", replication=True))[0][1])


async def _forget_what_leads_past(
    instance: Instance, timeline: int, order: PromotionOrder, deadline: Deadline
) -> None:
    """A standby that has set its mind on an abandoned timeline would name it as its parent."""
    files = await asyncio.to_thread(histories, instance.layout.data)
    if leads_past(files, timeline, order.fork):
        without = abandoned(files, timeline, ())
        await instance.restart_in_recovery(without=without, timeout_s=deadline.left_s)
