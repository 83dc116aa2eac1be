"""Clients: some through the proxies, some straight at each server; each commits numbers of its own."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Final, cast

from tests.sim.front import GREETING, POSTGRES_PORT, STARTUP
from tests.sim.postgres.clients import Session, connect
from tests.sim.services import PROXY_PORT

if TYPE_CHECKING:
    from tests.sim.postgres.backend import Outcome
    from tests.sim.world import World

PATIENCE_S: Final = 8.0
"""How long a client waits for anything."""
THINKS_S: Final = 0.35
READS: Final = 0.1
LEAVES: Final = 0.05
WORKS_MAX_MS: Final = 40


class Lost(Exception):
    """The connection has ended."""


class _Wire(asyncio.Protocol):
    def __init__(self) -> None:
        self._received = b""
        self._waiting: asyncio.Future[bytes] | None = None
        self._is_lost = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._look()

    def connection_lost(self, _: Exception | None) -> None:
        self._is_lost = True
        self._look()

    def _look(self) -> None:
        waiting = self._waiting
        if waiting is None or waiting.done():
            return
        line, end, rest = self._received.partition(b"\n")
        if end:
            self._received = rest
            waiting.set_result(line)
        elif self._is_lost:
            waiting.set_exception(Lost("the server closed the connection"))

    async def ask(self, question: bytes) -> bytes:
        """Send a line, return the line that answers it; raises Lost or TimeoutError."""
        if self._is_lost:
            raise Lost("the server closed the connection")
        self.transport.write(question)
        self._waiting = asyncio.get_running_loop().create_future()
        self._look()
        async with asyncio.timeout(PATIENCE_S):
            return await self._waiting


class ProxyClient:
    """Talks to one proxy after the other, for ever."""

    def __init__(self, world: World, host: str, chance: Random) -> None:
        self._world = world
        self._chance = chance
        self._process = world.network.start(host, "client")
        self._process.spawn(self._run())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(THINKS_S * self._chance.random())
            proxy = self._chance.choice(tuple(self._world.proxies))
            wire = _Wire()
            try:
                await self._session(wire, proxy)
            except (OSError, Lost, TimeoutError):
                await asyncio.sleep(THINKS_S)
            finally:
                if hasattr(wire, "transport"):
                    wire.transport.close()

    async def _session(self, wire: _Wire, proxy: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._world.internet.connect(lambda: wire, proxy, PROXY_PORT)
        if await wire.ask(STARTUP) + b"\n" != GREETING:
            raise Lost("greeted wrongly")
        while self._chance.random() > LEAVES:
            if self._chance.random() < READS:
                await self._read(wire, proxy)
            else:
                await self._commit(wire, proxy)
            await asyncio.sleep(2 * THINKS_S * self._chance.random())

    async def _commit(self, wire: _Wire, proxy: str) -> None:
        ledger, loop = self._world.ledger, self._world.loop
        number = ledger.next_number()
        ledger.by_proxy[number] = proxy
        work_ms = int(self._chance.random() ** 4 * WORKS_MAX_MS)
        try:
            answer = await wire.ask(f"commit {number} {work_ms}\n".encode())
        except (Lost, TimeoutError):
            ledger.hear(number, "unknown", loop.time())
            raise
        ledger.hear(number, cast("Outcome", answer.decode().split()[2]), loop.time())

    async def _read(self, wire: _Wire, proxy: str) -> None:
        asked = self._world.loop.time()
        answer = await wire.ask(b"read\n")
        rows = self._world.take_rows(int(answer.decode().split()[1]))
        self._world.invariants.was_read(rows, asked, self._world.proxies[proxy])


class DirectClient:
    """Talks to each server in turn, and stays where it is let in: also at one that has been replaced."""

    def __init__(self, world: World, host: str, chance: Random) -> None:
        self._world = world
        self._host = host
        self._chance = chance
        self._process = world.network.start(host, "client")
        self._process.spawn(self._run())

    async def _run(self) -> None:
        while True:
            target = self._chance.choice(tuple(self._world.keepers))
            await asyncio.sleep(THINKS_S * (1 + self._chance.random()))
            try:
                session = await connect(self._world.fleet, self._host, target, POSTGRES_PORT)
            except ConnectionError:
                continue
            await self._stay(session)
            session.close()

    async def _stay(self, session: Session) -> None:
        ledger, loop = self._world.ledger, self._world.loop
        while not session.is_closed:
            number = ledger.next_number()
            try:
                async with asyncio.timeout(2 * PATIENCE_S):
                    outcome = await session.commit(number)
            except TimeoutError:
                ledger.hear(number, "unknown", loop.time())
                return
            ledger.hear(number, outcome, loop.time())
            if outcome == "failed":
                return
            await asyncio.sleep(2 * THINKS_S * self._chance.random())
