"""One start of a simulated PostgreSQL: the postmaster and its children, until the last of them is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from common.model.wal import ZERO, Lsn
from keeper.postgres.port import StopMode
from tests.sim.postgres.backend import Backend
from tests.sim.postgres.directory import Directory, Settings
from tests.sim.postgres.engine import Changes, Engine, Life
from tests.sim.postgres.sender import Sender
from tests.sim.postgres.shutdown import Shutdown
from tests.sim.postgres.startup import Startup
from tests.sim.postgres.sync_rep import SyncRep
from tests.sim.postgres.wal import Kind, Record, left_at, path_of
from tests.sim.postgres.writer import Writer

if TYPE_CHECKING:
    from tests.sim.postgres.host import SimHost


class Server:
    """The processes that run on one data directory since one start.

    ``running`` is what the postmaster has read: a new connection shows it. ``in_flight`` are commits whose
    transaction has not ended, because their client still waits: nobody else sees them.
    """

    def __init__(self, host: SimHost) -> None:
        self.host = host
        self.engine: Engine = host.engine
        self.directory: Directory = host.present
        self.life: Life = Life(self.engine)
        self.changes = Changes()
        self.ends = Changes()
        self.start_id = f"{host.name}-{self.engine.number()}"
        self.postmaster_alive = True
        self.accepting = False
        self.in_recovery = True
        self.stopping = False
        self.log: list[str] = []
        self.running: Settings = self.directory.effective
        self.overridden = tuple(self.directory.alter_system)
        self.spec = self.directory.spec
        self.sync_rep = SyncRep(defined=self.running.sync.k > 0)
        self.senders: dict[int, Sender] = {}
        self.backends: dict[int, Backend] = {}
        self.in_flight: set[int] = set()
        self.startup = Startup(self)
        self._standby = self.directory.standby_signal
        self.writer = Writer(self)
        self._asked: list[asyncio.Future[bool]] = []
        self.shutdown: Shutdown | None = None
        self.life.later(self.engine.draw(self.engine.delays.start_s) + host.start_takes_s, self._recover)

    def tell(self, text: str) -> None:
        """A line in its log."""
        self.log.append(text)

    # Coming up.

    def _recover(self) -> None:
        if self.host.start_fails:
            self.ends_with("FATAL: the start was made to fail")
            return
        if self.directory.torn or self.directory.maimed:
            self.ends_with("PANIC: could not open file global/pg_control, or it does not fit the data")
            return
        control, wal = self.directory.control, self.directory.wal
        problem = self.startup.recover(standby=self._standby)
        if problem:
            self.ends_with(f"FATAL: {problem}")
            return
        replayed_mb = (wal.end - control.redo_lsn) / (1 << 20)
        delay_s = self.engine.draw(self.engine.delays.recovery_s_per_mb * replayed_mb)
        self.life.later(delay_s, self._recovered)

    def _recovered(self) -> None:
        if self._standby:
            self.directory.in_state("in archive recovery")
            self.startup.look_for_more()
            self.replay_went_on()
            return
        if not self.startup.is_consistent:
            self.ends_with("FATAL: WAL ends before the data are consistent")
            return
        self.write_checkpoint("checkpoint", "in production")
        self.in_recovery = False
        self.host.fleet.tell("writable", self.host, self.directory)
        self._accept()

    def replay_went_on(self) -> None:
        if not self.accepting and self.startup.is_consistent:
            self._accept()
        self.changes.notify()
        for sender in self.senders.values():
            sender.kick()

    def _accept(self) -> None:
        self.accepting = True
        self.changes.notify()

    def left_recovery(self) -> None:
        """The startup process has ended: from here on commits are taken."""
        self.directory.in_state("in production")
        self.in_recovery = False
        self.tell("selected new timeline ID: " + str(self.timeline))
        self.host.fleet.tell("writable", self.host, self.directory)
        self.replay_went_on()

    # What it is.

    @property
    def timeline(self) -> int:
        return self.startup.timeline

    @property
    def replayed(self) -> Lsn:
        return self.startup.replayed

    @property
    def end(self) -> Lsn:
        return self.directory.wal.end

    @property
    def flush_position(self) -> Lsn:
        """Up to where a WAL sender may send."""
        return self.replayed if self.in_recovery else self.directory.wal.flushed

    def visible(self) -> tuple[int, ...]:
        """The rows that a new transaction sees."""
        wal = self.directory.wal
        records = wal.records[: wal.count_until(self.replayed)] if self.in_recovery else wal.records
        return tuple(
            record.commit
            for record in records
            if record.commit is not None and record.commit not in self.in_flight
        )

    def ask(self) -> asyncio.Future[bool]:
        """One round trip of the keeper over the local socket; True when the server answered."""
        future = self.engine.loop.create_future()
        self._asked.append(future)
        self.life.later(self.engine.draw(self.engine.delays.statement_s), self._answer, future)
        return future

    def _answer(self, future: asyncio.Future[bool]) -> None:
        if future in self._asked:
            self._asked.remove(future)
            _answer(future, holds=self.accepting)

    # Writing.

    def insert(self, kind: Kind, commit: int | None = None) -> Record:
        """See :class:`Writer`."""
        return self.writer.insert(kind, commit)

    def flush(self, position: Lsn, then: Callable[[], None]) -> None:
        """See :class:`Writer`."""
        self.writer.flush(position, then)

    def write_checkpoint(self, kind: Kind, state: str) -> None:
        """A checkpoint record that is flushed with everything before it, and then in pg_control."""
        record = self.insert(kind)
        self.directory.wal.persist()
        self.directory.checkpoint(record, state)
        self.directory.must_replay_until(ZERO, 0)
        self.remove_wal()

    def checkpoint(self) -> None:
        """What CHECKPOINT comes to, on a primary or a standby."""
        if not self.in_recovery:
            self.write_checkpoint("checkpoint", "in production")
            for sender in list(self.senders.values()):
                sender.kick()
            return
        wal = self.directory.wal
        found = [
            record
            for record in wal.records[: wal.count_until(self.replayed)]
            if record.kind in {"checkpoint", "shutdown"}
        ]
        self.startup.restartpoint(found[-1])

    def remove_wal(self) -> None:
        sizes = self.engine.sizes
        keep = self.spec.max_slot_wal_keep_size
        self.directory.remove_wal(sizes.wal_keep_bytes, keep, sizes.segment_bytes)

    # Replication.

    def why_not_stream(self, slot_name: str, timeline: int, start: Lsn) -> str:
        """What speaks against START_REPLICATION; empty for nothing."""
        slot = self.directory.slots.get(slot_name)
        if self.stopping:
            return "the database system is shutting down"
        if slot is None:
            return f'replication slot "{slot_name}" does not exist'
        if self.is_active(slot_name):
            return f'replication slot "{slot_name}" is active'
        left = left_at(path_of(self.directory.histories, self.timeline), timeline)
        if left is None:
            return f"requested timeline {timeline} is not in this server's history"
        if start > min(left, self.flush_position):
            return f"requested starting point {start} on timeline {timeline} is not in this server's history"
        if start < self.directory.wal.kept_from or slot.lost:
            return "requested WAL segment has already been removed"
        return ""

    def is_active(self, slot_name: str) -> bool:
        by_sender = any(sender.name == slot_name for sender in self.senders.values())
        return by_sender or slot_name in self.host.slots_in_clones

    def wal_came(self) -> None:
        """The WAL receiver has flushed something."""
        self.startup.wal_came()
        self.changes.notify()

    def receiver_ended(self, receiver: object) -> None:
        if self.startup.receiver is receiver:
            self.startup.receiver_ended()
        self.changes.notify()
        self.process_ended()

    def sender_is_idle(self, sender: Sender) -> None:
        """While the server stops, a sender ends once its standby has everything."""
        if self.shutdown is not None:
            self.shutdown.sender_is_idle(sender)

    def sender_ended(self, sender: Sender) -> None:
        self.senders.pop(sender.pid, None)
        self.changes.notify()
        self.process_ended()

    # Signals.

    def reload(self) -> None:
        """SIGHUP to the postmaster: it reads the files, then tells its children."""
        self.life.later(self.engine.draw(self.engine.delays.signal_s), self._reload)

    def _reload(self) -> None:
        if not self.postmaster_alive:
            return
        before, self.running = self.running, self.directory.effective
        self.overridden = tuple(self.directory.alter_system)
        self.spec = self.directory.spec
        for sender in self.senders.values():
            sender.reload()
        self.startup.reload()
        if (before.sync.k > 0) != (self.running.sync.k > 0) or self.sync_rep.defined != (
            self.running.sync.k > 0
        ):
            self.life.later(self.host.reaction(), self._checkpointer_reloads)
        self.changes.notify()

    def _checkpointer_reloads(self) -> None:
        self.sync_rep.define(defined=self.running.sync.k > 0)

    def stop(self, mode: StopMode) -> None:
        """SIGINT or SIGQUIT to the postmaster."""
        if mode == "immediate":
            delay_s = self.engine.draw(self.engine.delays.signal_s)
            self.life.later(delay_s, self.ends_with, "immediate shutdown")
        elif not self.stopping:
            self.stopping = True
            self.shutdown = Shutdown(self)

    # Ends.

    def kill_postmaster(self) -> None:
        """SIGKILL to the postmaster alone: its children notice, most of them at once."""
        self.postmaster_alive = False
        self.accepting = False
        self.host.postmaster_ended(self)
        for sender in list(self.senders.values()):
            self.life.later(self._lingers_s(), sender.end, "the postmaster is gone")
        for backend in list(self.backends.values()):
            # One that waits for standbys wakes up and cancels its wait; one that computes does not look.
            delay_s = self._lingers_s() if backend.is_busy else self.engine.delays.signal_s
            self.life.later(delay_s, backend.terminate)
        if self.startup.receiver is not None:
            self.life.later(self._lingers_s(), self.startup.receiver.kill)
        self.startup.paused = True
        self._ended()
        self.process_ended()

    def _ended(self) -> None:
        """Whoever waits for the postmaster's end, or for an answer, hears of it."""
        self.ends.notify()
        self.changes.notify()
        asked, self._asked = self._asked, []
        for future in asked:
            _answer(future, holds=False)

    def _lingers_s(self) -> float:
        delays = self.engine.delays
        lingers = self.engine.random.random() < delays.linger_chance
        return self.engine.draw(delays.linger_s if lingers else delays.signal_s)

    @property
    def process_count(self) -> int:
        receiver = 1 if self.startup.receiver is not None else 0
        return int(self.postmaster_alive) + len(self.senders) + len(self.backends) + receiver

    def process_ended(self) -> None:
        """Once the postmaster is dead, the last child's end is that of the start."""
        if not self.postmaster_alive and self.process_count == 0:
            self.die()

    def ends_with(self, why: str) -> None:
        """It ends by itself."""
        self.tell(why)
        self.die()

    def die(self, *, silently: bool = False) -> None:
        """Every process is gone; ``silently``: with the host, so that nobody is told."""
        if self.life.is_over:
            return
        self.life.end()
        was_alive, self.postmaster_alive, self.accepting = self.postmaster_alive, False, False
        for sender in list(self.senders.values()):
            if silently:
                sender.vanish()
            else:
                sender.end("the server ended")
        if self.startup.receiver is not None:
            self.startup.receiver.vanish(silently=silently)
        for backend in list(self.backends.values()):
            backend.terminate(silently=silently)
        self.directory.wal.cut(self.directory.wal.written)
        if was_alive:
            self.host.postmaster_ended(self)
        self.host.start_ended(self)
        self._ended()


def _answer(future: asyncio.Future[bool], *, holds: bool) -> None:
    if not future.done():
        future.set_result(holds)
