"""The fast stop of a primary, watched by what it writes: a standby that is stuck delays nobody (protocol 8).

PostgreSQL asks its checkpointer for the shutdown record only once the last session has ended, and writes
"shut down" into ``pg_control`` after that record is flushed. Its postmaster may live on: WAL senders end only
when their standbys have confirmed the record.
"""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Final

from common.errors import PostgresUnavailable
from common.model.wal import Lsn
from keeper.postgres.instance import Instance
from keeper.postgres.presence import CONTROL_FILE

SHUT_DOWN: Final = "shut down"

_POLL_S: Final = 0.002
_LOOK_ALL_THE_SAME: Final = 250
"""So many polls apart, half a second, ``pg_controldata`` is asked whatever the file seems to say."""

_STATE_AT: Final = 16
_DB_SHUTDOWNED: Final = 1


async def shut_down(instance: Instance, timeout_s: float) -> Lsn | None:
    """Stop; return where the shutdown record begins once ``pg_control`` says "shut down"."""
    deadline = instance.clock.monotonic() + timeout_s
    instance.interrupt()
    polls = 0
    while True:
        ended = instance.start_id is None
        if ended or polls % _LOOK_ALL_THE_SAME == 0 or await _seems_shut_down(instance.layout.data):
            try:
                control = await instance.directory.control()
            except PostgresUnavailable:
                control = None  # read while it was written
            if control is not None and control.state == SHUT_DOWN:
                return control.checkpoint_lsn
            if ended and control is not None:
                return None
        if instance.clock.monotonic() > deadline:
            return None
        polls += 1
        await instance.clock.sleep(_POLL_S)


async def _seems_shut_down(data: Path) -> bool:
    """What the field ``state`` of ``ControlFileData`` says, which has stood there in all releases since 8.0.

    A hint when to look: ``pg_controldata``, which checks version and CRC, has the last word.
    """

    def state() -> bytes:
        with (data / CONTROL_FILE).open("rb") as file:
            return file.read(_STATE_AT + 4)[_STATE_AT:]

    found = await asyncio.to_thread(state)
    return len(found) == 4 and struct.unpack("=i", found)[0] == _DB_SHUTDOWNED  # noqa: PLR2004
