"""One way to open, break and heal a store, whichever implementation is behind it."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any

from common.runtime.clock import SystemClock
from common.store.etcd import EtcdSettings, open_store
from common.store.memory import MemoryEtcd, MemoryStore
from common.store.port import Store
from tests.sim.etcd import SimEtcd
from tests.sim.loop import SimLoop, simulate
from tests.sim.network import Network
from tests.sim.store import SimStore
from tests.support.aio import LIMIT_S, run, until
from tests.support.etcd import EtcdServer, compact
from tests.support.forwarder import Forwarder

IMPATIENT_S = 0.8
_numbers = count(1)


async def reached(store: Store) -> None:
    """Wait until a store answers, however often its deadline passes first."""
    await until(store.members, lambda members: not members[0].problem, "the store answers")


class StoreUnderTest(ABC):
    """Clients with faults, one that waits long and one that does not, a third without, and a prefix."""

    store: Store
    impatient: Store
    other: Store
    ttl_s: int

    def __init__(self) -> None:
        self.prefix = f"/test{next(_numbers)}/"

    @abstractmethod
    async def cut(self) -> None:
        """Break the connections of ``store`` and ``impatient`` and allow no new one."""

    @abstractmethod
    async def heal(self) -> None:
        """Let them connect again."""

    @abstractmethod
    async def losing_the_answer(self, write: Callable[[], Awaitable[Any]]) -> Any:
        """Do a write of ``impatient`` that is applied and whose answer never comes."""

    @abstractmethod
    async def compact(self) -> None:
        """Forget the store's history."""


class Backend(ABC):
    """A store that runs."""

    @abstractmethod
    def opened(self) -> AbstractAsyncContextManager[StoreUnderTest]:
        """Open it for one test."""

    def run(self, story: Callable[[StoreUnderTest], Coroutine[Any, Any, None]]) -> None:
        """Run a test's story against it."""

        async def main() -> None:
            async with self.opened() as opened:
                await story(opened)

        run(main())


class _MemoryUnderTest(StoreUnderTest):
    ttl_s = 2

    def __init__(self, server: MemoryEtcd) -> None:
        super().__init__()
        self._server = server
        self._client = MemoryStore(server, timeout_s=IMPATIENT_S)
        self.store = self.impatient = self._client
        self.other = MemoryStore(server)

    async def cut(self) -> None:
        self._client.cut()

    async def heal(self) -> None:
        self._client.heal()

    async def losing_the_answer(self, write: Callable[[], Awaitable[Any]]) -> Any:
        self._client.lose_answer(applied=True)
        return await write()

    async def compact(self) -> None:
        self._server.compact()


class MemoryBackend(Backend):
    """The store in memory."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[StoreUnderTest]:
        yield _MemoryUnderTest(MemoryEtcd(SystemClock()))


class _SimUnderTest(StoreUnderTest):
    ttl_s = 2

    def __init__(self, network: Network, etcd: SimEtcd) -> None:
        super().__init__()
        self._network = network
        self._etcd = etcd
        self.store = SimStore(etcd, network.start("client", "one"), timeout_s=IMPATIENT_S)
        self.impatient = self.store
        self.other = SimStore(etcd, network.start("beside", "another"))

    async def cut(self) -> None:
        for member in self._etcd.members:
            self._network.cut("client", member)
            self._network.cut(member, "client")

    async def heal(self) -> None:
        self._network.heal_all()

    async def losing_the_answer(self, write: Callable[[], Awaitable[Any]]) -> Any:
        await self.store.read(self.prefix)
        for member in self._etcd.members:
            self._network.cut(member, "client")
        try:
            return await write()
        finally:
            self._network.heal_all()

    async def compact(self) -> None:
        self._etcd.data.compact()


class SimBackend(Backend):
    """The simulated etcd of three members; each test has a world of its own."""

    def run(self, story: Callable[[StoreUnderTest], Coroutine[Any, Any, None]]) -> None:
        """Run a test's story on virtual time."""

        async def main() -> None:
            async with self.opened() as opened:
                await story(opened)

        simulate(main(), SimLoop(chance=random.Random(1)))

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[StoreUnderTest]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        network = Network(random.Random(1))
        members = ("etcd-1", "etcd-2", "etcd-3")
        for host in ("client", "beside", *members):
            network.add_host(host)
        yield _SimUnderTest(network, SimEtcd(loop, network, random.Random(1), members))


class _EtcdUnderTest(StoreUnderTest):
    ttl_s = 2

    def __init__(self, server: EtcdServer, forwarder: Forwarder) -> None:
        super().__init__()
        self._server = server
        self._forwarder = forwarder
        through = f"http://127.0.0.1:{forwarder.port}"
        self.store = open_store(EtcdSettings(endpoints=(through,), timeout_s=LIMIT_S))
        self.impatient = open_store(EtcdSettings(endpoints=(through,), timeout_s=IMPATIENT_S))
        self.other = open_store(EtcdSettings(endpoints=(server.url,)))

    async def cut(self) -> None:
        await self._forwarder.cut()

    async def heal(self) -> None:
        await self._forwarder.heal()

    async def losing_the_answer(self, write: Callable[[], Awaitable[Any]]) -> Any:
        await reached(self.impatient)
        self._forwarder.freeze(to_server=False)
        try:
            return await write()
        finally:
            self._forwarder.break_connections()
            self._forwarder.thaw()

    async def compact(self) -> None:
        await compact(self._server)


class EtcdBackend(Backend):
    """A real etcd behind a forwarder."""

    def __init__(self, server: EtcdServer) -> None:
        self._server = server

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[StoreUnderTest]:
        async with Forwarder(self._server.client_port) as forwarder:
            under_test = _EtcdUnderTest(self._server, forwarder)
            try:
                yield under_test
            finally:
                for store in (under_test.store, under_test.impatient, under_test.other):
                    await store.close()
