"""A WAL receiver: connects to a source, writes and flushes what comes, and says how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.model.wal import Lsn
from keeper.postgres.port import Source
from tests.sim.postgres.engine import Channel, Engine, Life
from tests.sim.postgres.sender import Sender
from tests.sim.postgres.values import CONNECT_TIMEOUT_S, RECEIVER_TIMEOUT_S, REPLICATION, STATUS_INTERVAL_S
from tests.sim.postgres.wal import Files, Record

if TYPE_CHECKING:
    from tests.sim.postgres.host import SimHost
    from tests.sim.postgres.server import Server


class Receiver:
    """One WAL receiver process of a standby, from its start to its end.

    It asks for ``timeline`` from ``start`` on. ``state`` is "connecting" until the source has agreed:
    so long it is not in pg_stat_wal_receiver, but it is there.
    """

    def __init__(self, server: Server, source: Source, timeline: int, start: Lsn) -> None:
        self.server = server
        self.engine: Engine = server.engine
        self.life: Life = server.life
        self.source: Source = source
        self.timeline: int = timeline
        self.start = start
        self.pid = self.engine.number()
        self.state = "connecting"
        self.ended = False
        self.messages = 0
        self.frozen = False
        self._told_to_end = False
        self._has_looked = False
        self._ending = False
        self._flushing = False
        self._heard_at = self.engine.now
        self._peer: Sender | None = None
        self._host: SimHost | None = server.host.fleet.find(source)
        name = self._host.name if self._host else source.host
        self._up = Channel(self.engine, server.host.name, name, REPLICATION)
        self._down = Channel(self.engine, name, server.host.name, REPLICATION)
        self.life.later(CONNECT_TIMEOUT_S, self._connect_timed_out)
        if self._host is not None:
            self._up.send(self._host.kernel, self._knock, self._host)

    # Connecting: every call that begins with the source's name is made on the source's side.

    def _knock(self, host: SimHost) -> None:
        """The source's kernel takes the connection, or refuses it."""
        server = host.server
        if server is None or not server.postmaster_alive:
            self._down.send(self.life, self._failed, "connection refused")
        else:
            server.life.do(self._identify, server)

    def _identify(self, server: Server) -> None:
        """The source says which system and timeline it is (IDENTIFY_SYSTEM)."""
        if not server.accepting:
            self._down.send(self.life, self._failed, "the database system is starting up")
            return
        identifier = server.directory.system_identifier
        self._down.send(self.life, self._identified, server, identifier, server.timeline)

    def _identified(self, server: Server, identifier: str, timeline: int) -> None:
        if self._is_over:
            return
        own = self.server.directory
        if identifier != own.system_identifier:
            self._failed("database system identifier differs between the primary and standby")
        elif timeline < self.timeline:
            self._failed(f"highest timeline {timeline} of the primary is behind {self.timeline}")
        else:
            lacking = [n for n in range(self.timeline, timeline + 1) if n > 1 and n not in own.histories]
            self._up.send(server.life, self._ask, server, lacking)

    def _ask(self, server: Server, lacking: list[int]) -> None:
        """The source gives its history files, then begins to stream, or says why not."""
        theirs = server.directory.histories
        files = {number: theirs[number] for number in lacking if number in theirs}
        missing = [number for number in lacking if number not in theirs]
        problem = f"could not open the history file of timeline {missing[0]}" if missing else ""
        if not problem:
            problem = server.why_not_stream(self.source.name, self.timeline, self.start)
        if problem:
            self._down.send(self.life, self._failed, problem, files)
            return
        sender = Sender(server, self, self._down)
        server.senders[sender.pid] = sender
        self._down.send(self.life, self._agreed, sender, files)

    def _agreed(self, sender: Sender, files: Files) -> None:
        self._peer = sender
        if self._is_over:
            self._close()
            return
        self._learn(files)
        self.state = "streaming"
        self.heard()
        # It begins by confirming what is replayed here, whoever it got that from.
        self._confirm(self.server.replayed)
        self.life.later(STATUS_INTERVAL_S, self._look_at_clock)
        self.server.changes.notify()

    def _learn(self, files: Files) -> None:
        for number, history in sorted(files.items()):
            self.server.directory.histories.setdefault(number, history)

    def _connect_timed_out(self) -> None:
        if self.state == "connecting":
            self._failed("connection timed out")

    # Streaming.

    @property
    def _is_over(self) -> bool:
        return self.ended or self._ending

    def heard(self) -> None:
        self.messages += 1
        self._heard_at = self.engine.now

    def arrive(self, until: Lsn, records: list[Record]) -> None:
        """WAL has come."""
        if self._is_over or self.frozen:
            return
        self.heard()
        if self.server.host.disk_full:
            self._failed("could not write to WAL segment: No space left on device")
            return
        wal = self.server.directory.wal
        for record in records:
            if record.end <= wal.end:
                continue
            if record.start != wal.end:
                self._failed("the WAL that came does not continue what is there")
                return
            wal.append(record)
        wal.written = Lsn(max(wal.written, until))
        self._flush()

    def _flush(self) -> None:
        if not self._flushing and not self.ended:
            self._flushing = True
            written = self.server.directory.wal.written
            self.life.later(self.engine.draw(self.engine.delays.fsync_s), self._flushed, written)

    def _flushed(self, until: Lsn) -> None:
        if self.server.host.disk_hangs:
            self.server.host.when_disk_answers(self.life, self._flushed, until)
            return
        self._flushing = False
        wal = self.server.directory.wal
        wal.flushed = Lsn(max(wal.flushed, min(until, wal.written)))
        self.server.wal_came()
        if not self._ending:
            self._confirm(wal.flushed)
        if self._has_looked and not self._ending:
            self._begin_to_end()
            return
        if wal.written > wal.flushed:
            self._flush()
        elif self._ending:
            self._finish()

    def _confirm(self, flush: Lsn, *, wants_answer: bool = False) -> None:
        if self._peer is not None and not self.frozen:
            peer = self._peer
            self._up.send(peer.server.life, peer.confirmed, flush, self.server.replayed, wants_answer)

    def _look_at_clock(self) -> None:
        if self._is_over:
            return
        if self.frozen:
            self.life.later(STATUS_INTERVAL_S, self._look_at_clock)
            return
        if self.engine.now - self._heard_at > RECEIVER_TIMEOUT_S:
            self._failed("terminating walreceiver due to timeout")
            return
        wal = self.server.directory.wal
        self._confirm(Lsn(max(wal.flushed, self.server.replayed)), wants_answer=True)
        self.life.later(STATUS_INTERVAL_S, self._look_at_clock)

    def end_of_timeline(self, files: Files) -> None:
        """The source has no more of this timeline: the startup process decides how to go on."""
        if self._is_over:
            return
        self.heard()
        self._learn(files)
        self._ending = True
        self.life.later(self.server.host.reaction(), self._last_flush)

    # Ending.

    def terminate(self) -> None:
        """SIGTERM: once it comes to it, it flushes what it has, then ends.

        Until then it works on, and what it was just flushing it still confirms: PostgreSQL looks at its
        signals once in a turn of the main loop, and answers the primary at the end of that turn.
        """
        if not self._told_to_end:
            self._told_to_end = True
            if not self.frozen:
                self.life.later(self.server.host.reaction(), self._look_at_signals)

    def _look_at_signals(self) -> None:
        self._has_looked = True
        if not self._flushing and not self._is_over and not self.frozen:
            self._begin_to_end()

    def _begin_to_end(self) -> None:
        self._ending = True
        self._last_flush()

    def _last_flush(self) -> None:
        if not self._flushing:
            self._flush()

    def freeze(self) -> None:
        """SIGSTOP: what comes is lost with the connection, which its source will end."""
        self.frozen = True

    def thaw(self) -> None:
        """SIGCONT: signals first; it has missed something, so it begins again."""
        self.frozen = False
        if self._ending:
            self._last_flush()
        elif self._told_to_end:
            self._begin_to_end()
        else:
            self._failed("it stood still for too long")

    def kill(self) -> None:
        """The process ends without any more ado."""
        self._failed("killed")

    def lost(self, why: str) -> None:
        """The source closed the connection."""
        self._peer = None
        if not self.frozen:
            self._failed(why)

    def _failed(self, why: str, files: Files | None = None) -> None:
        """It ends with an error, after a last flush, as with SIGTERM."""
        if files:
            self._learn(files)
        if self.ended or self._ending:
            return
        self.server.tell(f"walreceiver: {why}")
        self._ending = True
        self._last_flush()

    def _finish(self) -> None:
        if not self.ended:
            self.ended = True
            self._close()
            self.server.receiver_ended(self)

    def _close(self) -> None:
        if self._peer is not None:
            peer, self._peer = self._peer, None
            self._up.send(peer.server.life, peer.end, "the standby closed the connection")

    def vanish(self, *, silently: bool) -> None:
        """The server's processes are gone; with ``silently`` the whole host is."""
        self.ended = True
        if silently:
            self._up.break_off()
        else:
            self._close()
