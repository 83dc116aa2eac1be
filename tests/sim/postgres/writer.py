"""Writing WAL on a primary: inserted, written, flushed, several commits at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from common.model.wal import Lsn
from tests.sim.postgres.wal import RECORD_BYTES, Kind, Record

if TYPE_CHECKING:
    from tests.sim.postgres.server import Server


class Writer:
    """Inserts records, and flushes them for whoever waits for that.

    What is inserted is lost with the processes until it is written, with the host until it is flushed. One
    flush is under way at a time; what is inserted meanwhile goes with the next one.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._engine = server.engine
        self._host = server.host
        self._flush_for: list[tuple[Lsn, Callable[[], None]]] = []
        self._flushing = False

    def insert(self, kind: Kind, commit: int | None = None, *, size_bytes: int = 0) -> Record:
        """Insert a record, of ``size_bytes`` or of what is usual for its kind."""
        usual = self._engine.sizes.commit_bytes if kind == "commit" else RECORD_BYTES
        return self._server.directory.wal.write(self._server.timeline, kind, size_bytes or usual, commit)

    def flush(self, position: Lsn, then: Callable[[], None]) -> None:
        """Call ``then`` when WAL is flushed up to a position."""
        if position <= self._server.directory.wal.flushed:
            then()
            return
        self._flush_for.append((position, then))
        self._begin_flush()

    def _begin_flush(self) -> None:
        if self._flushing:
            return
        if self._host.disk_hangs:
            self._flushing = True
            self._host.when_disk_answers(self._server.life, self._flush_again)
            return
        if self._host.disk_full:
            self._server.ends_with("PANIC: could not write to WAL: No space left on device")
            return
        self._flushing = True
        wal = self._server.directory.wal
        wal.written = wal.end
        self._server.life.later(self._engine.draw(self._engine.delays.fsync_s), self._flushed, wal.end)

    def _flush_again(self) -> None:
        self._flushing = False
        self._begin_flush()

    def _flushed(self, until: Lsn) -> None:
        if self._host.disk_hangs:
            self._host.when_disk_answers(self._server.life, self._flushed, until)
            return
        self._flushing = False
        wal = self._server.directory.wal
        wal.flushed = Lsn(max(wal.flushed, until))
        done = [then for position, then in self._flush_for if position <= until]
        self._flush_for = [each for each in self._flush_for if each[0] > until]
        for then in done:
            then()
        for sender in list(self._server.senders.values()):
            sender.kick()
        if self._flush_for:
            self._begin_flush()
