"""Clients of simulated servers, over the network, and the probe that keepers and sentinels make."""

from __future__ import annotations

import asyncio
from typing import Final

from tests.sim.postgres.backend import Backend, Outcome
from tests.sim.postgres.engine import Channel, Life
from tests.sim.postgres.host import Fleet, SimHost
from tests.sim.postgres.server import Server
from tests.sim.postgres.values import CLIENT

CONNECT_LIMIT_S: Final = 2.0


class Session:
    """A client's connection to one server.

    A statement whose answer never comes is ``unknown`` once the connection is lost; who does not want to
    wait so long closes it.
    """

    def __init__(self, fleet: Fleet, client_host: str, target: SimHost) -> None:
        engine = fleet.engine
        self._life = Life(engine)
        self._up = Channel(engine, client_host, target.name, CLIENT)
        self._down = Channel(engine, target.name, client_host, CLIENT)
        self._target = target
        self._backend: Backend | None = None
        self._server: Server | None = None
        self._connected: asyncio.Future[str] = engine.loop.create_future()
        self._answered: asyncio.Future[Outcome] | None = None
        self._rows: asyncio.Future[tuple[int, ...]] | None = None
        self.is_closed = False
        self._up.send(target.kernel, self._knock)

    # Made on the server's side.

    def _knock(self) -> None:
        server = self._target.server
        if server is None or not server.postmaster_alive:
            self._down.send(self._life, self._refused, "connection refused")
        else:
            server.life.do(self._accept, server)

    def _accept(self, server: Server) -> None:
        if not server.accepting or server.stopping:
            self._down.send(self._life, self._refused, "the database system is starting up or shutting down")
            return
        backend = Backend(server, self._server_closed)
        server.backends[backend.pid] = backend
        self._down.send(self._life, self._welcomed, server, backend)

    def _server_closed(self) -> None:
        self._down.send(self._life, self._lost)

    def _commit(self, backend: Backend, number: int, work_s: float, local: bool) -> None:
        backend.commit(number, self._answer_commit, work_s, local=local)

    def _answer_commit(self, outcome: Outcome) -> None:
        self._down.send(self._life, self._outcome, outcome)

    def _read(self, backend: Backend) -> None:
        if not backend.ended:
            self._down.send(self._life, self._got_rows, backend.read())

    # Made on the client's side.

    def _refused(self, why: str) -> None:
        self.is_closed = True
        if not self._connected.done():
            self._connected.set_result(why)

    def _welcomed(self, server: Server, backend: Backend) -> None:
        self._server, self._backend = server, backend
        if self.is_closed:
            self._up.send(server.life, backend.terminate)
        elif not self._connected.done():
            self._connected.set_result("")

    def _outcome(self, outcome: Outcome) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(outcome)

    def _got_rows(self, rows: tuple[int, ...]) -> None:
        if self._rows is not None and not self._rows.done():
            self._rows.set_result(rows)

    def _lost(self) -> None:
        self.is_closed = True
        if not self._connected.done():
            self._connected.set_result("the server closed the connection unexpectedly")
        self._outcome("unknown")
        if self._rows is not None and not self._rows.done():
            self._rows.set_exception(ConnectionResetError("the server closed the connection unexpectedly"))

    async def connected(self, limit_s: float = CONNECT_LIMIT_S) -> Session:
        """Wait for the server's answer; raises ConnectionError when that is no, or does not come."""
        try:
            async with asyncio.timeout(limit_s):
                problem = await self._connected
        except TimeoutError as error:
            self.close()
            raise ConnectionError("connection timed out") from error
        if problem:
            raise ConnectionRefusedError(problem)
        return self

    async def commit(self, number: int, *, work_s: float = 0.0, local: bool = False) -> Outcome:
        """Insert and commit a row that never comes again; ``local`` waits for no standby."""
        if self.is_closed or self._backend is None or self._server is None:
            return "failed"
        self._answered = asyncio.get_running_loop().create_future()
        self._up.send(self._server.life, self._commit, self._backend, number, work_s, local)
        return await self._answered

    async def read(self) -> tuple[int, ...]:
        """Every row that is visible; raises ConnectionError."""
        if self.is_closed or self._backend is None or self._server is None:
            raise ConnectionResetError("the connection is closed")
        self._rows = asyncio.get_running_loop().create_future()
        self._up.send(self._server.life, self._read, self._backend)
        return await self._rows

    def cancel(self) -> None:
        """Ask for the statement under way to be cancelled."""
        if self._backend is not None and self._server is not None:
            self._up.send(self._server.life, self._backend.cancel)

    def close(self) -> None:
        """End the connection; what is under way is unknown for ever."""
        self.is_closed = True
        if self._backend is not None and self._server is not None:
            self._up.send(self._server.life, self._backend.terminate)
        self._outcome("unknown")


async def connect(
    fleet: Fleet, client_host: str, address: str, port: int, limit_s: float = CONNECT_LIMIT_S
) -> Session:
    """Connect as a client does; raises ConnectionError."""
    target = fleet.at(address, port)
    if target is None:
        raise ConnectionRefusedError(f"nobody is at {address}:{port}")
    return await Session(fleet, client_host, target).connected(limit_s)


async def answers(fleet: Fleet, client_host: str, address: str, port: int, limit_s: float = 1.0) -> bool:
    """What common.runtime.probe asks: any protocol answer, an error too."""
    target = fleet.at(address, port)
    if target is None:
        return False
    engine = fleet.engine
    life = Life(engine)
    up = Channel(engine, client_host, target.name, CLIENT)
    down = Channel(engine, target.name, client_host, CLIENT)
    answered: asyncio.Future[bool] = engine.loop.create_future()

    def reply(holds: bool) -> None:
        if not answered.done():
            answered.set_result(holds)

    def knock() -> None:
        server = target.server
        if server is None or not server.postmaster_alive:
            down.send(life, reply, False)
        else:
            server.life.do(down.send, life, reply, True)

    up.send(target.kernel, knock)
    try:
        async with asyncio.timeout(limit_s):
            return await answered
    except TimeoutError:
        return False
