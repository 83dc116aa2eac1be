"""PostgreSQL's programs that make a data directory, as processes that go on without the keeper."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Final

from common.model.wal import ZERO, Lsn
from keeper.postgres.port import ControlData, Source
from tests.sim.postgres.directory import Directory
from tests.sim.postgres.host import Program, SimHost
from tests.sim.postgres.server import Server
from tests.sim.postgres.values import REPLICATION
from tests.sim.postgres.wal import History, path_of

SLICES: Final = 4
_LOOK_AGAIN_S: Final = 0.2
_GIVE_UP_S: Final = 5.0


class InitDb(Program):
    """Makes ``data.new`` out of nothing."""

    def __init__(self, host: SimHost) -> None:
        super().__init__(host)
        engine = host.engine
        engine.later(engine.draw(engine.delays.initdb_s), self._make)

    def _make(self) -> None:
        if self.has_ended:
            return
        if self.host.disk_full:
            self.end("initdb failed: No space left on device")
            return
        self.host.new = Directory.fresh(str((7 << 60) + self.host.engine.random.getrandbits(60)))
        self.end()


class _Copying(Program, ABC):
    """A program that reads from a running server for a while."""

    def __init__(self, host: SimHost, source: Source, duration_s: float) -> None:
        super().__init__(host)
        self.source = source
        self.slices_done = 0
        self._slice_s = host.engine.draw(duration_s) / SLICES
        self._server: Server | None = None
        self._silent_s = 0.0
        host.engine.later(self._slice_s, self._step)

    def _step(self) -> None:
        if self.has_ended:
            return
        engine = self.host.engine
        if self.host.disk_full:
            self.end("could not write to file: No space left on device")
            return
        remote = self.host.fleet.find(self.source)
        server = remote.server if remote else None
        if remote is None or not self._hears(remote):
            self._silent_s += _LOOK_AGAIN_S
            if self._silent_s > _GIVE_UP_S:
                self.end("connection to server timed out")
            else:
                engine.later(_LOOK_AGAIN_S, self._step)
            return
        self._silent_s = 0.0
        if server is None or not server.accepting or self._server not in {None, server}:
            self.end("connection to server failed: it does not run, or was restarted")
            return
        if self._server is None:
            problem = self.begin(server)
            if problem:
                self.end(problem)
                return
            self._server = server
        elif self.slices_done < SLICES:
            self.slices_done += 1
        if self.slices_done == SLICES:
            self.finish(server)
            return
        self.changes.notify()
        engine.later(self._slice_s, self._step)

    def _hears(self, remote: SimHost) -> bool:
        there = self.host.engine.network.path(self.host.name, remote.name, REPLICATION)
        back = self.host.engine.network.path(remote.name, self.host.name, REPLICATION)
        stands_still = remote.server is not None and remote.server.life.paused
        return there is not None and back is not None and not stands_still and not self.host.disk_hangs

    @abstractmethod
    def begin(self, server: Server) -> str:
        """Connect; returns why that is refused."""

    @abstractmethod
    def finish(self, server: Server) -> None:
        """All has been read."""


class BaseBackup(_Copying):
    """pg_basebackup with ``-X stream`` through a slot, into ``data.new``."""

    def __init__(self, host: SimHost, source: Source) -> None:
        super().__init__(host, source, host.engine.delays.clone_s)
        self._control: ControlData | None = None

    def begin(self, server: Server) -> str:
        slot = server.directory.slots.get(self.source.name)
        if slot is None:
            return f'replication slot "{self.source.name}" does not exist'
        if server.is_active(self.source.name):
            return f'replication slot "{self.source.name}" is active'
        server.host.slots_in_clones[self.source.name] = self
        server.checkpoint()
        self._control = server.directory.control
        return ""

    def finish(self, server: Server) -> None:
        """The copy is consistent from the end of its WAL on."""
        origin = server.directory
        until = server.flush_position
        timeline = server.timeline
        assert self._control is not None
        control = replace(self._control, state="in production")
        histories = {timeline: origin.histories[timeline]} if timeline > 1 else {}
        wal = origin.wal.copy(until)
        made = Directory(origin.system_identifier, wal, control, histories, settings=origin.settings)
        last = wal.records[-1]
        made.must_replay_until(last.end, last.timeline)
        self.host.new = made
        slot = origin.slots.get(self.source.name)
        if slot is not None:
            slot.restart_lsn = until
        self.end()

    def clear_up(self) -> None:
        for host in self.host.fleet.hosts.values():
            if host.slots_in_clones.get(self.source.name) is self:
                del host.slots_in_clones[self.source.name]


class Rewind(_Copying):
    """pg_rewind: turns ``data`` back to where the source forked, and takes the source's changes."""

    def __init__(self, host: SimHost, source: Source) -> None:
        super().__init__(host, source, host.engine.delays.rewind_s)
        self._fork = ZERO
        self._is_needed = True

    def begin(self, server: Server) -> str:
        own, theirs = self.host.present, server.directory
        if own.system_identifier != theirs.system_identifier:
            return "source and target clusters are from different systems"
        timelines = own.control.checkpoint_timeline, theirs.control.checkpoint_timeline
        if timelines[0] == timelines[1]:
            self._is_needed = False
            return ""
        fork = common_point(path_of(own.histories, timelines[0]), path_of(theirs.histories, timelines[1]))
        if fork is None:
            return "could not find common ancestor of the source and target cluster's timelines"
        self._fork = fork
        self._is_needed = own.wal.end > fork
        if self._is_needed:
            if fork < own.wal.kept_from:
                return "could not find previous WAL record"
            self.host.fleet.tell("rewound", self.host, own)
            own.torn = True
        return ""

    def finish(self, server: Server) -> None:
        """The data are the source's, but consistent only once its WAL up to now has been replayed."""
        if self._is_needed:
            origin, host = server.directory, self.host
            copied_until = server.flush_position
            made = Directory(
                origin.system_identifier,
                origin.wal.copy(copied_until),
                replace(origin.control, state="in archive recovery"),
                dict(origin.histories),
                settings=origin.settings,
                marker=origin.marker,
            )
            made.must_replay_until(server.end, server.timeline)
            host.data = made
        self.end()


def common_point(own: History, theirs: History) -> Lsn | None:
    """Where two paths part; None when they share no timeline (``findCommonAncestorTimeline``)."""
    point = None
    for mine, other in zip(own, theirs, strict=False):
        if mine.timeline != other.timeline:
            break
        point = Lsn(min(mine.lsn, other.lsn))
        if mine.lsn != other.lsn:
            break
    return point
