"""A data directory: what lies on disk, whether a server runs on it or not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from common.model.spec import PostgresSpec
from common.model.wal import ZERO, Lsn
from keeper.postgres.history import without_empty_steps
from keeper.postgres.port import NOBODY, ControlData, Source, SyncSetting
from tests.sim.postgres.wal import RECORD_BYTES, START, Files, History, Record, Wal


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration files say."""

    source: Source | None = None
    sync: SyncSetting = NOBODY


@dataclass
class KeptSlot:
    """A physical slot; ``lost`` when WAL that it needs was removed."""

    restart_lsn: Lsn | None = None
    lost: bool = False


@dataclass
class Directory:
    """One data directory.

    ``alter_system`` is what somebody put into postgresql.auto.conf: it wins over ``settings``.
    ``torn``: a rewind has begun to overwrite it; nothing on it can be relied on.
    ``maimed``: an interrupted removal has left it without its control file.
    """

    system_identifier: str
    wal: Wal
    control: ControlData
    histories: dict[int, History] = field(default_factory=dict)
    settings: Settings = Settings()
    alter_system: dict[str, object] = field(default_factory=dict)
    spec: PostgresSpec = field(default_factory=PostgresSpec)
    slots: dict[str, KeptSlot] = field(default_factory=dict)
    standby_signal: bool = False
    marker: str | None = None
    torn: bool = False
    maimed: bool = False

    @classmethod
    def fresh(cls, system_identifier: str) -> Directory:
        """What initdb makes."""
        wal = Wal()
        record = wal.write(1, "shutdown", RECORD_BYTES)
        wal.persist()
        control = ControlData(system_identifier, "shut down", 1, START, record.start, ZERO, 0)
        return cls(system_identifier, wal, control)

    def copied(self) -> Directory:
        """As ``cp -a`` copies it while no server runs."""
        return replace(
            self,
            wal=self.wal.copy(self.wal.end),
            histories=dict(self.histories),
            alter_system=dict(self.alter_system),
            slots={name: replace(slot) for name, slot in self.slots.items()},
        )

    @property
    def effective(self) -> Settings:
        """The settings with what overrides them."""
        found = self.settings
        source = self.alter_system.get("primary_conninfo")
        sync = self.alter_system.get("synchronous_standby_names")
        if isinstance(source, Source):
            found = replace(found, source=source)
        if isinstance(sync, SyncSetting):
            found = replace(found, sync=sync)
        return found

    @property
    def greatest_timeline(self) -> int:
        control = self.control
        real = [timeline for timeline, history in self.histories.items() if history]
        return max(0, control.checkpoint_timeline, control.minimum_recovery_timeline, *real)

    @property
    def real_histories(self) -> Files:
        return {timeline: history for timeline, history in self.histories.items() if history}

    def history(self, timeline: int) -> History:
        """As the keeper reads it."""
        return without_empty_steps(self.histories.get(timeline, ()))

    def checkpoint(self, record: Record, state: str) -> None:
        """Take a checkpoint record into the control data."""
        self.control = replace(
            self.control,
            state=state,
            checkpoint_timeline=record.timeline,
            redo_lsn=record.start,
            checkpoint_lsn=record.start,
        )

    def must_replay_until(self, position: Lsn, timeline: int) -> None:
        """Until there the data are not consistent; also what a standby's data pages rely on."""
        self.control = replace(
            self.control, minimum_recovery_lsn=position, minimum_recovery_timeline=timeline
        )

    def in_state(self, state: str) -> None:
        self.control = replace(self.control, state=state)

    def remove_wal(self, keep_bytes: int, slot_keep_bytes: int, segment_bytes: int) -> None:
        """Remove WAL files that neither ``wal_keep_size`` nor a slot holds (``KeepLogSeg``)."""
        end = self.wal.flushed
        wanted = min(self.control.redo_lsn, max(0, end - keep_bytes))
        held = [slot.restart_lsn for slot in self.slots.values() if slot.restart_lsn and not slot.lost]
        if held:
            wanted = min(wanted, max(min(held), end - slot_keep_bytes))
        kept_from = Lsn(wanted - wanted % segment_bytes)
        if kept_from <= self.wal.kept_from:
            return
        self.wal.kept_from = kept_from
        for slot in self.slots.values():
            if slot.restart_lsn is not None and slot.restart_lsn < kept_from:
                slot.lost, slot.restart_lsn = True, None
