"""The port of a simulated PostgreSQL, for clients that come over TCP, as those of the proxies do.

A client sends a startup packet and is greeted; then lines: ``commit NUMBER MILLISECONDS``, answered by
``commit NUMBER OUTCOME``, and ``read``, answered by ``read TICKET``: the rows are kept aside under that.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any, Final, cast

from tests.sim.internet import Internet, SimServer
from tests.sim.postgres.backend import Backend, Outcome
from tests.sim.process import current_process

if TYPE_CHECKING:
    from tests.sim.postgres.host import SimHost
    from tests.sim.world import World

POSTGRES_PORT: Final = 5432
STARTUP: Final = struct.pack("!ii", 9, 196608) + b"\0"
GREETING: Final = b"ready\n"


class WorldInternet(Internet):
    """Ports of PostgreSQL take connections only while a postmaster lives; proxies' writes are watched."""

    world: World

    def server(self, host: str, port: int) -> SimServer | None:
        if port == POSTGRES_PORT:
            server = self.world.fleet.hosts[host].server
            if server is None or not server.postmaster_alive:
                return None
        return super().server(host, port)

    async def connect(self, factory: Any, host: str, port: int, *, kind: str = "") -> Any:
        transport, protocol = await super().connect(factory, host, port, kind=kind)
        process = current_process()
        if process.name == "proxy":
            write = transport.write

            def watched(data: bytes) -> None:
                self.world.invariants.forwards(process.host, transport)
                write(data)

            transport.write = watched  # type: ignore[method-assign]  # nothing else sees each write
        return transport, protocol


class Front:
    """Listens on the port of one host for as long as that has power."""

    def __init__(self, world: World, host: SimHost) -> None:
        self.world = world
        self.host = host
        self.start()

    def start(self) -> None:
        """Listen again, after the host was without power."""
        process = self.world.network.start(self.host.name, "port")
        process.run(self.world.internet.listen, lambda: _Connection(self), None, POSTGRES_PORT, backlog=1000)


class _Connection(asyncio.Protocol):
    """One client; what it sends reaches a backend of the server that took the connection."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._server = front.host.server
        self._backend: Backend | None = None
        self._received = b""
        self._has_left = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        server = self._server
        if server is None or server.life.is_over:
            self._transport.abort()
        else:
            server.life.do(self._handle, data)

    def _handle(self, data: bytes) -> None:
        self._received += data
        if self._backend is None and not self._begin():
            return
        *lines, self._received = self._received.split(b"\n")
        for line in lines:
            self._carry_out(line.decode().split())

    def _begin(self) -> bool:
        server = self._server
        if len(self._received) < len(STARTUP) or server is None:
            return False
        if not server.accepting or server.stopping:
            self._transport.close()
            return False
        self._received = self._received[len(STARTUP) :]
        self._backend = Backend(server, self._end)
        server.backends[self._backend.pid] = self._backend
        self._transport.write(GREETING)
        return True

    def _carry_out(self, words: list[str]) -> None:
        backend = self._backend
        if backend is None or backend.ended:
            return
        if words[0] == "read":
            ticket = self._front.world.keep_rows(backend.read())
            self._transport.write(f"read {ticket}\n".encode())
            return
        number, work_ms = int(words[1]), int(words[2])

        def answer(outcome: Outcome) -> None:
            self._transport.write(f"commit {number} {outcome}\n".encode())
            if self._has_left:
                self._front.world.loop.call_soon(backend.terminate)

        backend.commit(number, answer, work_ms / 1000)

    def _end(self) -> None:
        self._transport.close()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """A backend that waits for standbys does not notice; an idle one ends."""
        del error
        self._has_left = True
        backend = self._backend
        if backend is not None and not backend.ended and not backend.is_busy:
            backend.server.life.do(backend.terminate)
