"""What data directories and servers hold, as the invariants ask it: functions of what is there."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from common.model.names import standby_name
from common.model.view import ClusterView, SyncSet
from keeper.postgres.port import SyncSetting
from tests.sim.ledger import Ledger
from tests.sim.postgres.directory import Directory
from tests.sim.postgres.server import Server
from tests.sim.postgres.wal import Record


def differing(directories: Mapping[str, Directory], view: ClusterView) -> str:
    """Where two directories differ on a timeline of the lineage, in words; empty for nowhere."""
    lineage = {entry.timeline for entry in view.lineage}
    known: dict[tuple[int, int], tuple[Record, str]] = {}
    for name, data in directories.items():
        for record in data.wal.records:
            if record.timeline not in lineage:
                continue
            first, owner = known.setdefault((record.timeline, int(record.start)), (record, name))
            if first is not record:
                return f"{owner} and {name} differ on timeline {record.timeline} from {record.start} on"
    return ""


def last_copy(ledger: Ledger, directory: Directory, others: Collection[Directory]) -> int | None:
    """A promised commit that no other directory has on its disk, if there is one."""
    held = {id(record) for record in directory.wal.records}
    elsewhere: set[int] = set()
    for each in others:
        elsewhere |= set(map(id, each.wal.records[: each.wal.count_until(each.wal.flushed)]))
    return next(
        (
            each.number
            for each in ledger.acknowledged.values()
            if each.is_promised and id(each.record) in held and id(each.record) not in elsewhere
        ),
        None,
    )


def out_of_reach(ledger: Ledger, directories: Collection[Directory], view: ClusterView) -> int | None:
    """A promised commit that a quorum of each set in force may lack, if there is one.

    Where no set asks for a quorum the floor, or a lease, takes its place.
    """
    asking = [each for each in view.sync.in_force if 0 < each.k <= len(each.members)]
    lives = {data.marker: data for data in directories}
    held = [(each.k, [lives[life] for _, life in each.members if life in lives]) for each in asking]
    return next(
        (
            each.number
            for each in ledger.acknowledged.values()
            if held
            and each.is_promised
            and all(sum(holds_flushed(data, each.record) for data in of) < k for k, of in held)
        ),
        None,
    )


def setting(each: SyncSet, term: int) -> SyncSetting:
    """What PostgreSQL must be told for a set, said here once more and not by the keeper's own code."""
    names = frozenset(standby_name(member.uid, member.incarnation, term) for member in each.members)
    return SyncSetting(each.k, names)


def settings_in_use(server: Server) -> list[SyncSetting]:
    """By which sets something may be acknowledged: its senders' copies, and the checkpointer's flag."""
    found = [
        sender.settings for sender in server.senders.values() if sender.counts and not sender.receiver.ended
    ]
    if not server.sync_rep.defined:
        found.append(SyncSetting(0))
    return found


def holds_flushed(data: Directory, record: Record) -> bool:
    wal = data.wal
    if wal.flushed < record.end:
        return False
    found = wal.last_until(record.end)
    return found is record
