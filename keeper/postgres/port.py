"""The Postgres port: what a keeper asks of the PostgreSQL beside it.

:class:`~keeper.postgres.server.PostgresServer` does it with a real server. Every call ends within its
``timeout_s`` (seconds) or a limit of its own, and raises
:class:`~common.errors.PostgresUnavailable` when PostgreSQL, or one of its programs, failed or did
not answer in time; every call may then be made again, and starts from what is true by then.

Calls are made one after the other; ``observe``, ``examine``, ``judge``, ``probe``, ``confirm``, the questions
to the disks and the waits may run beside any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from common.model.spec import PostgresSpec
from common.model.wal import Lsn
from keeper.postgres.values import (
    NOBODY,
    ControlData,
    DataKind,
    DataState,
    DiskPlace,
    Examination,
    FinalPosition,
    Killed,
    Observation,
    Promoted,
    PromotionOrder,
    Receiver,
    Room,
    SettingSeen,
    Slot,
    Source,
    StopMode,
    SyncSetting,
    WalSender,
    WorkKind,
)

__all__ = [
    "NOBODY",
    "ControlData",
    "DataKind",
    "DataState",
    "DiskPlace",
    "Examination",
    "FinalPosition",
    "Killed",
    "Observation",
    "Postgres",
    "Promoted",
    "PromotionOrder",
    "Receiver",
    "Room",
    "SettingSeen",
    "Slot",
    "Source",
    "StopMode",
    "SyncSetting",
    "WalSender",
    "WorkKind",
]


class Postgres(Protocol):
    """The PostgreSQL of one keeper, and its data directory."""

    # The data directory, whether PostgreSQL runs or not.

    async def inspect(self) -> DataState:
        """Say what lies on disk; asks no server."""

    async def recover(self) -> DataState:
        """Clear up after work that a killed keeper left half done, then inspect; once, at the keeper's start.

        Programs of that work which still run are killed. A clone that had reached its ``swap`` is
        finished: the data directory then carries the clone's marker. Before that, and for initdb, only
        the directory beside goes, and the data directory is as it was, in its old life. A ``rewind``
        stays ``unfinished``: that directory can only be cloned.
        """

    async def mark(self, incarnation: str) -> None:
        """Write the incarnation into the data directory, durably; the keeper has kept it before."""

    async def initialize(self, incarnation: str, spec: PostgresSpec) -> str:
        """Create the first data directory and return its system identifier.

        Order: record ``initdb`` as under way -> initdb beside -> configuration, marker -> rename.
        Raises UnsafeOperation when the data directory is not empty.
        """

    async def clone(
        self,
        source: Source,
        incarnation: str,
        spec: PostgresSpec,
        *,
        progress: Callable[[int, int], None],
        timeout_s: float,
    ) -> None:
        """Copy a primary into a directory beside, then swap; PostgreSQL must be stopped by the swap.

        The caller has kept the new incarnation. Order: record ``clone`` -> pg_basebackup into
        ``data.new`` (its free space checked against the announced size) -> configuration that follows
        nobody, marker, ``standby.signal``, fsync -> record ``swap`` -> ``data`` becomes ``data.old``,
        ``data.new`` becomes ``data`` -> the record goes. Interrupted before ``swap``, the old
        directory is as it was. ``progress`` gets bytes done and bytes in all.
        The slot must exist on the source.
        """

    async def rewind(
        self, source: Source, incarnation: str, spec: PostgresSpec, *, timeline: int, timeout_s: float
    ) -> None:
        """Turn the stopped, cleanly shut down data directory back to where ``source`` forked, in place.

        ``timeline`` is the source's: it must have made a CHECKPOINT on it, which is waited for.
        The caller has kept the new incarnation. Order: record ``rewind`` -> pg_rewind -> configuration
        that follows nobody, ``standby.signal``, marker, fsync -> the record goes. Interrupted in
        between, only a clone helps.
        """

    async def discard_old(self) -> None:
        """Remove the directory that a clone replaced; called when the clone runs."""

    # Processes.

    async def adopt(self) -> str | None:
        """Take over a postmaster that already runs on our data directory; its start id, or None.

        Raises UnsafeOperation when it runs at another port than this keeper was given.
        """

    async def start(
        self, spec: PostgresSpec, *, source: Source | None = None, writable: SyncSetting | None = None
    ) -> str:
        """Start PostgreSQL and return its start id as soon as the postmaster has been spawned.

        ``writable`` is given only after a promotion that was reported as finished (I6), with the sync
        setting to start with; any other start is one in recovery that follows ``source`` or nobody.
        Order: nothing else of the data directory runs -> (in recovery: ``standby.signal`` written and
        fsynced; empty history files above the greatest real one removed; settings raised to what the
        control data ask for) -> configuration written and fsynced -> spawn. A start in recovery
        always counts nobody as synchronous.
        """

    async def wait_until_accepting(self, timeout_s: float) -> None:
        """Return once PostgreSQL takes connections; raises with the end of its log when it died."""

    async def wait_until_down(self) -> None:
        """Return, within milliseconds, when the postmaster has ended; at once when none is held."""

    @property
    def start_id(self) -> str | None:
        """The start that is held by ``start`` or ``adopt`` and has not ended."""

    async def stop(self, mode: StopMode, timeout_s: float) -> Killed:
        """Ask PostgreSQL to stop; at its end, or after ``timeout_s``, kill what is left as ``kill`` does."""

    async def shut_down(self, timeout_s: float) -> Lsn | None:
        """Make a fast stop of a primary; return where its shutdown record begins, as soon as that counts.

        It does once ``pg_control`` says "shut down": no session is left, and none will be. Processes that
        send the record to standbys may be left, and are nobody's business but ``kill``'s. None: it has not
        come so far within ``timeout_s``, or has ended in another way.
        """

    async def kill(self) -> Killed:
        """Make it *down* (protocol, section 1).

        The postmaster first, then every process of the data directory until none is found and nobody
        is attached to its shared memory. A directory that was moved away is followed, if ``why_lost``
        has looked before.
        """

    async def why_lost(self) -> str:
        """Why the running PostgreSQL does not stand on the data directory any more; empty while it does.

        It was removed, moved away, or exchanged for another. Cheap enough for once a second; PostgreSQL
        itself looks once a minute, and does not notice a move at all.
        """

    async def set_remains_aside(self) -> None:
        """Move a directory without control file, as an interrupted removal leaves it, to ``data.old``."""

    # Its disks. These may hang for as long as a disk does, each in a thread of its own: callers do not
    # wait for them in a loop that must go on, and make no second call while one is under way.

    async def write_through(self, place: DiskPlace) -> None:
        """Write a few bytes to a disk of the running server and have them there; raises OSError.

        Nothing is done for ``wal`` on the disk of the data, nor before ``why_lost`` has looked.
        """

    async def room(self) -> tuple[Room, ...]:
        """Say what is free on each disk; raises OSError."""

    # A running server.

    async def observe(self) -> Observation:
        """Look at everything that a report or a decision needs; cheap enough for once a second."""

    async def examine(self, names: Sequence[str]) -> Examination:
        """Look at these parameters, and at what corrupts or locks out; changes nothing."""

    async def judge(self, spec: PostgresSpec) -> tuple[str, ...]:
        """What is wrong with a spec's parameters, each as ``field = value: rule``; nothing is changed.

        PostgreSQL's own programs say it, whether a server runs or not.
        """

    async def probe(self, timeout_s: float) -> None:
        """Run ``SELECT 1`` over a new connection of the superuser, for whom some are reserved.

        Raises PostgresSilent when there was no answer at all; any other error is one.
        """

    async def configure(self, spec: PostgresSpec) -> tuple[str, ...]:
        """Make the operator's parameters and access rules those of the spec, and reload.

        Touches neither upstream nor sync setting. Undoes ALTER SYSTEM on managed parameters. Returns
        the parameters that wait for a restart. Raises InvalidSpec.
        """

    async def seal(self, timeout_s: float) -> FinalPosition:
        """Take no WAL from anybody ever again, then say where ours ends (protocol 5, step 1).

        The caller has stored ``sealed_term`` before. Order: empty upstream written, fsynced and
        reloaded -> paused replay resumed -> WAL receivers terminated -> a new connection shows the
        values -> the startup process has run dry -> no WAL receiver is left -> it has run dry once
        more, and the replay position stands still. Idempotent.
        """

    async def copy_slots(self, term: int) -> tuple[str, ...]:
        """Copy every slot of our scheme and an older term to its name in ``term``; returns the new names."""

    async def keep_slots(self, wanted: Mapping[str, Lsn], *, drop_others: bool) -> None:
        """Have each wanted slot; on a standby advance it to its position, never beyond replay.

        With ``drop_others`` slots of our naming scheme that are not wanted go, active ones excepted;
        slots of anybody else are never touched. On a primary the positions are not used.
        """

    async def oldest_wal(self) -> Lsn:
        """Where the WAL begins that is still there: whose own ends before it can follow no more."""

    async def promote(self, order: PromotionOrder, timeout_s: float) -> Promoted:
        """Promote, to the letter of the order (protocol 5, step 3). The caller has recorded that it begins.

        Order: position checked -> sync setting written and reloaded -> empty history files for lower
        free numbers -> a new connection shows the sync setting -> promote -> recovery has ended ->
        timeline and fork point checked. Raises InvariantViolated, PostgreSQL killed, when it came up
        on another number or from another point.
        """

    async def check_promotion(self, order: PromotionOrder) -> Promoted:
        """Check a server that left recovery while nobody watched, as ``promote`` does at its end."""

    async def follow(self, source: Source, lineage: Collection[int], timeout_s: float) -> None:
        """Stream from ``source``: written, fsynced, reloaded; returns when the setting is in force.

        ``lineage`` holds the view's timelines. PostgreSQL that has set its mind on a timeline that was
        abandoned (its history file lies in pg_wal) would never follow another: such files are removed
        and PostgreSQL is restarted, in recovery, following ``source``.
        """

    async def apply_sync(
        self, target: SyncSetting, in_force: Collection[SyncSetting], timeout_s: float
    ) -> Lsn:
        """Apply a sync set and return the flush position that ``k`` of it hold (protocol 6, step 2).

        ``in_force`` holds every set of the view, ``target`` among them. Order: written and reloaded ->
        a new connection shows it -> a record R -> every older WAL sender named in any set has flushed
        R, or was terminated and is gone -> (when k leaves zero: a CHECKPOINT) -> the flush position is
        noted -> ``k`` different members of ``target`` have flushed it.
        """

    async def confirm(self, sets: Collection[SyncSetting], timeout_s: float) -> Lsn:
        """Write a record now and wait until ``k`` different members of every set have flushed it.

        This is I7 after a start, and the attestation of section 7. A set with k = 0 asks for nobody.
        """

    async def checkpoint(self, timeout_s: float) -> None:
        """Run CHECKPOINT: after a promotion, so that a rewind sees it, and before a switchover."""

    async def ensure_roles(self) -> None:
        """Have the replication and rewind roles, with their passwords, on a primary."""

    async def reload(self) -> None:
        """Have PostgreSQL read its configuration files."""

    async def close(self) -> None:
        """Let go of connections and descriptors; PostgreSQL runs on."""
