"""Applying a sync set, and proving who has flushed what (protocol, sections 5 to 7)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Final

from psycopg import sql

from common.model.names import parse_standby_name
from common.model.wal import ZERO, Lsn
from keeper.postgres.instance import Instance
from keeper.postgres.port import SyncSetting
from keeper.postgres.promote import shows_sync
from keeper.postgres.sql import STATEMENT_LIMIT_S, Session
from keeper.postgres.waiting import Deadline

SENDER_GRACE_LOOKS: Final = 300
"""Looks, about a second in all, until an older WAL sender that has not confirmed is terminated."""

_POLL_S: Final = 0.003
_SLOW_POLL_S: Final = 0.02
_FAST_POLLS: Final = 100

_RECORD: Final = "SELECT pg_logical_emit_message(false, 'pgha', ''), txid_current()"
"""The message is in the WAL even if its transaction ends badly; the transaction, having an id, writes a
commit record and flushes both, and at ``synchronous_commit = local`` waits for nobody."""

_SENDERS: Final = (
    "SELECT pid, backend_start::text, application_name, flush_lsn FROM pg_stat_replication"
    " WHERE application_name <> ''"
)


@dataclass(frozen=True, slots=True)
class _Sender:
    """One WAL sender; pid and start together never come back."""

    pid: int
    started: str
    name: str
    flush: Lsn


async def apply_sync(
    instance: Instance, target: SyncSetting, in_force: Collection[SyncSetting], timeout_s: float
) -> Lsn:
    """Make ``target`` the set that every commit waits for (protocol 6, step 2)."""
    deadline = Deadline(instance.clock, timeout_s, f"applying the sync set {_words(target)}")
    await instance.files.write_sync(instance.layout.data, target)
    instance.reload()
    session = await shows_sync(instance, target, deadline)
    try:
        named = target.names.union(*(each.names for each in in_force))
        older = [sender for sender in await _senders(session) if sender.name in named]
        record = await _write_record(session)
        await _outdated_are_gone(session, older, record, deadline)
        if target.k > 0 and any(each.k == 0 for each in in_force):
            # Until the checkpointer has handled the reload no backend waits at all.
            await session.rows("CHECKPOINT", timeout_s=deadline.left_s)
        position = Lsn.parse(await session.value("SELECT pg_current_wal_flush_lsn()"))
        await _flushed(session, [target], position, deadline)
    finally:
        await session.close()
    return position


async def confirm(instance: Instance, sets: Collection[SyncSetting], timeout_s: float) -> Lsn:
    """Write a record and wait until ``k`` members of every set have flushed it."""
    deadline = Deadline(instance.clock, timeout_s, "confirming a new record")
    async with instance.sql.fresh(timeout_s=deadline.left_s) as session:
        record = await _write_record(session)
        await _flushed(session, sets, record, deadline)
    return record


async def checkpoint(instance: Instance, timeout_s: float) -> None:
    """Run CHECKPOINT on a connection of its own: it may take minutes."""
    deadline = Deadline(instance.clock, timeout_s, "a checkpoint")
    async with instance.sql.fresh(timeout_s=min(STATEMENT_LIMIT_S, deadline.left_s)) as session:
        await session.rows("CHECKPOINT", timeout_s=deadline.left_s)


async def _write_record(session: Session) -> Lsn:
    return Lsn.parse((await session.rows(_RECORD))[0][0])


async def _senders(session: Session) -> list[_Sender]:
    return [
        _Sender(pid, started, name, Lsn.parse(flush) if flush else ZERO)
        for pid, started, name, flush in await session.rows(_SENDERS)
    ]


async def _outdated_are_gone(
    session: Session, older: Iterable[_Sender], record: Lsn, deadline: Deadline
) -> None:
    """Wait until every older WAL sender has confirmed ``record``, or is gone.

    A sender counts confirmations by its own copy of the setting until it has handled the reload, and
    nothing shows whether it has; one that confirms a record written after the reload has.
    """
    waiting = {(sender.pid, sender.started) for sender in older}
    for look in count():
        waiting &= {
            (sender.pid, sender.started) for sender in await _senders(session) if sender.flush < record
        }
        if not waiting:
            return
        if look == SENDER_GRACE_LOOKS:
            for pid, _ in waiting:
                await session.rows(sql.SQL("SELECT pg_terminate_backend({})").format(pid))
        await deadline.pause(_POLL_S, f"WAL sender {min(waiting)[0]} neither confirms {record} nor ends")


async def _flushed(
    session: Session, sets: Collection[SyncSetting], position: Lsn, deadline: Deadline
) -> None:
    """Wait until ``k`` different members of each set have flushed a position."""
    for look in count():
        past = {sender.name for sender in await _senders(session) if sender.flush >= position}
        lacking = [each for each in sets if len(_members(past & each.names)) < each.k]
        if not lacking:
            return
        await deadline.pause(
            _POLL_S if look < _FAST_POLLS else _SLOW_POLL_S,
            f"fewer than {lacking[0].k} of {sorted(lacking[0].names) or ['nobody']} have flushed {position}",
        )


def _members(names: Iterable[str]) -> set[str]:
    """Two lives of one member are one member."""
    parsed = ((name, parse_standby_name(name)) for name in names)
    return {found.member if found else name for name, found in parsed}


def _words(setting: SyncSetting) -> str:
    return f"{setting.k} of {len(setting.names)}"
