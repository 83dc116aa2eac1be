"""A TCP forwarder that can be cut, frozen and healed, to stand between a client and its server."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

from tests.support.ports import free_port

_CHUNK_BYTES = 64 * 1024


class Forwarder:
    """Forwards a local port to another; use it with ``async with``.

    A frozen direction keeps its connections open and passes nothing, as a paused host or a network that
    drops packets does; what was sent meanwhile arrives after :meth:`thaw`. Cut connections are reset.
    Before each chunk of 64 kB that is passed it waits ``pause_s``.
    """

    def __init__(self, to_port: int, *, pause_s: float = 0.0) -> None:
        self.port = free_port()
        self._pause_s = pause_s
        self._to_port = to_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_server = asyncio.Event()
        self._to_client = asyncio.Event()
        self.thaw()

    async def __aenter__(self) -> Self:
        await self.heal()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.break_connections()
        await asyncio.sleep(0)

    def break_connections(self) -> None:
        """Reset all connections; new ones are taken."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def heal(self) -> None:
        """Take connections again and pass everything."""
        self.thaw()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    def freeze(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Pass nothing in these directions."""
        if to_server:
            self._to_server.clear()
        if to_client:
            self._to_client.clear()

    def thaw(self) -> None:
        """Pass everything again."""
        self._to_server.set()
        self._to_client.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(server_writer)
        for source, target, gate in (
            (reader, server_writer, self._to_server),
            (server_reader, writer, self._to_client),
        ):
            task = asyncio.create_task(self._pump(source, target, gate))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK_BYTES):
                await gate.wait()
                await asyncio.sleep(self._pause_s)
                target.write(data)
                await target.drain()
        target.transport.abort()
