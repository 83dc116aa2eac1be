"""What asyncio does not say of a TCP socket: vanished peers, resets, and whether the other side has left."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from typing import Any, Final

KEEPALIVE_IDLE_S: Final = 30
KEEPALIVE_INTERVAL_S: Final = 10

_NO_ADDRESS: Final = bytes(16)
"""A sockaddr of the family AF_UNSPEC, which Python's own sockets do not take."""

_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)
_ESTABLISHED: Final = 1
"""The state in which both directions are open (tcp(7), the first byte of TCP_INFO)."""

_libc: Final = ctypes.CDLL(None)


def tune(sock: Any, *, peer_timeout_s: float) -> None:
    """Send without delay, and give up a peer whose host does not answer.

    A connection takes these options over from the socket that listens. With ``TCP_USER_TIMEOUT`` the limit of
    keepalive is that time too, whatever the number of probes (tcp(7)).
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(peer_timeout_s * 1000))


def has_left(transport: asyncio.BaseTransport) -> bool:
    """Whether the other side has closed its direction, known before what it sent first has been read."""
    info: bytes = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return info[0] != _ESTABLISHED


def reset(transport: asyncio.Transport) -> None:
    """End a connection now: its peer gets a reset, and what has not been sent yet is dropped.

    ``abort`` alone closes the socket one turn of the loop later, without a reset, and what it could not
    write before may go out in that turn. A connection to no address is dissolved at once (connect(2)).
    """
    if transport.is_closing() and not transport.get_write_buffer_size():
        return
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    _libc.connect(sock.fileno(), _NO_ADDRESS, len(_NO_ADDRESS))
    transport.abort()
