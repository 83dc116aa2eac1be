"""Who listens where, and how connections between simulated processes begin."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from itertools import count
from typing import Any, Final

from common.runtime.probe import PROBE_LIMIT_S, SSL_REQUEST
from tests.sim.loop import SimLoop
from tests.sim.network import CLIENT, Network
from tests.sim.process import Process, current_process
from tests.sim.tcp import End
from tests.sim.transports import Factory, SimSocket, SimTransport

FIRST_PORT: Final = 32768
SYN_RETRIES: Final = 6
BACKLOG_MAX: Final = 4096
"""net.core.somaxconn of Linux."""
SELF: Final = frozenset(("", "localhost", "127.0.0.1", "0.0.0.0"))  # noqa: S104 - names, nothing is bound


class SimServer(asyncio.AbstractServer):
    """A port of a host on which one process takes connections."""

    def __init__(
        self, internet: Internet, process: Process, factory: Factory, port: int, backlog: int
    ) -> None:
        self._internet = internet
        self._factory = factory
        self._context = copy_context()
        self._waiting: dict[End, int] = {}
        self._backlog = min(backlog, BACKLOG_MAX)
        self._is_closed = False
        self.process = process
        self.port = port
        self.sockets = (SimSocket((process.host, port), None, None),)
        process.at_end(self.close)

    @property
    def is_full(self) -> bool:
        """Whether so many connections wait to be accepted that the kernel takes no more."""
        return len(self._waiting) > self._backlog

    def is_serving(self) -> bool:
        """Whether it takes connections."""
        return not self._is_closed

    def close(self) -> None:
        """Take no more; who has not been accepted is reset."""
        if self._is_closed:
            return
        self._is_closed = True
        self.process.not_at_end(self.close)
        self._internet.forget(self)
        for end in list(self._waiting):
            end.reset()
        self._waiting.clear()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    def queue(self, end: End, peer: tuple[str, int]) -> None:
        """The handshake is done: the process may accept it."""
        if self._is_closed:
            end.reset()
            return
        self._waiting[end] = 0
        self._internet.loop.arrive(self._context, self._accept, end, peer)

    def _accept(self, end: End, peer: tuple[str, int]) -> None:
        if self._waiting.pop(end, None) is None:
            return
        sock = SimSocket((self.process.host, self.port), peer, end)
        for (level, option), value in self.sockets[0].options.items():
            sock.setsockopt(level, option, value)
        SimTransport(self._internet.loop, end, self._factory(), copy_context(), sock)

    async def start_serving(self) -> None:
        """It does from its beginning."""

    async def serve_forever(self) -> None:
        """Take connections until cancelled."""
        await asyncio.get_running_loop().create_future()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Where it runs."""
        return self._internet.loop


class Internet:
    """All ports of all hosts. ``kinds`` names the kind of traffic of a port; others carry clients."""

    def __init__(self, loop: SimLoop, network: Network, kinds: Mapping[int, str] | None = None) -> None:
        self._network = network
        self._kinds = dict(kinds or {})
        self._servers: dict[tuple[str, int], SimServer] = {}
        self._ports = count(FIRST_PORT)
        self.loop = loop
        loop.internet = self

    def listen(self, factory: Factory, hosts: Any, port: int, *, backlog: int) -> SimServer:
        """Take connections on the host of the process that calls; raises OSError for a port that is taken."""
        del hosts  # a host here has one address
        process = current_process()
        port = port or next(self._ports)
        if (process.host, port) in self._servers:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        server = SimServer(self, process, factory, port, backlog)
        self._servers[process.host, port] = server
        return server

    def forget(self, server: SimServer) -> None:
        """Refuse connections to this port from now on."""
        self._servers.pop((server.process.host, server.port), None)

    def server(self, host: str, port: int) -> SimServer | None:
        """Who takes connections there."""
        return self._servers.get((host, port))

    async def connect(
        self, factory: Factory, host: str, port: int, *, kind: str = ""
    ) -> tuple[SimTransport, asyncio.BaseProtocol]:
        """Open a connection from the host of the process that calls; raises OSError."""
        process = current_process()
        target = process.host if host in SELF else host
        if target not in self._network.hosts:
            raise socket.gaierror(socket.EAI_NONAME, f"{host}: Name or service not known")
        kind = kind or self._kinds.get(port, CLIENT)
        handshake = _Handshake(self, self._network, process, (target, port), kind)
        try:
            end = await handshake.done
        except asyncio.CancelledError:
            handshake.give_up()
            raise
        sock = SimSocket(handshake.own, (target, port), end)
        protocol = factory()
        transport = SimTransport(self.loop, end, protocol, copy_context(), sock)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            transport.close()
            raise
        return transport, protocol

    def next_port(self) -> int:
        """A port that no connection of any host has had."""
        return next(self._ports)


class _Handshake:
    """SYN, SYN and ACK, ACK; who gets no answer asks again."""

    def __init__(
        self, internet: Internet, network: Network, process: Process, target: tuple[str, int], kind: str
    ) -> None:
        self._internet = internet
        self._network = network
        self._process = process
        self._target = target
        self._kind = kind
        self._tries = 0
        self._end: End | None = None
        self.own = (process.host, internet.next_port())
        self.done: asyncio.Future[End] = internet.loop.create_future()
        self._ask()

    def give_up(self) -> None:
        """Close what may have begun."""
        if self._end is not None:
            self._end.close()

    def _ask(self) -> None:
        if self.done.done() or self._process.is_dead:
            return
        delay_s = self._network.path(self._process.host, self._target[0], self._kind)
        if delay_s is None:
            self._ask_again()
        else:
            self._internet.loop.world_after(delay_s, self._arrives)

    def _ask_again(self) -> None:
        if self._tries >= SYN_RETRIES:
            self._fail(errno.ETIMEDOUT)
            return
        self._internet.loop.world_after(2.0**self._tries, self._ask)
        self._tries += 1

    def _arrives(self) -> None:
        server = self._internet.server(*self._target)
        back_s = self._network.path(self._target[0], self._process.host, self._kind)
        is_open = self._network.is_open(self._process.host, self._target[0], self._kind)
        if back_s is None or not is_open or (server is not None and server.is_full):
            self._ask_again()
        elif server is None:
            self._internet.loop.world_after(back_s, self._fail, errno.ECONNREFUSED)
        else:
            self._internet.loop.world_after(back_s, self._establish, server)

    def _establish(self, server: SimServer) -> None:
        if self.done.done() or self._process.is_dead:
            return
        if not self._network.is_open(self._target[0], self._process.host, self._kind):
            self._ask_again()
            return
        if not server.is_serving():
            self._fail(errno.ECONNREFUSED)
            return
        loop = self._internet.loop
        self._end, other = End.pair(loop, self._network, self._process, server.process, self._kind)
        other.on_open = lambda end: server.queue(end, self.own)
        self._end.open()
        self.done.set_result(self._end)

    def _fail(self, number: int) -> None:
        if not self.done.done() and not self._process.is_dead:
            self.done.set_exception(OSError(number, os.strerror(number)))


class _Asker(asyncio.Protocol):
    def __init__(self, answered: asyncio.Future[bool]) -> None:
        self._answered = answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, SimTransport):
            transport.write(SSL_REQUEST)

    def data_received(self, data: bytes) -> None:
        self._settle(bool(data))

    def connection_lost(self, _: Exception | None) -> None:
        self._settle(False)

    def _settle(self, answer: bool) -> None:
        if not self._answered.done():
            self._answered.set_result(answer)


def prober(
    internet: Internet, kind: str = CLIENT, limit_s: float = PROBE_LIMIT_S
) -> Callable[[str, int], Awaitable[bool]]:
    """What asks whether a PostgreSQL answers, as :mod:`common.runtime.probe` does on real sockets."""

    async def answers(host: str, port: int) -> bool:
        answered = internet.loop.create_future()
        try:
            async with asyncio.timeout(limit_s):
                transport, _ = await internet.connect(lambda: _Asker(answered), host, port, kind=kind)
                try:
                    return bool(await answered)
                finally:
                    transport.close()
        except (OSError, TimeoutError):
            return False

    return answers
