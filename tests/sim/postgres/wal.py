"""The write-ahead log of a data directory as records, and PostgreSQL's rules about timelines."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from common.model.wal import ZERO, Lsn, Switch

START: Final = Lsn(0x1000028)
RECORD_BYTES: Final = 0x78

Kind = Literal["commit", "message", "rows", "checkpoint", "shutdown", "end_of_recovery"]
"""``rows``: what a transaction has written that has not committed, and never will."""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One record: the same object on every member that got it, so that copies can be told from twins."""

    timeline: int
    start: Lsn
    end: Lsn
    kind: Kind
    commit: int | None = None


@dataclass
class Wal:
    """The log, and with it all data: ``records`` holds whole ones only.

    ``written`` has reached the kernel (it survives the processes), ``flushed`` the disk (it survives
    the host); both may end inside a record that has come in part. Files before ``kept_from`` are gone.
    """

    records: list[Record] = field(default_factory=list)
    written: Lsn = START
    flushed: Lsn = START
    kept_from: Lsn = ZERO

    def __post_init__(self) -> None:
        self._ends = [record.end for record in self.records]

    @property
    def end(self) -> Lsn:
        """The end of the last whole record."""
        return self.records[-1].end if self.records else START

    def write(self, timeline: int, kind: Kind, size_bytes: int, commit: int | None = None) -> Record:
        """Insert a record; it is neither written nor flushed yet."""
        start = self.end
        record = Record(timeline, start, Lsn(start + size_bytes), kind, commit)
        self.append(record)
        return record

    def append(self, record: Record) -> None:
        self.records.append(record)
        self._ends.append(record.end)

    def count_until(self, position: Lsn) -> int:
        """How many whole records lie before a position."""
        return bisect_right(self._ends, position)

    def between(self, after: Lsn, until: Lsn) -> list[Record]:
        """The whole records that end after the first and not after the second position."""
        return self.records[self.count_until(after) : self.count_until(until)]

    def last_until(self, position: Lsn) -> Record | None:
        count = self.count_until(position)
        return self.records[count - 1] if count else None

    def cut(self, position: Lsn) -> None:
        """Lose everything after a position."""
        count = self.count_until(position)
        del self.records[count:], self._ends[count:]
        self.written = Lsn(min(self.written, position))
        self.flushed = Lsn(min(self.flushed, position))

    def persist(self) -> None:
        """Everything is on disk."""
        self.written = self.flushed = self.end

    def copy(self, until: Lsn) -> Wal:
        """Another directory's copy, complete on its disk."""
        copied = Wal(self.records[: self.count_until(until)], kept_from=self.kept_from)
        copied.persist()
        return copied


History = tuple[Switch, ...]
Files = Mapping[int, History]
"""History files by timeline; an empty history is an empty file."""


def newest(files: Files, start: int) -> int:
    """The last number of the unbroken row of files after ``start`` (``findNewestTimeLine``)."""
    while start + 1 in files:
        start += 1
    return start


def path_of(files: Files, timeline: int) -> History:
    """The history of a timeline with itself at the end, without one."""
    return (*files.get(timeline, ()), Switch(timeline, Lsn((1 << 64) - 1)))


def timeline_at(path: Iterable[Switch], position: Lsn) -> int:
    """The timeline that the byte after a position belongs to (``tliOfPointInHistory``)."""
    last = 0
    for switch in path:
        last = switch.timeline
        if position < switch.lsn:
            break
    return last


def left_at(path: Iterable[Switch], timeline: int) -> Lsn | None:
    """Where a path leaves a timeline; None when it never is on it."""
    return next((switch.lsn for switch in path if switch.timeline == timeline), None)


def on_path(path: History, record: Record) -> bool:
    """Whether a recovery along a path replays a record."""
    left = left_at(path, record.timeline)
    return left is not None and record.end <= left
