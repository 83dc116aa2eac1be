"""The Postgres port on a real server: each operation of the port, put together from its module."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from common.errors import InvalidSpec, PostgresUnavailable, UnsafeOperation
from common.model.spec import PostgresSpec
from common.model.wal import Lsn
from common.runtime.apart import apart
from common.runtime.clock import Clock
from keeper.postgres import clone, disks, examine, follow, promote, roles, seal, shutdown, slots, sync
from keeper.postgres.access_check import access_problem
from keeper.postgres.config_files import MAIN_FILE
from keeper.postgres.instance import Instance, PostgresSettings
from keeper.postgres.observe import Observer
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
    Room,
    Source,
    StopMode,
    SyncSetting,
)
from keeper.processes import postmaster_port


class PostgresServer:
    """A real PostgreSQL; see :class:`~keeper.postgres.port.Postgres` for what each method promises."""

    def __init__(self, settings: PostgresSettings, clock: Clock) -> None:
        """Raises InvalidSpec when the settings, or the programs found, cannot serve."""
        self._instance = Instance(settings, clock)
        self._observer = Observer(self._instance)

    # The data directory.

    async def inspect(self) -> DataState:
        """See the port."""
        return await self._instance.directory.inspect()

    async def recover(self) -> DataState:
        """See the port."""
        await self._instance.directory.recover()
        return await self.inspect()

    async def mark(self, incarnation: str) -> None:
        """See the port."""
        await self._instance.directory.mark(incarnation)

    async def initialize(self, incarnation: str, spec: PostgresSpec) -> str:
        """See the port."""
        return await clone.initialize(self._instance, incarnation, spec)

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
        await clone.clone(self._instance, source, incarnation, spec, progress=progress, timeout_s=timeout_s)

    async def rewind(
        self, source: Source, incarnation: str, spec: PostgresSpec, *, timeline: int, timeout_s: float
    ) -> None:
        """See the port."""
        await clone.rewind(self._instance, source, incarnation, spec, timeline=timeline, timeout_s=timeout_s)

    async def discard_old(self) -> None:
        """See the port."""
        await self._instance.directory.discard_old()

    # Processes.

    async def adopt(self) -> str | None:
        """See the port."""
        start_id, wanted = self._instance.adopt(), self._instance.settings.port
        running = postmaster_port(self._instance.layout.data)
        if start_id is not None and running not in {None, wanted}:
            raise UnsafeOperation(
                f"port = {wanted}: PostgreSQL of this directory runs at port {running}, where clients are. "
                f"Give this keeper --port {running}, or stop PostgreSQL before another port is taken"
            )
        return start_id

    async def start(
        self, spec: PostgresSpec, *, source: Source | None = None, writable: SyncSetting | None = None
    ) -> str:
        """See the port.

        A spec that PostgreSQL would refuse does not keep it down: the parameters it last ran with stay.
        """
        instance = self._instance
        files, data = instance.files, instance.layout.data
        if instance.adopt() is not None:
            raise PostgresUnavailable("PostgreSQL runs already")
        await instance.directory.check_usable()
        killed = await instance.kill()
        if killed.silenced:
            raise PostgresUnavailable(f"processes {killed.silenced} do not end: PostgreSQL cannot start")
        if writable is None:
            await instance.directory.signal_standby()
            control = await instance.prepare_recovery()
            await files.write_raised(data, spec, control)
            await files.write_upstream(data, source)
            await files.write_sync(data, NOBODY)
        else:
            await files.write_raised(data, spec, None)
            await files.write_upstream(data, None)
            await files.write_sync(data, writable)
        await self._write_parameters(spec)
        if writable is not None:
            await instance.directory.unsignal_standby()
        return await instance.spawn()

    async def _write_parameters(self, spec: PostgresSpec) -> None:
        files, data = self._instance.files, self._instance.layout.data
        try:
            await files.write_accepted_access(data)
            await files.write_parameters(data, spec)
        except InvalidSpec:
            if not await asyncio.to_thread((data / MAIN_FILE).exists):
                raise
            await files.undo_alter_system(data)

    async def wait_until_accepting(self, timeout_s: float) -> None:
        """See the port."""
        await self._instance.wait_until_accepting(timeout_s)

    async def wait_until_down(self) -> None:
        """See the port."""
        await self._instance.wait_until_down()

    @property
    def start_id(self) -> str | None:
        """See the port."""
        return self._instance.start_id

    async def stop(self, mode: StopMode, timeout_s: float) -> Killed:
        """See the port."""
        return await self._instance.stop(mode, timeout_s)

    async def shut_down(self, timeout_s: float) -> Lsn | None:
        """See the port."""
        return await shutdown.shut_down(self._instance, timeout_s)

    async def kill(self) -> Killed:
        """See the port."""
        return await self._instance.kill()

    async def why_lost(self) -> str:
        """See the port."""
        return await self._instance.why_lost()

    async def set_remains_aside(self) -> None:
        """See the port."""
        await self._instance.directory.set_remains_aside()

    # Its disks.

    async def write_through(self, place: DiskPlace) -> None:
        """See the port."""
        instance, works_in = self._instance, self._instance.works_in
        if works_in is not None:
            data, owner = instance.layout.data, instance.programs.owner
            await apart(lambda: disks.write_through(data, place, works_in, owner))

    async def room(self) -> tuple[Room, ...]:
        """See the port."""
        layout = self._instance.layout
        return await apart(lambda: disks.rooms(layout))

    # A running server.

    async def observe(self) -> Observation:
        """See the port."""
        return await self._observer.observe()

    async def examine(self, names: Sequence[str]) -> Examination:
        """See the port."""
        return await examine.examine(self._instance, names)

    async def judge(self, spec: PostgresSpec) -> tuple[str, ...]:
        """See the port."""
        return await self._instance.files.judge_parameters(spec)

    async def probe(self, timeout_s: float) -> None:
        """See the port."""
        async with self._instance.sql.fresh(timeout_s=timeout_s) as session:
            await session.rows("SELECT 1", timeout_s=timeout_s)

    async def configure(self, spec: PostgresSpec) -> tuple[str, ...]:
        """See the port."""
        instance = self._instance
        files, data = instance.files, instance.layout.data
        if await files.undo_alter_system(data):
            instance.reload()  # before anything of the spec can be refused: it may be the sync setting
        await self._configure_access(spec)
        await files.write_parameters(data, spec)
        if await instance.sql.value("SELECT pg_is_in_recovery()"):
            await files.write_raised(data, spec, (await instance.directory.control()).settings)
        instance.reload()
        async with instance.sql.fresh() as session:
            rows = await session.rows("SELECT name FROM pg_settings WHERE pending_restart ORDER BY name")
        return tuple(name for (name,) in rows)

    async def _configure_access(self, spec: PostgresSpec) -> None:
        """Write the access rules, and put the former ones back when PostgreSQL finds fault with them."""
        instance = self._instance
        before = await instance.files.write_access(instance.layout.data, spec)
        try:
            problem = await access_problem(instance.sql, instance.layout.data, instance.programs.major, spec)
            if problem:
                raise InvalidSpec(problem)
        except BaseException:
            if before is not None:
                await instance.files.put_access(instance.layout.data, before)
            raise
        await instance.files.note_accepted(instance.layout.data)

    async def seal(self, timeout_s: float) -> FinalPosition:
        """See the port."""
        return await seal.seal(self._instance, timeout_s)

    async def copy_slots(self, term: int) -> tuple[str, ...]:
        """See the port."""
        return await slots.copy_slots(self._instance, term)

    async def keep_slots(self, wanted: Mapping[str, Lsn], *, drop_others: bool) -> None:
        """See the port."""
        await slots.keep_slots(self._instance, wanted, drop_others=drop_others)

    async def oldest_wal(self) -> Lsn:
        """See the port."""
        return await slots.oldest_wal(self._instance)

    async def promote(self, order: PromotionOrder, timeout_s: float) -> Promoted:
        """See the port."""
        return await promote.promote(self._instance, order, timeout_s)

    async def check_promotion(self, order: PromotionOrder) -> Promoted:
        """See the port."""
        return await promote.check_promotion(self._instance, order)

    async def follow(self, source: Source, lineage: Collection[int], timeout_s: float) -> None:
        """See the port."""
        await follow.follow(self._instance, source, lineage, timeout_s)

    async def apply_sync(
        self, target: SyncSetting, in_force: Collection[SyncSetting], timeout_s: float
    ) -> Lsn:
        """See the port."""
        return await sync.apply_sync(self._instance, target, in_force, timeout_s)

    async def confirm(self, sets: Collection[SyncSetting], timeout_s: float) -> Lsn:
        """See the port."""
        return await sync.confirm(self._instance, sets, timeout_s)

    async def checkpoint(self, timeout_s: float) -> None:
        """See the port."""
        await sync.checkpoint(self._instance, timeout_s)

    async def ensure_roles(self) -> None:
        """See the port."""
        await roles.ensure_roles(self._instance)

    async def reload(self) -> None:
        """See the port."""
        self._instance.reload()

    async def close(self) -> None:
        """See the port."""
        await self._instance.close()
