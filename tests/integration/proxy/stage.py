"""A listener between raw clients and a fake server, on the loop that the proxy runs on."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import uvloop

from common.model.view import ClusterView, Route
from proxy.admission import ParkLimits
from proxy.listener import Listener
from proxy.route import Decision, Seen, decide
from tests.support.aio import LIMIT_S, eventually
from tests.support.healthy import view
from tests.support.ports import free_port

T = TypeVar("T")

HOST = "127.0.0.1"
STARTUP = struct.pack("!iI", 8 + 11, 196608) + b"user\0kong\0\0"
SSL_REQUEST = struct.pack("!iI", 8, 80877103)
CANCEL_REQUEST = struct.pack("!iIII", 16, 80877102, 4711, 42)


def run(main: Coroutine[Any, Any, T], *, timeout_s: float = 120.0) -> T:
    """Run a test's coroutine on uvloop, with a deadline; an error that nobody handled fails the test."""
    stray: list[dict[str, Any]] = []

    async def bounded() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: stray.append(context))
        async with asyncio.timeout(timeout_s):
            return await main

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(bounded())
    gc.collect()
    assert stray == []
    return result


@dataclass
class Connection:
    """One connection, of a client to the proxy or of the proxy to a fake server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self, count: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(count), LIMIT_S)

    async def rest(self) -> bytes:
        """Everything up to the end of this direction; raises ConnectionResetError at a reset."""
        return await asyncio.wait_for(self.reader.read(-1), LIMIT_S)

    def abort(self) -> None:
        self.writer.transport.abort()

    def reset(self) -> None:
        """Vanish with a reset, as a process that is killed with unread data does."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def stop_reading(self) -> None:
        """Leave what comes in the kernel's buffers."""
        cast("asyncio.ReadTransport", self.writer.transport).pause_reading()

    def read_again(self) -> None:
        cast("asyncio.ReadTransport", self.writer.transport).resume_reading()

    async def send_until_stuck(self, data: bytes) -> int:
        """Send it again and again until nothing has moved for a while; return how much that was."""
        sent = 0
        try:
            while True:
                self.send(data)
                sent += len(data)
                await asyncio.wait_for(self.writer.drain(), 1.0)
        except TimeoutError:
            return sent


@dataclass
class FakeServer:
    """Takes connections and does nothing with them; the test does."""

    port: int = field(default_factory=free_port)
    taken: int = 0
    _server: asyncio.Server | None = None
    _waiting: asyncio.Queue[Connection] = field(default_factory=asyncio.Queue)
    _all: list[Connection] = field(default_factory=list)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._take, HOST, self.port, limit=1024, backlog=4096)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        connection = Connection(reader, writer)
        self._all.append(connection)
        self._waiting.put_nowait(connection)

    async def accept(self) -> Connection:
        """The next connection that was taken."""
        return await asyncio.wait_for(self._waiting.get(), LIMIT_S)

    async def stop(self) -> None:
        """Refuse new connections and reset those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self._all:
            connection.abort()
        await asyncio.sleep(0)


def term_view(term: int, port: int | None) -> ClusterView:
    """A view of a term, with a route to a local port or with none; one generation for each kind."""
    route = None
    if port is not None:
        route = Route(uid=f"server-{port}", incarnation="00000001", term=term, host=HOST, port=port)
    generation = 2 * term + (port is not None)
    return view(
        "sandun-1", term=term, generation=generation, phase="running" if route else "sealing", route=route
    )


@dataclass
class Stage:
    """The listener, and the decisions that it obeys."""

    listener: Listener
    port: int
    clients: list[Connection] = field(default_factory=list)
    decision: Decision = field(default_factory=lambda: decide(None, Seen()))

    def route(self, term: int, port: int | None) -> None:
        """Let the listener obey a view of this term with a route to this port, or with none."""
        self.decision = decide(self.decision.obeyed, Seen(term_view(term, port), in_contact=True))
        self.listener.apply(self.decision)

    async def connect(self, *sent: bytes) -> Connection:
        """A client, which has sent something."""
        reader, writer = await asyncio.open_connection(HOST, self.port, limit=1024)
        client = Connection(reader, writer)
        self.clients.append(client)
        for data in sent:
            client.send(data)
        return client

    async def session(self, server: FakeServer) -> tuple[Connection, Connection]:
        """A client and its server, the start-up packet behind them."""
        client = await self.connect(STARTUP)
        there = await server.accept()
        assert await there.receive(len(STARTUP)) == STARTUP
        return client, there


@asynccontextmanager
async def stage(
    *, park_limit: int = 1000, park_timeout_s: float = 60.0, **options: Any
) -> AsyncIterator[Stage]:
    """A listener that has no route yet."""
    whole = {"max_clients": 2000, "startup_timeout_s": 30.0, "dial_timeout_s": 30.0, "peer_timeout_s": 60.0}
    listener = Listener(limits=ParkLimits(park_limit, park_timeout_s), **(whole | options))
    port = free_port()
    await listener.listen([HOST], port)
    there = Stage(listener, port)
    try:
        yield there
    finally:
        await listener.close()
        for client in there.clients:
            client.abort()
        await asyncio.sleep(0.01)


@asynccontextmanager
async def fake_server() -> AsyncIterator[FakeServer]:
    """A fake server that runs."""
    server = FakeServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def deaf_server() -> AsyncIterator[int]:
    """The port of a server whose backlog is full: the kernel drops every SYN that comes."""
    port = free_port()
    with socket.socket() as listening:
        listening.bind((HOST, port))
        listening.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex((HOST, port))
            await asyncio.sleep(0.05)
            yield port
        finally:
            for filler in fillers:
                filler.close()


async def parked(proxy: Stage, count: int) -> None:
    await eventually(lambda: proxy.listener.figures.parked == count, f"{count} parked")


def fields_of(error: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse that is all that was sent."""
    assert error[:1] == b"E"
    assert struct.unpack_from("!i", error, 1)[0] == len(error) - 1
    return {field[:1].decode(): field[1:].decode() for field in error[5:-2].split(b"\0")}
