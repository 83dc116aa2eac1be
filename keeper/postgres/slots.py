"""Replication slots: each member keeps one for every other, so that a failover leaves all able to follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from psycopg import sql

from common.errors import PostgresUnavailable
from common.model.names import StandbyName, parse_standby_name, standby_name
from common.model.wal import Lsn
from keeper.postgres.instance import Instance
from keeper.postgres.port import Slot

LIST: Final = """
SELECT slot_name, restart_lsn, wal_status, active FROM pg_replication_slots WHERE slot_type = 'physical'
"""

_OLDEST: Final = """
SELECT min(substr(name, 9)), (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size')
  FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'
"""


async def copy_slots(instance: Instance, term: int) -> tuple[str, ...]:
    """Copy, for each life of a member, its newest older slot to its name in ``term``."""
    slots = {slot.name: slot for slot in await list_slots(instance)}
    newest: dict[tuple[str, str], StandbyName] = {}
    for slot in slots.values():
        name = parse_standby_name(slot.name)
        if name is None or name.term >= term or slot.restart_lsn is None or slot.wal_status == "lost":
            continue
        life = (name.member, name.incarnation)
        if life not in newest or newest[life].term < name.term:
            newest[life] = name
    made = []
    for name in newest.values():
        target = standby_name(name.member, name.incarnation, term)
        if target not in slots:
            source = standby_name(*name)
            await instance.sql.rows(
                sql.SQL("SELECT pg_copy_physical_replication_slot({}, {}, false)").format(source, target)
            )
        made.append(target)
    return tuple(sorted(made))


async def keep_slots(instance: Instance, wanted: Mapping[str, Lsn], *, drop_others: bool) -> None:
    """Create what is missing, advance on a standby, and drop what is ours and no longer wanted."""
    slots = {slot.name: slot for slot in await list_slots(instance)}
    row = await instance.sql.rows("SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn()")
    in_recovery, replayed = bool(row[0][0]), Lsn.parse(row[0][1] or 0)
    for name, position in wanted.items():
        slot = slots.get(name)
        if slot is not None and slot.wal_status == "lost" and not slot.active:
            await _drop(instance, name)
            slot = None
        if slot is None:
            await instance.sql.rows(
                sql.SQL("SELECT pg_create_physical_replication_slot({}, immediately_reserve => true)").format(
                    name
                )
            )
        elif in_recovery and not slot.active:
            target = Lsn(min(position, replayed))
            if slot.restart_lsn is not None and target > slot.restart_lsn:
                await instance.sql.rows(
                    sql.SQL("SELECT pg_replication_slot_advance({}, {})").format(name, str(target))
                )
    if drop_others:
        for name, slot in slots.items():
            if name not in wanted and parse_standby_name(name) is not None and not slot.active:
                await _drop(instance, name)


async def oldest_wal(instance: Instance) -> Lsn:
    """Where the oldest segment begins; a file is named by timeline, then by its place in 4 GB."""
    row = (await instance.sql.rows(_OLDEST))[0]
    segment_bytes = int(row[1])
    high, low = int(row[0][:8], 16), int(row[0][8:], 16)
    return Lsn((high << 32) + low * segment_bytes)


async def list_slots(instance: Instance) -> list[Slot]:
    """Every physical slot."""
    return [slot_from(*row) for row in await instance.sql.rows(LIST)]


def slot_from(name: str, restart_lsn: str | None, wal_status: str | None, active: bool) -> Slot:
    """Read a row of pg_replication_slots."""
    return Slot(name, Lsn.parse(restart_lsn) if restart_lsn else None, wal_status, active)


async def _drop(instance: Instance, name: str) -> None:
    """Drop a slot, unless somebody has begun to use it meanwhile."""
    try:
        await instance.sql.rows(sql.SQL("SELECT pg_drop_replication_slot({})").format(name))
    except PostgresUnavailable:
        still = [slot for slot in await list_slots(instance) if slot.name == name]
        if still and not still[0].active:
            raise
