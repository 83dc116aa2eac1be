"""The omniscient view of simulated servers: what is where, and who could acknowledge a commit now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from common.model.wal import Lsn
from tests.sim.postgres.directory import Directory
from tests.sim.postgres.host import Fleet, SimHost
from tests.sim.postgres.server import Server


@dataclass(frozen=True, slots=True)
class Acknowledger:
    """A server that takes commits: whose flush its WAL senders would count, and how many it asks for."""

    host: str
    timeline: int
    k: int
    counted: tuple[str, ...]

    @property
    def could(self) -> bool:
        """Whether a commit could be acknowledged without any further change."""
        return self.k == 0 or len(self.counted) >= self.k


def commits(directory: Directory) -> list[tuple[int, int]]:
    """Every commit of a directory with its timeline, in the order of the log."""
    return [(each.timeline, each.commit) for each in directory.wal.records if each.commit is not None]


def commit_ids(directory: Directory, until: Lsn | None = None) -> set[int]:
    """Its commits; with ``until`` those before a position."""
    wal = directory.wal
    records = wal.records if until is None else wal.records[: wal.count_until(until)]
    return {each.commit for each in records if each.commit is not None}


def flushed_commit_ids(directory: Directory) -> set[int]:
    """Its commits that survive the loss of its host."""
    return commit_ids(directory, directory.wal.flushed)


def acknowledgers(fleet: Fleet) -> list[Acknowledger]:
    """Every start, postmaster dead or alive, that is out of recovery and has processes left."""
    return [_acknowledger(host, server) for host, server in _starts(fleet) if not server.in_recovery]


def _starts(fleet: Fleet) -> Iterator[tuple[SimHost, Server]]:
    for host in fleet.hosts.values():
        for server in host.running:
            if server.shutdown is None or not server.shutdown.is_recorded:
                yield host, server  # behind its shutdown record none has a session left


def _acknowledger(host: SimHost, server: Server) -> Acknowledger:
    """By the senders' own copies: the least k among them, since one of them is enough to let go."""
    counting = [each for each in server.senders.values() if each.counts and not each.receiver.ended]
    wanted = [each.settings.k for each in counting]
    k = min(wanted, default=max(1, server.running.sync.k)) if server.sync_rep.defined else 0
    return Acknowledger(host.name, server.timeline, k, tuple(each.name for each in counting))


def common_prefix(one: Directory, other: Directory) -> Lsn:
    """Up to where two directories hold the very same records."""
    agreed = Lsn(0)
    for mine, theirs in zip(one.wal.records, other.wal.records, strict=False):
        if mine is not theirs:
            break
        agreed = mine.end
    return agreed


def same_history(one: Directory, other: Directory) -> bool:
    """I9: whether equal timeline numbers stand for the same records, as far as both go."""
    first = {(each.timeline, each.start): each for each in one.wal.records}
    return all(first.get((each.timeline, each.start), each) is each for each in other.wal.records)
