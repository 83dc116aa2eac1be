"""asyncio transports on simulated connections, with what the services ask of a transport and its socket.

Their behaviour is that of asyncio's own selector transports: what cannot be sent at once is buffered, the
protocol is paused above the limit, ``close`` flushes, ``abort`` does not, ``connection_lost`` comes a turn
later.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextvars import Context
from typing import Any, Final, cast

from tests.sim.loop import SimLoop
from tests.sim.tcp import End

ESTABLISHED: Final = 1
CLOSE: Final = 7
CLOSE_WAIT: Final = 8
LISTEN: Final = 10
"""States of tcp(7), as TCP_INFO gives them."""

HIGH_WATER_BYTES: Final = 64 * 1024
KEEPALIVE_IDLE_S: Final = 7200.0
KEEPALIVE_INTERVAL_S: Final = 75.0

RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)


class SimSocket:
    """What ``get_extra_info("socket")`` gives: options and addresses, and no file of the machine."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM

    def __init__(self, own: tuple[str, int], peer: tuple[str, int] | None, end: End | None) -> None:
        self._own = own
        self._peer = peer
        self._end = end
        self.options: dict[tuple[int, int], Any] = {}

    def fileno(self) -> int:
        """None: as of a socket that is closed."""
        return -1

    def getsockname(self) -> tuple[str, int]:
        """The address of this side."""
        return self._own

    def getpeername(self) -> tuple[str, int]:
        """The address of the other side."""
        if self._peer is None:
            raise OSError("this socket has no peer")
        return self._peer

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """Set an option; a socket that listens hands it on to its connections."""
        self.options[level, option] = value
        if self._end is None:
            return
        if (level, option) == (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT):
            self._end.gives_up_after_s = value / 1000
        elif (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self._end.resets_at_close = value == RESET_AT_CLOSE
        elif (level, option) == (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL):
            idle_s = self.options.get((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), KEEPALIVE_IDLE_S)
            if self.options.get((socket.SOL_SOCKET, socket.SO_KEEPALIVE)):
                self._end.keep_alive(float(idle_s), float(value))

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        """Read an option; of TCP_INFO only the state, its first byte."""
        if (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO):
            return bytes([self._state]) + bytes(max(0, size - 1))
        return self.options.get((level, option), 0)

    @property
    def _state(self) -> int:
        if self._end is None:
            return LISTEN
        if self._end.is_unknown:
            return CLOSE
        return CLOSE_WAIT if self._end.has_ended else ESTABLISHED


class SimTransport(asyncio.Transport):
    """One end of a connection, in the process that holds it."""

    def __init__(
        self, loop: SimLoop, end: End, protocol: asyncio.BaseProtocol, context: Context, sock: SimSocket
    ) -> None:
        super().__init__({"socket": sock, "sockname": sock.getsockname(), "peername": sock.getpeername()})
        self._loop = loop
        self._end = end
        self._context = context
        self._protocol = cast("asyncio.Protocol", protocol)
        self._buffer = bytearray()
        self._high, self._low = HIGH_WATER_BYTES, HIGH_WATER_BYTES // 4
        self._has_paused_protocol = False
        self._is_reading = False
        self._is_paused = False
        self._is_closing = False
        self._is_lost = False
        self._has_written_end = False
        self._will_read = False
        self._will_write = False
        end.holder = self
        loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._protocol.connection_made(self)
        if not self._is_closing:
            self._is_reading = True
            self.readable()

    # What the kernel says.

    def readable(self) -> None:
        """Read in the next turn of the process, unless it does not want to."""
        end = self._end
        if self._will_read or not (end.received or end.has_ended or end.error):
            return
        if self._is_reading and not self._is_paused:
            self._will_read = True
            self._loop.arrive(self._context, self._read)
        elif end.error and (self._buffer or self._is_closing):
            self._will_read = True
            self._loop.arrive(self._context, self._read_error)

    def writable(self) -> None:
        """Write what is left in the next turn of the process."""
        if self._buffer and not self._will_write:
            self._will_write = True
            self._loop.arrive(self._context, self._flush)

    def _read(self) -> None:
        self._will_read = False
        if self._is_lost or self._is_paused or not self._is_reading:
            return
        data = self._end.read()
        if not data and self._end.error is not None:
            self._force_close(self._end.error)
            return
        try:
            if data:
                self._protocol.data_received(data)
            elif self._end.has_ended and self._protocol.eof_received():
                self._is_reading = False
            elif self._end.has_ended:
                self.close()
        except Exception as error:  # noqa: BLE001 - asyncio ends a connection whose protocol fails
            self._fail(error, "the protocol failed")
            return
        if data:
            self.readable()

    def _read_error(self) -> None:
        self._will_read = False
        if self._end.error is not None:
            self._force_close(self._end.error)

    def _fail(self, error: Exception, message: str) -> None:
        self._loop.call_exception_handler(
            {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
        )
        self._force_close(error)

    # Writing.

    def write(self, data: Any) -> None:
        """Send, or keep what the kernel has no room for."""
        if self._has_written_end:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data or self._is_lost:
            return
        if self._end.error is not None:
            self._force_close(self._end.error)
            return
        sent = 0 if self._buffer else self._end.send(bytes(data))
        if sent < len(data):
            self._buffer += data[sent:]
            self._pause_protocol_if_needed()

    def _flush(self) -> None:
        self._will_write = False
        if self._is_lost or not self._buffer:
            return
        sent = self._end.send(bytes(self._buffer))
        del self._buffer[:sent]
        if self._has_paused_protocol and len(self._buffer) <= self._low:
            self._has_paused_protocol = False
            self._protocol.resume_writing()
        if not self._buffer:
            if self._is_closing:
                self._lose(None)
            elif self._has_written_end:
                self._end.shut_down()

    def _pause_protocol_if_needed(self) -> None:
        if len(self._buffer) > self._high and not self._has_paused_protocol:
            self._has_paused_protocol = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        """End this direction once all is sent."""
        if self._is_closing or self._has_written_end:
            return
        self._has_written_end = True
        if not self._buffer:
            self._end.shut_down()

    def can_write_eof(self) -> bool:
        """Yes: TCP can."""
        return True

    def get_write_buffer_size(self) -> int:
        """What the kernel has not taken yet, in bytes."""
        return len(self._buffer)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Below and above what the protocol is told, in bytes."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Tell the protocol above and below so many bytes."""
        self._high = HIGH_WATER_BYTES if high is None else high
        self._low = self._high // 4 if low is None else low
        self._pause_protocol_if_needed()

    # Reading.

    def is_reading(self) -> bool:
        """Whether the protocol is given what arrives."""
        return not self._is_closing and not self._is_paused

    def pause_reading(self) -> None:
        """Leave what arrives where it is."""
        if not self._is_closing:
            self._is_paused = True

    def resume_reading(self) -> None:
        """Read on; an end that was seen is seen again."""
        if not self._is_closing and self._is_paused:
            self._is_paused = False
            self._is_reading = True
            self.readable()

    # The end.

    def is_closing(self) -> bool:
        """Whether it has been closed, or will be once all is sent."""
        return self._is_closing

    def close(self) -> None:
        """Send what is buffered, then close."""
        if self._is_closing:
            return
        self._is_closing = True
        self._is_reading = False
        if not self._buffer:
            self._lose(None)

    def abort(self) -> None:
        """Close without sending what is buffered."""
        self._force_close(None)

    def _force_close(self, error: Exception | None) -> None:
        if self._is_lost:
            return
        self._buffer.clear()
        self._is_closing = True
        self._is_reading = False
        self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        self._is_lost = True
        self._loop.call_soon(self._tell_lost, error)

    def _tell_lost(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._end.close()

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told what happens here."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Tell another from now on."""
        self._protocol = cast("asyncio.Protocol", protocol)


Factory = Callable[[], asyncio.BaseProtocol]
