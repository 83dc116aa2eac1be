"""A WAL sender: the process of a server that a standby's WAL receiver is connected to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from common.model.wal import ZERO, Lsn
from keeper.postgres.port import SyncSetting
from tests.sim.postgres.engine import Channel
from tests.sim.postgres.values import SENDER_TIMEOUT_S, STATUS_INTERVAL_S
from tests.sim.postgres.wal import left_at, path_of

if TYPE_CHECKING:
    from tests.sim.postgres.receiver import Receiver
    from tests.sim.postgres.server import Server

_SPLIT_CHANCE: Final = 0.03


class Sender:
    """Sends flushed WAL of one timeline and takes confirmations.

    ``settings`` is its own copy of whom commits wait for: another one until it has handled a reload.
    Until then it sends nothing, for it looks at its signals before it looks for WAL; confirmations that
    come meanwhile may still be counted by the old copy.
    """

    def __init__(self, server: Server, receiver: Receiver, down: Channel) -> None:
        engine = server.engine
        self.server = server
        self.receiver = receiver
        self.pid = engine.number()
        self.name = receiver.source.name
        self.timeline = receiver.timeline
        self.state = "catchup"
        # It was asked for the whole segment; what the standby has of it would change nothing there.
        self.sent = receiver.server.directory.wal.end
        self.flush = ZERO
        self.replay = ZERO
        self.ended = False
        self.settings = server.running.sync
        self.counts = False
        self._take(server.running.sync)
        self._down = down
        self._busy_until = 0.0
        self._scheduled = False
        self._has_finished = False
        self._heard_at = engine.now
        server.life.later(STATUS_INTERVAL_S, self._look_at_clock)
        self._schedule(0.0)

    def _take(self, settings: SyncSetting) -> None:
        self.settings = settings
        self.counts = settings.k > 0 and self.name in settings.names

    def reload(self) -> None:
        """SIGHUP: handled when the process comes to it."""
        engine = self.server.engine
        self._busy_until = max(self._busy_until, engine.now + self.server.host.reaction())
        self._schedule(self._busy_until - engine.now)

    def kick(self) -> None:
        """There may be something to send."""
        if not self._scheduled:
            self._iterate()

    def _schedule(self, delay_s: float) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.server.life.later(delay_s, self._iterate)

    def _iterate(self) -> None:
        """One turn of the main loop: signals first, then WAL."""
        self._scheduled = False
        if self.ended:
            return
        left_s = self._busy_until - self.server.engine.now
        if left_s > 0:
            self._schedule(left_s)
            return
        if self.settings != self.server.running.sync:
            self._take(self.server.running.sync)
        limit, following = self._limit()
        if limit is None:
            self.end("its timeline is not in this server's history any more")
            return
        if limit > self.sent:
            self._send(limit)
        if self.sent < limit:
            self._schedule(self.server.engine.draw(self.server.engine.delays.signal_s))
            return
        if self.state == "catchup":
            self.state = "streaming"
            self.server.changes.notify()
        if following is not None and not self._has_finished:
            self._has_finished = True
            files = dict(self.server.directory.histories)
            self._down.send(self.receiver.life, self.receiver.end_of_timeline, files)
        self.server.sender_is_idle(self)

    def _limit(self) -> tuple[Lsn | None, int | None]:
        """How far this timeline can be sent, and the next one when it has ended."""
        server = self.server
        if server.timeline == self.timeline:
            return server.flush_position, None
        path = path_of(server.directory.histories, server.timeline)
        left = left_at(path, self.timeline)
        if left is None:
            return None, None
        after = [switch.timeline for switch in path]
        return Lsn(max(left, self.sent)), after[after.index(self.timeline) + 1]

    def _send(self, limit: Lsn) -> None:
        records = self.server.directory.wal.between(self.sent, limit)
        until = limit
        if len(records) > 1 and self.server.engine.random.random() < _SPLIT_CHANCE:
            last = records.pop()
            until = Lsn(last.start + (last.end - last.start) // 2)
        self.sent = until
        self._down.send(self.receiver.life, self.receiver.arrive, until, records)

    def confirmed(self, flush: Lsn, replay: Lsn, wants_answer: bool) -> None:
        """A standby's status message."""
        if self.ended:
            return
        server = self.server
        self._heard_at = server.engine.now
        self.flush, self.replay = flush, replay
        slot = server.directory.slots.get(self.name)
        if slot is not None and flush:
            slot.restart_lsn = flush
        if not server.in_recovery:
            server.sync_rep.heard(self, server.senders.values())
        server.changes.notify()
        server.sender_is_idle(self)
        if wants_answer:
            self._down.send(self.receiver.life, self.receiver.heard)

    def _look_at_clock(self) -> None:
        if self.ended:
            return
        if self.server.engine.now - self._heard_at > SENDER_TIMEOUT_S:
            self.end("terminating walsender process due to replication timeout")
            return
        self.server.life.later(STATUS_INTERVAL_S, self._look_at_clock)

    def terminate(self) -> None:
        """SIGTERM: it ends when it comes to it."""
        self.server.life.later(
            max(self.server.host.reaction(), self._busy_until - self.server.engine.now),
            self.end,
            "terminated",
        )

    def end(self, why: str) -> None:
        """The process ends; the kernel closes its connection."""
        if self.ended:
            return
        self.ended = True
        self._down.send(self.receiver.life, self.receiver.lost, why)
        self.server.sender_ended(self)

    def vanish(self) -> None:
        """The host is gone: the other side hears nothing."""
        self.ended = True
        self._down.break_off()
