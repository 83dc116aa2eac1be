"""A primary, its two standbys and a client, for tests of the simulated servers themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from common.model.names import standby_name
from common.model.spec import PostgresSpec
from common.model.wal import ZERO
from keeper.postgres.port import Source, SyncSetting
from tests.sim.clock import SimClock
from tests.sim.loop import SimLoop, simulate
from tests.sim.network import Network
from tests.sim.postgres.clients import Session, connect
from tests.sim.postgres.directory import Directory
from tests.sim.postgres.host import Fleet, SimHost
from tests.sim.postgres.port import SimPostgres
from tests.sim.postgres.server import Server
from tests.sim.postgres.values import Delays, Sizes

LIFE = "00000001"
BY_ITSELF = SyncSetting(k=0)
SPEC = PostgresSpec()


def name(uid: str, term: int = 1) -> str:
    return standby_name(uid, LIFE, term)


@dataclass
class World:
    """Servers one (the primary), two and three, its standbys, and a client's host."""

    network: Network
    fleet: Fleet
    keepers: dict[str, SimPostgres] = field(default_factory=dict)

    def host(self, uid: str) -> SimHost:
        return self.fleet.hosts[uid]

    def server(self, uid: str) -> Server:
        server = self.host(uid).server
        assert server is not None
        return server

    def data(self, uid: str) -> Directory:
        return self.host(uid).present

    async def client(self, uid: str) -> Session:
        return await connect(self.fleet, "client", uid, 5432)

    async def commit(self, uid: str, *numbers: int) -> list[str]:
        session = await self.client(uid)
        outcomes = [await session.commit(number) for number in numbers]
        session.close()
        return list(outcomes)

    async def start(self, uid: str, **how: Any) -> None:
        await self.keepers[uid].start(SPEC, **how)
        await self.keepers[uid].wait_until_accepting(20)

    async def begin_commit(self, uid: str, number: int, *, work_s: float = 0.0) -> asyncio.Task[str]:
        session = await self.client(uid)
        return asyncio.create_task(session.commit(number, work_s=work_s))


@asynccontextmanager
async def world(
    seed: int, *, k: int = 1, delays: Delays | None = None, sizes: Sizes | None = None
) -> AsyncIterator[World]:
    """A primary whose commits wait for ``k`` of two standbys."""
    network = Network(Random(seed))
    fleet = Fleet(network, Random(seed), delays=delays, sizes=sizes)
    made = World(network, fleet)
    template = Directory.fresh("1")
    network.add_host("client")
    for uid in ("one", "two", "three"):
        network.add_host(uid)
        host = fleet.add(uid)
        host.data = template.copied()
        made.keepers[uid] = SimPostgres(host, SimClock(asyncio.get_running_loop()))
    await made.start("one", writable=BY_ITSELF)
    await made.keepers["one"].keep_slots({name("two"): ZERO, name("three"): ZERO}, drop_others=True)
    for uid in ("two", "three"):
        await made.start(uid, source=Source("one", 5432, name(uid)))
    if k:
        wanted = SyncSetting(k, frozenset({name("two"), name("three")}))
        await made.keepers["one"].apply_sync(wanted, [BY_ITSELF], 10)
    yield made


async def until(look: Callable[[], bool]) -> None:
    """Wait until something is so that no event tells of."""
    while not look():  # noqa: ASYNC110 - what is waited for knows no event
        await asyncio.sleep(0.0005)


def tell(story: Callable[[int], Coroutine[Any, Any, None]], *, seeds: int = 10) -> None:
    """Tell a story with several seeds."""
    for seed in range(seeds):
        simulate(story(seed), SimLoop())
