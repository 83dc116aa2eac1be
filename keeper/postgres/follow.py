"""Streaming from a primary: a reload, no restart, unless PostgreSQL has set its mind on another timeline."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from common.errors import PostgresUnavailable
from keeper.postgres.history import abandoned, histories
from keeper.postgres.instance import Instance
from keeper.postgres.port import Source
from keeper.postgres.waiting import Deadline

_POLL_S: Final = 0.002


async def follow(instance: Instance, source: Source, lineage: Collection[int], timeout_s: float) -> None:
    """Write the upstream, make it run, and leave abandoned timelines behind."""
    deadline = Deadline(instance.clock, timeout_s, "following a primary")
    if not await instance.sql.value("SELECT pg_is_in_recovery()"):
        raise PostgresUnavailable("PostgreSQL is not in recovery: it must be started as a standby to follow")
    data = instance.layout.data
    timeline = int((await instance.sql.rows("IDENTIFY_SYSTEM", replication=True))[0][1])
    without = abandoned(await asyncio.to_thread(histories, data), timeline, lineage)
    await instance.files.write_upstream(data, source)
    await instance.files.undo_alter_system(data)
    if without:
        await instance.restart_in_recovery(without=without, timeout_s=timeout_s)
    else:
        instance.reload()
    while await _slot(instance, deadline) != source.name:
        await deadline.pause(_POLL_S, "a new connection does not show the upstream yet")


async def _slot(instance: Instance, deadline: Deadline) -> str:
    async with instance.sql.fresh(timeout_s=deadline.left_s) as session:
        return str(await session.value("SELECT current_setting('primary_slot_name')"))
