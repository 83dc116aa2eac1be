"""An idealised PostgreSQL for models of whole clusters: records instead of bytes, no I/O, no time.

A position is a number of records; each record is a number that never comes again, so that a test can
tell whether two servers really hold the same data where their timelines and positions say so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from common.model.lineage import Position
from common.model.names import parse_standby_name
from common.model.wal import Lsn, Switch
from keeper.steps import Upstream


@dataclass
class Server:
    """One data directory and the PostgreSQL that may run on it.

    ``needs`` is the position from which the data are consistent, as after a clone. ``promoting_to`` is
    the timeline of a promotion that was asked for and has not ended. ``waiting`` are the commits whose
    clients wait, as position and record; ``writable_from`` is where its present start as primary began.
    """

    marker: str
    log: list[int]
    timeline: int = 1
    history: tuple[Switch, ...] = ()
    needs: int = 0
    running: bool = False
    accepting: bool = False
    in_recovery: bool = True
    following: Upstream | None = None
    slots: set[str] = field(default_factory=set)
    k: int = 1
    sync_names: frozenset[str] = frozenset()
    promoting_to: int | None = None
    waiting: list[tuple[int, int]] = field(default_factory=list)
    writable_from: int = 0

    @property
    def end(self) -> int:
        return len(self.log)

    @property
    def position(self) -> Position:
        return Position(self.history, self.timeline, Lsn(self.end))

    @property
    def writable(self) -> bool:
        return self.running and self.accepting and not self.in_recovery

    def start(self, *, standby: bool, following: Upstream | None = None) -> None:
        assert not self.running
        self.running, self.in_recovery, self.following = True, standby, following
        self.writable_from = self.end

    def end_processes(self) -> None:
        self.running = self.accepting = False
        self.following = self.promoting_to = None
        self.waiting.clear()

    def work(self, fresh_record: int) -> None:
        """Do what PostgreSQL does by itself: come up, end a promotion."""
        if self.running and not self.accepting and self.end >= self.needs:
            self.accepting = True
        if self.accepting and self.promoting_to is not None:
            self.history = (*self.history, Switch(self.timeline, Lsn(self.end)))
            self.timeline, self.promoting_to = self.promoting_to, None
            self.in_recovery, self.writable_from = False, self.end
            self.log.append(fresh_record)

    def write(self, record: int) -> int:
        self.log.append(record)
        return self.end

    def copy_from(self, source: Server) -> None:
        """Take another's data, as a clone or a rewind does: its last WAL makes them consistent."""
        fork = int(source.history[-1].lsn) if source.history else 0
        self.log = source.log[: max(fork + 1, source.end - 2)]
        self.timeline, self.history = source.timeline, source.history
        self.slots, self.following = set(), None
        self.needs = source.end


def connected(standby: Server | None, upstream: Server | None) -> bool:
    """Whether a standby's connection is let in: PostgreSQL refuses a WAL sender whose slot it lacks."""
    return (
        standby is not None
        and upstream is not None
        and standby.running
        and standby.in_recovery
        and standby.following is not None
        and upstream.running
        and upstream.accepting
        and standby.following.name in upstream.slots
    )


def stream(standby: Server, upstream: Server, most: int) -> bool:
    """Receive and flush up to ``most`` records; False when the histories do not allow to stream.

    PostgreSQL compares timelines and positions only; that the records before agree as well is what
    the protocol promises (I9), so it is asserted here.
    """
    ends = {switch.timeline: int(switch.lsn) for switch in upstream.history} | {
        upstream.timeline: upstream.end
    }
    if standby.timeline not in ends or standby.end > ends[standby.timeline]:
        return False
    assert upstream.log[: standby.end] == standby.log, "I9: the same position, other records"
    path = [*upstream.history, Switch(upstream.timeline, Lsn(upstream.end))]
    standby.log += upstream.log[standby.end : standby.end + most]
    index = [step.timeline for step in path].index(standby.timeline)
    while index + 1 < len(path) and standby.end > path[index].lsn:
        index += 1
    standby.timeline, standby.history = path[index].timeline, tuple(path[:index])
    return True


def acknowledged(primary: Server, flushed: dict[str, int]) -> list[int]:
    """Take out the commits that ``k`` members of the running sync set have flushed, by name."""
    if primary.k == 0:
        done, primary.waiting = [record for _, record in primary.waiting], []
        return done
    furthest: dict[str, int] = {}
    for name in primary.sync_names & flushed.keys():
        parsed = parse_standby_name(name)
        assert parsed is not None
        furthest[parsed.member] = max(furthest.get(parsed.member, 0), flushed[name])
    positions = sorted(furthest.values(), reverse=True)
    safe = positions[primary.k - 1] if len(positions) >= primary.k else 0
    done = [record for at, record in primary.waiting if at <= safe]
    primary.waiting = [(at, record) for at, record in primary.waiting if at > safe]
    return done
