"""Sealing a standby: no WAL from anybody, ever again, then the final position (protocol 5, step 1).

Why it takes more than a reload: while replay is paused or in conflict the startup process does not
read the configuration, and its WAL receiver goes on confirming flushes to the old primary. Why the
looks come in this order:

1. A *new* connection shows the values: the postmaster has read them and has signalled the startup
   process before it forked that connection's process.
2. The startup process waits for its next try (``RecoveryRetrieveRetryInterval``): it has handled the
   signal, so it starts no other receiver, and one that it had asked for is told not to begin.
3. No child of the postmaster is a receiver, or too young to tell.
4. Woken up once more it comes back to that wait: everything that the receiver had flushed is
   replayed. (It also waits there *before* it looks into pg_wal, hence the waking.)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg import sql

from common.errors import PostgresUnavailable
from common.model.wal import Lsn
from keeper.postgres.history import read_history
from keeper.postgres.instance import Instance
from keeper.postgres.port import FinalPosition
from keeper.postgres.replication import SEALED
from keeper.postgres.sql import Session
from keeper.postgres.waiting import Deadline

_POLL_S: Final = 0.001
_LOOK_LIMIT_S: Final = 2.0
_DRY: Final = "RecoveryRetrieveRetryInterval"

_VALUES_HOLD: Final = " AND ".join(f"current_setting('{name}') = '{value}'" for name, value in SEALED.items())
_SHOWN: Final = f"SELECT pg_is_in_recovery(), {_VALUES_HOLD}"
_REPLAY: Final = """
SELECT wait_event_type, wait_event, pg_get_wal_replay_pause_state(), pg_last_wal_replay_lsn()
  FROM pg_stat_get_activity({startup})
"""
_TERMINATE_READERS: Final = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class _Replay:
    """What the startup process does."""

    wait_type: str
    wait: str
    paused: str
    replayed: Lsn

    @property
    def in_conflict(self) -> bool:
        """Whether replay waits for a session of this server to end."""
        return self.wait.startswith("RecoveryConflict") or self.wait_type in {"Lock", "BufferPin"}


async def seal(instance: Instance, timeout_s: float) -> FinalPosition:
    """Cut a running standby off from every source of WAL and say where its own ends."""
    deadline = Deadline(instance.clock, timeout_s, "the seal")
    await _forget_upstream(instance)
    _terminate(receivers(instance.running.pid))
    while True:
        async with instance.sql.fresh(timeout_s=deadline.left_s, replication=True) as session:
            in_recovery, values_hold = (await session.rows(_SHOWN, timeout_s=_LOOK_LIMIT_S))[0]
            if not in_recovery:
                raise PostgresUnavailable("PostgreSQL is not in recovery: a primary cannot seal")
            if values_hold:
                return await _finish(instance, session, deadline)
        # ALTER SYSTEM may have come in between.
        await _forget_upstream(instance)
        await deadline.pause(_POLL_S, "a new connection does not show the empty upstream yet")


async def _forget_upstream(instance: Instance) -> None:
    data = instance.layout.data
    await instance.files.write_upstream(data, None)
    await instance.files.undo_alter_system(data)
    instance.reload()


async def _finish(instance: Instance, session: Session, deadline: Deadline) -> FinalPosition:
    postmaster = instance.running.pid
    before = await _run_dry(session, postmaster, deadline)
    while found := receivers(postmaster):
        _terminate(found)
        await deadline.pause(_POLL_S, f"WAL receiver {found[0]} has not ended")
    while (after := await _run_dry(session, postmaster, deadline)) != before:
        before = after
    system_identifier, timeline = (await session.rows("IDENTIFY_SYSTEM", timeout_s=deadline.left_s))[0][:2]
    history = await asyncio.to_thread(read_history, instance.layout.data, int(timeline))
    return FinalPosition(str(system_identifier), int(timeline), history, after)


async def _run_dry(session: Session, postmaster: int, deadline: Deadline) -> Lsn:
    """Wake the startup process and wait until it has looked everywhere; returns what is replayed."""
    startup = next((pid for pid in _children(postmaster) if _is(b"startup", pid)), None)
    if startup is None:
        raise PostgresUnavailable("PostgreSQL has no startup process: it is not in recovery any more")
    slept = _times_slept(startup)
    _wake(startup)
    while True:
        await deadline.pause(_POLL_S, "replay has not come to its end")
        # Counted before the look: what it waits for then, it waits for since it was woken.
        has_looked = _times_slept(startup) > slept
        seen = await _replay(session, startup)
        if seen.wait == _DRY and has_looked:
            return seen.replayed
        if seen.paused != "not paused":
            await session.rows("SELECT pg_wal_replay_resume()", timeout_s=_LOOK_LIMIT_S)
        if seen.in_conflict:
            await session.rows(_TERMINATE_READERS, timeout_s=_LOOK_LIMIT_S)
            _wake(startup)


async def _replay(session: Session, startup: int) -> _Replay:
    rows = await session.rows(sql.SQL(_REPLAY).format(startup=startup), timeout_s=_LOOK_LIMIT_S)
    if not rows:
        raise PostgresUnavailable("PostgreSQL's startup process has ended: it is not in recovery any more")
    wait_type, wait, paused, replayed = rows[0]
    return _Replay(wait_type or "", wait or "", paused, Lsn.parse(replayed or 0))


def receivers(postmaster: int) -> list[int]:
    """The postmaster's children that are WAL receivers, or so young that they may become one.

    ``pg_stat_wal_receiver`` is no proof: a receiver that is connecting is not in it.
    """
    own = _command_line(postmaster)
    return [pid for pid in _children(postmaster) if _is(b"walreceiver", pid) or _command_line(pid) == own]


def _children(postmaster: int) -> list[int]:
    try:
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise PostgresUnavailable("PostgreSQL has ended") from error
    return [int(pid) for pid in children.split()]


def _is(kind: bytes, pid: int) -> bool:
    """Whether the title that a process of PostgreSQL gives itself says that it is of a kind."""
    return _command_line(pid).rpartition(b": ")[2].startswith(kind)


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _terminate(pids: list[int]) -> None:
    """SIGTERM: the receiver flushes what it has, then ends."""
    for pid in (pid for pid in pids if _is(b"walreceiver", pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _wake(startup: int) -> None:
    """SIGHUP makes the startup process read its configuration, and ends its wait for the next try."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(startup, signal.SIGHUP)


def _times_slept(pid: int) -> int:
    """How often a process has gone to sleep: a wait event alone may be the one from before it was woken."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
