"""Three simulated hosts for the tests of the simulator: a client, a middle, and a server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from tests.sim.internet import Internet, SimServer
from tests.sim.loop import SimLoop, simulate
from tests.sim.network import Network
from tests.sim.process import Process

T = TypeVar("T")

HOSTS = (("c", "a"), ("p", "a"), ("s", "b"))


class Peer(asyncio.Protocol):
    """A side that keeps what it is told; ``keeps_open`` for one that answers an end with more."""

    def __init__(self, *, keeps_open: bool = False, echoes: bool = False) -> None:
        self.received = bytearray()
        self.events: list[str] = []
        self.lost: list[Exception | None] = []
        self._keeps_open = keeps_open
        self._echoes = echoes
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self._echoes:
            self.transport.write(data)

    def eof_received(self) -> bool:
        self.events.append("end")
        return self._keeps_open

    def pause_writing(self) -> None:
        self.events.append("slow")

    def resume_writing(self) -> None:
        self.events.append("caught up")

    def connection_lost(self, error: Exception | None) -> None:
        self.events.append("lost")
        self.lost.append(error)


class Stage:
    """The hosts ``c`` and ``p`` in one site, ``s`` in another, and one process on each."""

    def __init__(self, seed: int = 1) -> None:
        self.loop = SimLoop(chance=random.Random(seed))
        self.network = Network(random.Random(seed))
        for host, site in HOSTS:
            self.network.add_host(host, site)
        self.internet = Internet(self.loop, self.network)
        self.client = self.network.start("c", "client")
        self.middle = self.network.start("p", "proxy")
        self.server = self.network.start("s", "postgres")
        self.served: list[Peer] = []

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        return simulate(main, self.loop)

    def serve(self, peer: Callable[[], Peer] = Peer, port: int = 5432) -> SimServer:
        """Have the server's process listen."""

        def made() -> Peer:
            self.served.append(peer())
            return self.served[-1]

        return self.server.run(self.internet.listen, made, None, port, backlog=100)

    async def connect(self, process: Process, peer: Peer, host: str, port: int = 5432) -> Peer:
        await process.spawn(self.internet.connect(lambda: peer, host, port))
        return peer

    async def pair(self, near: Peer | None = None, far: Callable[[], Peer] = Peer) -> tuple[Peer, Peer]:
        """A connection from the client to the server, and both of its sides."""
        self.serve(far)
        near = await self.connect(self.client, near or Peer(), "s")
        await asyncio.sleep(0.1)
        return near, self.served[0]


def kind_of(error: Exception | None) -> int | None:
    """The errno of what a connection was lost by."""
    return error.errno if isinstance(error, OSError) else None
