"""What every operation of the simulated port stands on: the postmaster that is held, files, and waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from common.errors import PostgresSilent, PostgresUnavailable
from common.model.wal import Lsn
from common.runtime.clock import Clock
from keeper.postgres.port import Killed, Source, StopMode, SyncSetting
from keeper.postgres.sql import STATEMENT_LIMIT_S
from keeper.postgres.waiting import Deadline
from tests.sim.postgres.host import SimHost
from tests.sim.postgres.server import Server

_LOOK_AGAIN_S = 0.25
_POLL_S = 0.01


class Link:
    """A keeper's hold on its host's PostgreSQL."""

    def __init__(self, host: SimHost, clock: Clock) -> None:
        self.host = host
        self.clock = clock
        self._held: Server | None = None

    # The postmaster.

    @property
    def running(self) -> Server:
        """The start that is held; raises PostgresUnavailable when there is none."""
        if self._held is None or not self._held.postmaster_alive:
            raise PostgresUnavailable("PostgreSQL does not run")
        return self._held

    @property
    def start_id(self) -> str | None:
        held = self._held
        return held.start_id if held is not None and held.postmaster_alive else None

    def adopt(self) -> str | None:
        if self.start_id is None:
            self._held = self.host.server
        return self.start_id

    def let_go(self) -> None:
        self._held = None

    def spawn(self) -> str:
        self._held = self.host.spawn()
        return self._held.start_id

    async def wait_until_accepting(self, timeout_s: float) -> None:
        deadline = self.clock.monotonic() + timeout_s
        while True:
            held = self._held
            if held is None or not held.postmaster_alive:
                said = f": {' | '.join(held.log[-8:])}" if held else ""
                raise PostgresUnavailable(f"PostgreSQL ended while it started{said}")
            if held.accepting and not held.life.paused:
                return
            left_s = deadline - self.clock.monotonic()
            if left_s <= 0:
                raise PostgresUnavailable(f"PostgreSQL takes no connection after {timeout_s:g} s")
            await held.changes.wait(min(_LOOK_AGAIN_S, left_s))

    async def wait_until_down(self) -> None:
        held = self._held
        while held is not None and held.postmaster_alive:
            await held.ends.wait(None)

    async def stop(self, mode: StopMode, timeout_s: float) -> Killed:
        if self.start_id is not None:
            held = self.running
            held.life.do(held.stop, mode)
            deadline = self.clock.monotonic() + timeout_s
            while held.postmaster_alive and (left_s := deadline - self.clock.monotonic()) > 0:
                await held.ends.wait(left_s)
        return await self.kill()

    async def shut_down(self, timeout_s: float) -> Lsn | None:
        """Where the shutdown record begins, once pg_control says "shut down"."""
        deadline = self.clock.monotonic() + timeout_s
        if self.start_id is not None:
            held = self.running
            held.life.do(held.stop, "fast")
        while True:
            ended = self.start_id is None
            await self.host.read_disk()
            control = self.host.present.control
            if control.state == "shut down":
                return control.checkpoint_lsn
            if ended or self.clock.monotonic() > deadline:
                return None
            await self.clock.sleep(_POLL_S)

    async def kill(self) -> Killed:
        await self.clock.sleep(self.host.engine.draw(self.host.engine.delays.kill_s))
        return self.host.kill()

    def why_lost(self) -> str:
        held, data = self._held, self.host.data
        if held is None or not held.postmaster_alive:
            return ""
        if data is None:
            return f"the data directory of {self.host.name} is gone"
        if data is not held.directory:
            return f"the data directory of {self.host.name} is another one than its PostgreSQL works in"
        return f"the data directory of {self.host.name} has lost its control file" if data.maimed else ""

    async def restart_in_recovery(self, *, without: tuple[int, ...], timeout_s: float) -> None:
        killed = await self.stop("fast", timeout_s)
        if killed.silenced:
            raise PostgresUnavailable(f"processes {killed.silenced} do not end: PostgreSQL cannot start")
        await self.host.write_to_disk()
        self.host.present.standby_signal = True
        for timeline in without:
            self.host.present.histories.pop(timeline, None)
        await self.prepare_recovery()
        self.spawn()
        await self.wait_until_accepting(timeout_s)

    # Files.

    async def prepare_recovery(self) -> None:
        """Write ``standby.signal``; no number stays reserved beyond the greatest real timeline."""
        await self.host.write_to_disk()
        data = self.host.present
        data.standby_signal = True
        greatest = data.greatest_timeline
        for timeline in [each for each in data.histories if each > greatest]:
            del data.histories[timeline]

    async def write_settings(self, *, source: Source | None, sync: SyncSetting) -> None:
        await self.write_source(source)
        await self.write_sync(sync)

    async def write_source(self, source: Source | None) -> None:
        await self.host.write_to_disk()
        data = self.host.present
        data.settings = replace(data.settings, source=source)

    async def write_sync(self, sync: SyncSetting) -> None:
        await self.host.write_to_disk()
        data = self.host.present
        data.settings = replace(data.settings, sync=sync)

    # A running server.

    async def ask(self, limit_s: float = STATEMENT_LIMIT_S) -> Server:
        """One statement: returns the server that has answered it.

        Raises PostgresUnavailable when it does not within the limit, or ends, or takes no connection.
        """
        server = self.running
        try:
            async with asyncio.timeout(limit_s):
                answered = await server.ask()
        except TimeoutError as error:
            raise PostgresSilent(f"PostgreSQL did not answer within {limit_s:g} s") from error
        if not answered:
            raise PostgresUnavailable("PostgreSQL: the connection failed, it starts or has ended")
        return server

    async def until(
        self, server: Server, deadline: Deadline, holds: Callable[[], bool], still: str | Callable[[], str]
    ) -> None:
        """Wait until something holds of a server that goes on running; ``still`` says what is missing."""
        while True:
            if not server.postmaster_alive:
                raise PostgresUnavailable("PostgreSQL: the connection was lost, it has ended")
            if holds() and not server.life.paused:
                return
            await deadline.pause(0, still if isinstance(still, str) else still())
            await server.changes.wait(min(_LOOK_AGAIN_S, deadline.left_s))
