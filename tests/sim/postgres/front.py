"""PostgreSQL's protocol in front of a simulated server, as far as clients through a real proxy need it.

A statement is a simple Query of one of these texts; the answers are those of PostgreSQL:

    commit N          insert and commit row N: CommandComplete, or an error when the server is a standby
    commit N local    the same without waiting for standbys
    read              every row that is visible, one DataRow each
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Final, cast

from proxy.pgwire import DECLINED, Opening, error_response, read_opening
from tests.sim.network import Network
from tests.sim.postgres.backend import Backend, Outcome
from tests.sim.postgres.server import Server
from tests.sim.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sim.internet import Internet, SimServer
    from tests.sim.postgres.host import Port

_BACKLOG: Final = 128
_READ_ONLY: Final = "25006"
_CANNOT_CONNECT_NOW: Final = "57P03"


def message(kind: bytes, body: bytes = b"") -> bytes:
    """One message of the protocol."""
    return kind + struct.pack("!i", len(body) + 4) + body


READY: Final = message(b"Z", b"I")
GREETING: Final = message(b"R", struct.pack("!i", 0)) + READY
WARNING: Final = message(b"N", b"SWARNING\0C01000\0Mcanceling wait for synchronous replication\0\0")


class FrontDoor:
    """The port of one start, in a process of its own that lives and stops with the server's."""

    def __init__(self, internet: Internet, network: Network, server: Server) -> None:
        self._process: Process = network.start(server.host.name, f"postgres {server.start_id}")
        self._listener: SimServer = self._process.run(
            lambda: internet.listen(lambda: _Connection(server), None, server.host.port, backlog=_BACKLOG)
        )

    def close(self) -> None:
        """See :class:`~tests.sim.postgres.host.Port`."""
        if not self._process.is_dead:
            self._listener.close()

    def end(self) -> None:
        """See :class:`~tests.sim.postgres.host.Port`."""
        self._process.kill()

    def pause(self) -> None:
        """See :class:`~tests.sim.postgres.host.Port`."""
        self._process.pause()

    def resume(self) -> None:
        """See :class:`~tests.sim.postgres.host.Port`."""
        self._process.resume()


def front_doors(internet: Internet, network: Network) -> Callable[[Server], Port]:
    """What a host's ``open_port`` is set to, so that clients reach its servers by connections of the loop."""
    return lambda server: FrontDoor(internet, network, server)


class _Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._received = bytearray()
        self._backend: Backend | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while self._take():
            pass

    def connection_lost(self, _: Exception | None) -> None:
        if self._backend is not None:
            self._server.life.do(self._backend.terminate)

    def _take(self) -> bool:
        """Handle one message; whether there was one."""
        if self._backend is None:
            return self._open()
        if len(self._received) < 5:
            return False
        (length,) = struct.unpack_from("!i", self._received, 1)
        if len(self._received) < length + 1:
            return False
        kind, body = self._received[:1], bytes(self._received[5 : length + 1])
        del self._received[: length + 1]
        if kind == b"Q":
            self._server.life.do(self._run, self._backend, body.rstrip(b"\0").decode().split())
        elif kind == b"X":
            self._transport.close()
        return True

    def _open(self) -> bool:
        found = read_opening(self._received)
        if found is None:
            return False
        opening, length = found
        del self._received[:length]
        if opening.expects_more:
            self._transport.write(DECLINED)
        elif opening is Opening.STARTUP and self._server.accepting and not self._server.stopping:
            backend = Backend(self._server, self._transport.close)
            self._backend = self._server.backends[backend.pid] = backend
            self._transport.write(GREETING)
        else:
            self._transport.write(error_response(_CANNOT_CONNECT_NOW, "the database system is starting up"))
            self._transport.close()
            return False
        return True

    def _run(self, backend: Backend, words: list[str]) -> None:
        if words[0] == "read":
            rows = b"".join(_row(number) for number in backend.read())
            self._transport.write(rows + message(b"C", b"SELECT\0") + READY)
        else:
            backend.commit(int(words[1]), self._committed, local="local" in words)

    def _committed(self, outcome: Outcome) -> None:
        if outcome == "failed":
            text = "cannot execute INSERT in a read-only transaction"
            answer = error_response(_READ_ONLY, text).replace(b"FATAL", b"ERROR")
        else:
            warning = b"" if outcome == "acknowledged" else WARNING
            answer = warning + message(b"C", b"INSERT 0 1\0")
        self._transport.write(answer + READY)


def _row(number: int) -> bytes:
    text = str(number).encode()
    return message(b"D", struct.pack("!hi", 1, len(text)) + text)
