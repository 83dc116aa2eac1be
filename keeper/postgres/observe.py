"""Looking at a running server: everything that a report or a decision needs, in one round trip or two."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any, Final

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from common.errors import PostgresUnavailable
from common.model.wal import ZERO, Lsn, Switch
from keeper.postgres.config_files import AUTO_FILE, OURS
from keeper.postgres.history import read_history
from keeper.postgres.instance import Instance, trim_log
from keeper.postgres.port import Observation, Receiver, WalSender
from keeper.postgres.slots import slot_from
from keeper.postgres.sql import APPLICATION_NAME

_SQL: Final = """
SELECT json_build_object(
  'version', current_setting('server_version_num')::int,
  'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
  'in_recovery', in_recovery,
  'lsn', CASE WHEN in_recovery THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END,
  'flush', CASE WHEN in_recovery THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_flush_lsn() END,
  'wal_file', CASE WHEN in_recovery THEN NULL ELSE pg_walfile_name(pg_current_wal_insert_lsn()) END,
  'paused', CASE WHEN in_recovery THEN pg_is_wal_replay_paused() ELSE false END,
  'delay', CASE WHEN NOT in_recovery THEN NULL
                WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
                ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END,
  'startup', (SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'),
  'receiver', (SELECT json_build_object('status', status, 'slot', slot_name, 'host', sender_host,
                      'port', sender_port, 'heard', last_msg_receipt_time,
                      'end', latest_end_lsn) FROM pg_stat_wal_receiver),
  'senders', (SELECT coalesce(json_agg(to_json(sender)), '[]')
                FROM (SELECT pid, application_name, state, sent_lsn, flush_lsn, replay_lsn
                        FROM pg_stat_replication WHERE application_name <> {own}) AS sender),
  'slots', (SELECT coalesce(json_agg(json_build_array(slot_name, restart_lsn, wal_status, active)), '[]')
              FROM pg_replication_slots WHERE slot_type = 'physical'),
  'clients', (SELECT count(*) FROM pg_stat_activity
               WHERE backend_type = 'client backend' AND application_name <> {own}),
  'following', current_setting('primary_slot_name'),
  'conninfo', current_setting('primary_conninfo'),
  'sync', current_setting('synchronous_standby_names'),
  'overridden', (SELECT coalesce(json_agg(name), '[]') FROM pg_settings
                  WHERE name = ANY ({ours}) AND (sourcefile LIKE {auto} OR source = 'command line')),
  'pending', (SELECT coalesce(json_agg(name), '[]') FROM pg_settings WHERE pending_restart)
) FROM (SELECT pg_is_in_recovery() AS in_recovery) AS state
"""


LOG_LOOKED_AT_EVERY_S: Final = 10.0
"""How often PostgreSQL's log is looked at whether it has grown too long."""


class Observer:
    """Looks at one server; remembers between looks when its WAL receiver was last heard."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._query: Final = _query()
        self._log_seen_at = -math.inf
        self._replaying: tuple[str, str, int] | None = None
        self._heard: tuple[str | None, float] = (None, 0.0)
        self._conninfo: tuple[str, Mapping[str, Any]] = ("", {})
        self._histories: dict[int, tuple[Switch, ...]] = {}

    async def observe(self) -> Observation:
        """Look now.

        Raises PostgresUnavailable when the server does not answer or has just been restarted.
        """
        instance = self._instance
        start_id = instance.running.start_id
        await self._look_at_log()
        seen: Mapping[str, Any] = await instance.sql.value(self._query)
        if seen["in_recovery"]:
            timeline = await self._replayed_timeline(start_id, seen["lsn"])
        else:
            timeline = int(seen["wal_file"][:8], 16)
        if instance.start_id != start_id:
            raise PostgresUnavailable("PostgreSQL has ended while it was looked at")
        return Observation(
            version=seen["version"],
            system_identifier=seen["system_identifier"],
            start_id=start_id,
            in_recovery=seen["in_recovery"],
            timeline=timeline,
            lsn=_lsn(seen["lsn"]),
            flush=_lsn(seen["flush"]),
            history=await self._history(timeline),
            replay_paused=seen["paused"],
            receiver=self._receiver(seen["receiver"], seen["conninfo"]),
            following=seen["following"] if seen["in_recovery"] else "",
            replay_delay_s=seen["delay"],
            startup_waits_for=seen["startup"] or "",
            synchronous_standby_names=seen["sync"],
            senders=tuple(map(_sender, seen["senders"])),
            slots=tuple(slot_from(*row) for row in seen["slots"]),
            clients=seen["clients"],
            undone=tuple(sorted(seen["overridden"])),
            pending_restart=tuple(sorted(seen["pending"])),
        )

    async def _look_at_log(self) -> None:
        now = self._instance.clock.monotonic()
        if now - self._log_seen_at >= LOG_LOOKED_AT_EVERY_S:
            self._log_seen_at = now
            await asyncio.to_thread(trim_log, self._instance.layout.log)

    async def _replayed_timeline(self, start_id: str, replayed: str | None) -> int:
        """The timeline that replay has come to, which SQL does not tell.

        PostgreSQL moves it together with the replay position, under one lock (``lastReplayedTLI`` in
        xlogrecovery.c), and within a start that position never goes back: the timeline is asked for
        again only when the position has moved.
        """
        known = self._replaying
        if known is not None and known[:2] == (start_id, replayed):
            return known[2]
        timeline = int((await self._instance.sql.rows("IDENTIFY_SYSTEM", replication=True))[0][1])
        self._replaying = (start_id, replayed, timeline) if replayed is not None else None
        return timeline

    async def _history(self, timeline: int) -> tuple[Switch, ...]:
        """The history of a timeline; it never changes once the timeline is in use."""
        if timeline not in self._histories:
            self._histories = {
                timeline: await asyncio.to_thread(read_history, self._instance.layout.data, timeline)
            }
        return self._histories[timeline]

    def _receiver(self, seen: Mapping[str, Any] | None, conninfo: str) -> Receiver | None:
        """The WAL receiver, and for how long, by our own clock, it has not been heard."""
        if seen is None:
            return None
        now = self._instance.clock.monotonic()
        if seen["heard"] != self._heard[0]:
            self._heard = (seen["heard"], now)
        if conninfo != self._conninfo[0]:
            self._conninfo = (conninfo, conninfo_to_dict(conninfo))
        wanted = self._conninfo[1]
        return Receiver(
            status=seen["status"],
            slot=seen["slot"] or "",
            host=str(wanted.get("host") or seen["host"] or ""),
            port=int(wanted.get("port") or seen["port"] or 0),
            silent_s=now - self._heard[1],
            upstream_end=_lsn(seen["end"]),
        )


def _query() -> str:
    """The statement as text, composed once: it is sent each second."""
    return sql.SQL(_SQL).format(own=APPLICATION_NAME, ours=sorted(OURS), auto=f"%/{AUTO_FILE}").as_string()


def _sender(seen: Mapping[str, Any]) -> WalSender:
    return WalSender(
        pid=seen["pid"],
        name=seen["application_name"],
        state=seen["state"] or "",
        sent=_lsn(seen["sent_lsn"]),
        flush=_lsn(seen["flush_lsn"]),
        replay=_lsn(seen["replay_lsn"]),
    )


def _lsn(text: str | None) -> Lsn:
    return Lsn.parse(text) if text else ZERO
