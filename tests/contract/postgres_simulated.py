"""The simulated PostgreSQL, for the contract."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

from common.model.wal import Switch
from keeper.postgres.port import Postgres
from tests.contract.postgres_backends import Backend, Group, Member
from tests.sim.clock import SimClock
from tests.sim.loop import SimLoop, simulate
from tests.sim.network import Network
from tests.sim.postgres.backend import Outcome
from tests.sim.postgres.clients import connect
from tests.sim.postgres.directory import Directory
from tests.sim.postgres.host import Fleet, SimHost
from tests.sim.postgres.port import SimPostgres
from tests.support.postgres import FIRST_LIFE

CLIENT: Final = "client"


class _SimMember(Member):
    def __init__(self, uid: str, host: SimHost) -> None:
        super().__init__(uid)
        self.host = host
        self._postgres = self._new()

    def _new(self) -> SimPostgres:
        return SimPostgres(self.host, SystemClockOfLoop())

    @property
    def postgres(self) -> Postgres:
        return self._postgres

    @property
    def address(self) -> tuple[str, int]:
        return self.host.address, self.host.port

    async def commit(self, number: int, *, local: bool = False) -> Outcome:
        try:
            session = await connect(self.host.fleet, CLIENT, *self.address)
        except ConnectionError:
            return "failed"
        try:
            return await session.commit(number, local=local)
        finally:
            session.close()

    async def waiting_commits(self) -> int:
        assert self.host.server is not None
        return len(self.host.server.sync_rep.waiting)

    async def rows(self) -> set[int]:
        session = await connect(self.host.fleet, CLIENT, *self.address)
        try:
            return set(await session.read())
        finally:
            session.close()

    def new_keeper(self) -> Postgres:
        self._postgres = self._new()
        return self._postgres

    async def kill_postmaster(self) -> None:
        self.host.kill_postmaster()

    async def never_hang_up(self) -> None:
        """Nothing: simulated ones never do."""

    async def freeze_receiver(self) -> None:
        server = self.host.server
        assert server is not None
        assert server.startup.receiver is not None
        server.startup.receiver.freeze()

    def put_history(self, timeline: int, history: tuple[Switch, ...]) -> None:
        self.host.present.histories[timeline] = history

    def remove_data(self) -> None:
        self.host.data = None

    def remove_control_file(self) -> None:
        self.host.present.maimed = True

    def histories(self) -> set[int]:
        return set(self.host.present.histories)


class SystemClockOfLoop(SimClock):
    """The clock of the one process that a contract test is."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())


class _SimGroup(Group):
    def __init__(self, seed: int) -> None:
        self._template = Directory.fresh("7000000000000000001")
        self.network = Network(Random(seed))
        self.network.add_host(CLIENT)
        self.fleet = Fleet(self.network, Random(seed))

    def make(self, uid: str, *, empty: bool = False) -> Member:
        self.network.add_host(uid)
        host = self.fleet.add(uid)
        if not empty:
            host.data = self._template.copied()
            host.data.marker = FIRST_LIFE
        return _SimMember(uid, host)

    async def prepare(self, primary: Member) -> None:
        """Nothing: a simulated server has but one table."""


class SimulatedPostgres(Backend):
    """The simulated one; every story is told with several seeds."""

    seeds: Final = range(8)

    @asynccontextmanager
    async def opened(self, seed: int = 0) -> AsyncIterator[Group]:
        group = _SimGroup(seed)
        try:
            yield group
        finally:
            for host in group.fleet.hosts.values():
                with contextlib.suppress(FileNotFoundError):
                    host.kill()

    def run(self, story: Callable[[Group], Coroutine[Any, Any, None]]) -> None:
        async def main(seed: int) -> None:
            async with self.opened(seed) as group, asyncio.timeout(120):
                await story(group)

        for seed in self.seeds:
            simulate(main(seed), SimLoop())
