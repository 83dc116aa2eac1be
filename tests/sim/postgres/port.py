"""The Postgres port on a simulated server: what the real one does, in the same order, step by step.

Between any two steps the keeper may be killed: what it has done by then stays, the rest never happens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from common.errors import InvalidSpec, PostgresUnavailable
from common.model.spec import PostgresSpec
from common.model.wal import ZERO, Lsn, Switch
from common.runtime.clock import Clock
from keeper.postgres.access import render_hba, render_ident
from keeper.postgres.parameters import check_parameters
from keeper.postgres.port import (
    NOBODY,
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
    Slot,
    Source,
    StopMode,
    SyncSetting,
    WalSender,
)
from keeper.postgres.replication import sync_names
from tests.sim.postgres import lives, primary, standby
from tests.sim.postgres.host import SimHost
from tests.sim.postgres.link import Link

_DISK_BYTES = 1 << 40


class SimPostgres:
    """One keeper's hold on the PostgreSQL of its host; a new keeper makes a new one."""

    def __init__(self, host: SimHost, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self._link = Link(host, clock)
        self._heard: tuple[object, float] = (None, 0.0)

    # The data directory.

    async def inspect(self) -> DataState:
        """See the port."""
        return await lives.inspect(self._link)

    async def recover(self) -> DataState:
        """See the port."""
        await lives.recover(self._link)
        return await self.inspect()

    async def mark(self, incarnation: str) -> None:
        """See the port."""
        await self._host.write_to_disk()
        self._host.present.marker = incarnation

    async def initialize(self, incarnation: str, spec: PostgresSpec) -> str:
        """See the port."""
        return await lives.initialize(self._link, incarnation, spec)

    async def clone(
        self,
        source: Source,
        incarnation: str,
        spec: PostgresSpec,
        *,
        progress: Callable[[int, int], None],
        timeout_s: float,
    ) -> None:
        """See the port."""
        await lives.clone(self._link, source, incarnation, spec, progress=progress, timeout_s=timeout_s)

    async def rewind(
        self, source: Source, incarnation: str, spec: PostgresSpec, *, timeline: int, timeout_s: float
    ) -> None:
        """See the port."""
        await lives.rewind(self._link, source, incarnation, spec, timeline=timeline, timeout_s=timeout_s)

    async def discard_old(self) -> None:
        """See the port."""
        await lives.discard_old(self._link)

    # Processes.

    async def adopt(self) -> str | None:
        """See the port."""
        return self._link.adopt()

    async def start(
        self, spec: PostgresSpec, *, source: Source | None = None, writable: SyncSetting | None = None
    ) -> str:
        """See the port."""
        host = self._host
        if self._link.adopt() is not None:
            raise PostgresUnavailable("PostgreSQL runs already")
        if host.rewinding:
            raise PostgresUnavailable("the data directory was left half done by a rewind")
        killed = await self._link.kill()
        if killed.silenced:
            raise PostgresUnavailable(f"processes {killed.silenced} do not end: PostgreSQL cannot start")
        if writable is None:
            await self._link.prepare_recovery()
            await self._link.write_settings(source=source, sync=NOBODY)
        else:
            await self._link.write_settings(source=None, sync=writable)
        host.present.alter_system.clear()
        host.present.spec = spec
        if writable is not None:
            await host.write_to_disk()
            host.present.standby_signal = False
        return self._link.spawn()

    async def wait_until_accepting(self, timeout_s: float) -> None:
        """See the port."""
        await self._link.wait_until_accepting(timeout_s)

    async def wait_until_down(self) -> None:
        """See the port."""
        await self._link.wait_until_down()

    @property
    def start_id(self) -> str | None:
        """See the port."""
        return self._link.start_id

    async def stop(self, mode: StopMode, timeout_s: float) -> Killed:
        """See the port."""
        return await self._link.stop(mode, timeout_s)

    async def shut_down(self, timeout_s: float) -> Lsn | None:
        """See the port."""
        return await self._link.shut_down(timeout_s)

    async def kill(self) -> Killed:
        """See the port."""
        return await self._link.kill()

    async def why_lost(self) -> str:
        """See the port."""
        return self._link.why_lost()

    async def set_remains_aside(self) -> None:
        """See the port."""
        await lives.set_remains_aside(self._link)

    # A running server.

    async def observe(self) -> Observation:
        """See the port."""
        server = await self._link.ask()
        directory, startup = server.directory, server.startup
        in_recovery = server.in_recovery
        receiver = startup.receiver if in_recovery else None
        shown = receiver if receiver is not None and receiver.state != "connecting" else None
        wants = server.running.source
        return Observation(
            version=160000,
            system_identifier=directory.system_identifier,
            start_id=server.start_id,
            in_recovery=in_recovery,
            timeline=server.timeline,
            lsn=server.replayed if in_recovery else server.end,
            flush=(directory.wal.flushed if shown else ZERO) if in_recovery else directory.wal.flushed,
            history=self._history(server.timeline),
            replay_paused=startup.paused,
            replay_delay_s=0.0 if in_recovery else None,
            receiver=Receiver(
                status="streaming",
                slot=shown.source.name,
                host=wants.host if wants else shown.source.host,
                port=wants.port if wants else shown.source.port,
                silent_s=self._silent_s((shown.pid, shown.messages)),
            )
            if shown
            else None,
            following=wants.name if in_recovery and wants else "",
            startup_waits_for=startup.waits_for if in_recovery else "",
            synchronous_standby_names=sync_names(server.running.sync),
            senders=tuple(
                WalSender(each.pid, each.name, each.state, each.sent, each.flush, each.replay)
                for each in server.senders.values()
            ),
            slots=tuple(
                Slot(name, slot.restart_lsn, "lost" if slot.lost else "reserved", server.is_active(name))
                for name, slot in directory.slots.items()
            ),
            clients=len(server.backends),
            undone=tuple(sorted(server.overridden)),
        )

    def _history(self, timeline: int) -> tuple[Switch, ...]:
        return self._host.present.history(timeline)

    def _silent_s(self, heard: object) -> float:
        now = self._clock.monotonic()
        if heard != self._heard[0]:
            self._heard = (heard, now)
        return now - self._heard[1]

    async def write_through(self, place: DiskPlace) -> None:
        """See the port; data and WAL lie on one disk here."""
        if place == "data":
            await self._host.write_to_disk()

    async def room(self) -> tuple[Room, ...]:
        """See the port."""
        free_bytes = 0 if self._host.disk_full else _DISK_BYTES
        return (Room("data", f"/{self._host.name}/data", free_bytes, _DISK_BYTES),)

    async def probe(self, timeout_s: float) -> None:
        """See the port."""
        await self._link.ask(timeout_s)

    async def configure(self, spec: PostgresSpec) -> tuple[str, ...]:
        """See the port; parameters never wait for a restart here."""
        check_parameters(spec.parameters)
        render_hba(spec, "postgres")
        render_ident(spec, (), "postgres")
        await self._host.write_to_disk()
        self._host.present.spec = spec
        self._host.present.alter_system.clear()
        self._link.running.reload()
        await self._link.ask()
        return ()

    async def seal(self, timeout_s: float) -> FinalPosition:
        """See the port."""
        return await standby.seal(self._link, timeout_s)

    async def copy_slots(self, term: int) -> tuple[str, ...]:
        """See the port."""
        return await primary.copy_slots(self._link, term)

    async def keep_slots(self, wanted: Mapping[str, Lsn], *, drop_others: bool) -> None:
        """See the port."""
        await primary.keep_slots(self._link, wanted, drop_others=drop_others)

    async def examine(self, names: Sequence[str]) -> Examination:
        """See the port; the simulation knows no parameters and no collations."""
        del names
        await self._link.ask()
        return Examination({}, {})

    async def judge(self, spec: PostgresSpec) -> tuple[str, ...]:
        """See the port; PostgreSQL takes here whatever our own rules let through."""
        try:
            check_parameters(spec.parameters)
        except InvalidSpec as error:
            return (str(error),)
        return ()

    async def oldest_wal(self) -> Lsn:
        """See the port."""
        await self._link.ask()
        return self._link.running.directory.wal.kept_from

    async def promote(self, order: PromotionOrder, timeout_s: float) -> Promoted:
        """See the port."""
        return await standby.promote(self._link, order, timeout_s)

    async def check_promotion(self, order: PromotionOrder) -> Promoted:
        """See the port."""
        return await standby.check_promotion(self._link, order)

    async def follow(self, source: Source, lineage: Collection[int], timeout_s: float) -> None:
        """See the port."""
        await standby.follow(self._link, source, lineage, timeout_s)

    async def apply_sync(
        self, target: SyncSetting, in_force: Collection[SyncSetting], timeout_s: float
    ) -> Lsn:
        """See the port."""
        return await primary.apply_sync(self._link, target, in_force, timeout_s)

    async def confirm(self, sets: Collection[SyncSetting], timeout_s: float) -> Lsn:
        """See the port."""
        return await primary.confirm(self._link, sets, timeout_s)

    async def checkpoint(self, timeout_s: float) -> None:
        """See the port."""
        await primary.checkpoint(self._link, timeout_s)

    async def ensure_roles(self) -> None:
        """See the port; a name and a password are nothing that could go wrong here."""
        await self._link.ask()

    async def reload(self) -> None:
        """See the port."""
        self._link.running.reload()

    async def close(self) -> None:
        """See the port."""
        self._link.let_go()
