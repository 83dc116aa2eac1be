"""The values that the Postgres port takes and returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from common.model.wal import ZERO, Lsn, Switch

DataKind = Literal["absent", "empty", "ours", "foreign"]
"""``foreign`` has files but no PG_VERSION: it is left alone."""

WorkKind = Literal["initdb", "clone", "swap", "rewind"]
"""Long work that has begun on a data directory; ``swap`` is the last step of a clone."""

StopMode = Literal["fast", "immediate"]

DiskPlace = Literal["data", "wal"]
"""Where a server writes; the two may lie on one disk."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much of a disk is free for PostgreSQL's user."""

    place: DiskPlace
    path: str
    free_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SyncSetting:
    """``ANY k (names)``; the default counts nobody, so that every commit waits. Empty only for k = 0."""

    k: int = 1
    names: frozenset[str] = frozenset()


NOBODY = SyncSetting()


@dataclass(frozen=True, slots=True)
class Source:
    """A primary as a standby, a clone or a rewind reaches it; ``name`` is the slot and application name."""

    host: str
    port: int
    name: str


@dataclass(frozen=True, slots=True)
class ControlData:
    """What ``pg_controldata`` says; ``state`` in its own words: "shut down", "in production" ..."""

    system_identifier: str
    state: str
    checkpoint_timeline: int
    redo_lsn: Lsn
    checkpoint_lsn: Lsn
    minimum_recovery_lsn: Lsn
    minimum_recovery_timeline: int
    settings: Mapping[str, int] = field(default_factory=dict)

    @property
    def cleanly_stopped(self) -> bool:
        """Whether a rewind may begin, and a switchover may promote."""
        return self.state in {"shut down", "shut down in recovery"}


@dataclass(frozen=True, slots=True)
class DataState:
    """The data directory as it lies on disk.

    ``marker``: the incarnation it says it is; :func:`keeper.postgres.data.why_another_life` compares
    it with the one that the keeper has kept. ``unfinished``: work that began and never ended; after a
    ``rewind`` the directory is unusable.
    ``greatest_timeline``: of any real history file in it, or of its control data.
    """

    kind: DataKind
    marker: str | None = None
    unfinished: WorkKind | None = None
    version: int | None = None
    control: ControlData | None = None
    greatest_timeline: int = 0
    old_directory_kept: bool = False


@dataclass(frozen=True, slots=True)
class Killed:
    """What ``stop`` and ``kill`` left: nothing, or processes that only sleep uninterruptibly.

    ``silenced`` processes have SIGKILL pending: enough for a promotion elsewhere, not for a start here.
    """

    killed: int = 0
    silenced: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FinalPosition:
    """Where a sealed standby's WAL ends: the end of its last complete record, replayed."""

    system_identifier: str
    timeline: int
    history: tuple[Switch, ...]
    lsn: Lsn


@dataclass(frozen=True, slots=True)
class PromotionOrder:
    """Become primary on exactly ``timeline``, from ``fork`` (the final position), waiting for ``sync``."""

    timeline: int
    fork: Lsn
    sync: SyncSetting


@dataclass(frozen=True, slots=True)
class Promoted:
    """A promotion that has been checked: where the new timeline left the old one."""

    timeline: int
    fork: Lsn
    history: tuple[Switch, ...]


@dataclass(frozen=True, slots=True)
class WalSender:
    """One row of pg_stat_replication; positions are 0/0 while unknown."""

    pid: int
    name: str
    state: str
    sent: Lsn
    flush: Lsn
    replay: Lsn


@dataclass(frozen=True, slots=True)
class Slot:
    """One physical replication slot, foreign ones too; ``wal_status`` as PostgreSQL says it."""

    name: str
    restart_lsn: Lsn | None
    wal_status: str | None
    active: bool


@dataclass(frozen=True, slots=True)
class Receiver:
    """The WAL receiver.

    ``silent_s``: seconds, on the keeper's clock, since it was first seen without a newer message.
    ``upstream_end``: how far the upstream said to be in its last message.
    """

    status: str
    slot: str
    host: str
    port: int
    silent_s: float
    upstream_end: Lsn = ZERO


@dataclass(frozen=True, slots=True)
class Observation:
    """What a running server says, in two round trips.

    ``lsn``: end of WAL of a primary, replayed of a standby. ``flush``: flushed of a primary,
    received and flushed of a standby (0/0 when it has received nothing since its start).
    ``replay_delay_s``: age of the last replayed commit by both hosts' wall clocks, 0 when nothing waits
    to be replayed, None on a primary: for people. ``following``: name of the configured slot, empty for
    nobody. ``clients``: sessions of others than the keeper. ``undone``: managed parameters that
    ALTER SYSTEM, or a command line, overrides. ``pending_restart``: parameters that wait for a restart.
    """

    version: int
    system_identifier: str
    start_id: str
    in_recovery: bool
    timeline: int
    lsn: Lsn
    flush: Lsn = ZERO
    history: tuple[Switch, ...] = ()
    replay_paused: bool = False
    replay_delay_s: float | None = None
    receiver: Receiver | None = None
    following: str = ""
    startup_waits_for: str = ""
    synchronous_standby_names: str = ""
    senders: tuple[WalSender, ...] = ()
    slots: tuple[Slot, ...] = ()
    clients: int = 0
    undone: tuple[str, ...] = ()
    pending_restart: tuple[str, ...] = ()


class SettingSeen(NamedTuple):
    """A parameter as the running server has it, in the terms of ``pg_settings``."""

    value: str
    unit: str | None
    context: str
    pending_restart: bool


@dataclass(frozen=True, slots=True)
class Examination:
    """What a running server says to people who look for trouble.

    ``collations``: by provider, ``libc`` and ``icu``, the version that this host sorts text by.
    ``mismatched_databases``: those whose indexes were made with another one (PostgreSQL 15 and later tell).
    ``hba_errors``: lines of pg_hba.conf that PostgreSQL does not take. ``weak_commits``: roles and databases
    with a ``synchronous_commit`` of their own that waits for less than a standby's flush.
    """

    settings: Mapping[str, SettingSeen]
    collations: Mapping[str, str]
    mismatched_databases: tuple[str, ...] = ()
    tablespaces: tuple[str, ...] = ()
    hba_errors: tuple[str, ...] = ()
    weak_commits: tuple[str, ...] = ()
