"""The startup process: recovery from what lies on disk, then from a WAL receiver, then promotion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from common.model.wal import ZERO, Lsn, Switch
from keeper.postgres.port import Source
from tests.sim.postgres.directory import Directory
from tests.sim.postgres.engine import Engine
from tests.sim.postgres.receiver import Receiver
from tests.sim.postgres.values import RETRIEVE_RETRY_S
from tests.sim.postgres.wal import (
    RECORD_BYTES,
    Record,
    left_at,
    newest,
    on_path,
    path_of,
    timeline_at,
)

if TYPE_CHECKING:
    from tests.sim.postgres.server import Server

_AT_ONCE_CHANCE: Final = 0.8
"""How often replay is so fast that nobody could see it lag: each event that is saved makes a run cheaper."""


class Startup:
    """Replays, and asks for WAL receivers.

    ``target`` is the timeline that it has set its mind on; ``timeline`` that of the last record replayed.
    ``source`` is its own copy of whom to follow: as of the last reload that it handled, which it does
    not do while replay is paused.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.engine: Engine = server.engine
        self.directory: Directory = server.directory
        self.replayed = ZERO
        self.timeline = 0
        self.target = 0
        self.source: Source | None = server.running.source
        self.receiver: Receiver | None = None
        self.paused = False
        self.promoting = False
        self.stuck = ""
        self._wants_reload = False
        self._replaying = False
        self._moved = False
        self._failed_at = -RETRIEVE_RETRY_S

    # From disk.

    def recover(self, *, standby: bool) -> str:
        """Replay what is on disk; returns why that is impossible, or nothing.

        PostgreSQL begins at the checkpoint, on the newest timeline that it finds (only in a standby), and
        goes along that timeline's history. It would wait for ever for one whose file is empty.
        """
        directory, control = self.directory, self.directory.control
        wal, files = directory.wal, directory.histories
        wal.cut(wal.written)
        wal.flushed = wal.written  # it fsyncs the directory first
        target = max(control.checkpoint_timeline, control.minimum_recovery_timeline)
        if standby:
            target = newest(files, target)
        self.target = target
        path = path_of(files, target)
        if target > 1 and not files.get(target):
            self.stuck = f"waits for WAL of timeline {target}, which does not exist"
            return ""
        if timeline_at(path, control.checkpoint_lsn) != control.checkpoint_timeline:
            return f"requested timeline {target} is not a child of this server's history"
        needed = control.minimum_recovery_lsn
        if needed and timeline_at(path, Lsn(needed - 1)) != control.minimum_recovery_timeline:
            return f"requested timeline {target} does not contain minimum recovery point {needed}"
        for record in wal.between(control.checkpoint_lsn, wal.end):
            if not on_path(path, record):
                wal.cut(record.start)
                break
        wal.cut(wal.end)
        wal.written = wal.flushed = wal.end
        self.replayed = wal.end
        self.timeline = wal.records[-1].timeline
        return ""

    @property
    def is_consistent(self) -> bool:
        return not self.stuck and self.replayed >= self.directory.control.minimum_recovery_lsn

    # From a WAL receiver.

    @property
    def waits_for(self) -> str:
        """Its wait event."""
        if self.paused:
            return "RecoveryPause"
        return "RecoveryWalStream" if self.receiver is not None else "RecoveryRetrieveRetryInterval"

    @property
    def has_run_dry(self) -> bool:
        return not self.paused and not self._replaying and self.replayed >= self._end()

    def _end(self) -> Lsn:
        return Lsn(min(self.directory.wal.end, self.directory.wal.flushed))

    def reload(self) -> None:
        """SIGHUP."""
        self._wants_reload = True
        self.server.life.later(self.server.host.reaction(), self._handle_reload)

    def _handle_reload(self) -> None:
        if self.paused or not self._wants_reload or not self.server.in_recovery:
            return
        self._wants_reload = False
        if self.source != self.server.running.source:
            self.source = self.server.running.source
            if self.receiver is not None:
                self._moved = True
                self.receiver.terminate()
        self.look_for_more()  # the signal also ends its wait for the next try
        self.server.changes.notify()

    def wal_came(self) -> None:
        """A receiver has flushed something, or has ended."""
        if self._replaying or self.paused or self.replayed >= self._end():
            return
        if self.engine.random.random() < _AT_ONCE_CHANCE:
            self._replay()
        else:
            self._replaying = True
            self.server.life.later(self.engine.draw(self.engine.delays.replay_s), self._replay)

    def _replay(self) -> None:
        self._replaying = False
        if self.paused or not self.server.in_recovery:
            return
        wal = self.directory.wal
        for record in wal.between(self.replayed, self._end()):
            self.replayed = record.end
            self.timeline = record.timeline
            if record.kind in {"checkpoint", "shutdown"}:
                self.server.life.later(
                    self.engine.draw(self.engine.delays.checkpoint_s), self.restartpoint, record
                )
        self.server.replay_went_on()

    def restartpoint(self, record: Record) -> None:
        """What a checkpoint is on a standby: its pages are on disk up to where it has replayed."""
        if self.server.in_recovery and self.replayed >= record.end:
            self.directory.checkpoint(record, self.directory.control.state)
            self.directory.must_replay_until(self.replayed, self.timeline)
            self.server.remove_wal()

    def look_for_more(self) -> None:
        """Have a WAL receiver, when there is somebody to follow."""
        server, source = self.server, self.source
        blocked = self.receiver is not None or self.promoting or self.paused or bool(self.stuck)
        if source is None or blocked or not server.in_recovery or server.stopping:
            return
        self._rescan()
        end = self.directory.wal.end
        timeline = timeline_at(path_of(self.directory.histories, self.target), self.replayed)
        start = Lsn(end - end % self.engine.sizes.segment_bytes)
        self.receiver = Receiver(server, source, timeline, start)

    def _rescan(self) -> None:
        """Take the newest timeline, if it branches off ours and not before where we are."""
        found = newest(self.directory.histories, self.target)
        if found == self.target:
            return
        left = left_at(self.directory.histories[found], self.target)
        if left is None:
            self.server.tell(f"new timeline {found} is not a child of timeline {self.target}")
        elif left < self.replayed:
            self.server.tell(f"new timeline {found} forked off before {self.replayed}")
        else:
            self.target = found
            self.server.tell(f"new target timeline is {found}")
            self.directory.wal.cut(left)

    def receiver_ended(self) -> None:
        """Try again, the first time at once, then each second; after a change of source at once."""
        self.receiver = None
        wait_s = 0.0 if self._moved else self._failed_at + RETRIEVE_RETRY_S - self.engine.now
        self._moved = False
        self.server.life.later(max(wait_s, self.engine.delays.signal_s), self._try_again)
        self.wal_came()

    def _try_again(self) -> None:
        if self.receiver is None:
            self._failed_at = self.engine.now
            self.look_for_more()

    def pause(self) -> None:
        """What pg_wal_replay_pause() does."""
        self.paused = True

    def resume(self) -> None:
        """What pg_wal_replay_resume() does."""
        self.paused = False
        self.server.life.later(self.server.host.reaction(), self._handle_reload)
        self.wal_came()

    # Promotion, in the order of StartupXLOG.

    def promote(self) -> None:
        """Somebody asked for it; it begins when replay has come to the end of what is there."""
        if self.promoting or not self.server.in_recovery:
            return
        self.promoting = True
        self.paused = False
        if self.receiver is not None:
            self.receiver.terminate()
        self.server.life.later(self._step_s(), self._end_recovery)

    def _step_s(self) -> float:
        return self.engine.draw(self.engine.delays.promotion_s)

    def _end_recovery(self) -> None:
        if not self.server.postmaster_alive:
            return
        if self.receiver is not None or not self.has_run_dry:
            self.server.life.later(self.engine.delays.signal_s, self._end_recovery)
            return
        if self.server.host.disk_hangs:
            self.server.host.when_disk_answers(self.server.life, self._end_recovery)
            return
        wal = self.directory.wal
        wal.cut(self.replayed)
        wal.persist()
        new = newest(self.directory.histories, self.target) + 1
        self.directory.standby_signal = False
        self.server.life.later(self._step_s(), self._write_history, new)

    def _write_history(self, new: int) -> None:
        files = self.directory.histories
        files[new] = (*files.get(self.target, ()), Switch(self.target, self.replayed))
        self.server.life.later(self._step_s(), self._begin_production, new)

    def _begin_production(self, new: int) -> None:
        wal = self.directory.wal
        wal.write(new, "end_of_recovery", RECORD_BYTES)
        wal.persist()
        self.directory.must_replay_until(wal.end, new)
        self.timeline = self.target = new
        self.replayed = wal.end
        self.promoting = False
        self.server.left_recovery()
        self._checkpoint_in_time()

    def _checkpoint_in_time(self) -> None:
        """PostgreSQL asks for a checkpoint by itself after a promotion; it is a spread one."""
        engine = self.server.host.engine
        self.server.life.later(engine.draw(engine.delays.spread_checkpoint_s), self._checkpoint)

    def _checkpoint(self) -> None:
        host = self.server.host
        if host.disk_hangs:
            host.when_disk_answers(self.server.life, self.server.checkpoint)
        else:
            self.server.checkpoint()
