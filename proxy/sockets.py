"""What asyncio does not say of a TCP socket: vanished peers, resets, and whether the other side has left."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from typing import Any, Final

KEEPALIVE_IDLE_S: Final = 30
KEEPALIVE_INTERVAL_S: Final = 10

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_LEFT: Final = select.POLLRDHUP | select.POLLHUP | select.POLLERR


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
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), _LEFT)
    return bool(poll.poll(0))


def reset(transport: asyncio.Transport) -> None:
    """End a connection now, with a reset, and let no byte through that waits to be written.

    ``abort`` closes the socket one turn of the loop later, and what it could not write before may go out in
    that turn: so the direction is shut first.
    """
    if transport.is_closing() and not transport.get_write_buffer_size():
        return
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    if transport.get_write_buffer_size():
        with sock.dup() as same:
            same.shutdown(socket.SHUT_WR)
    transport.abort()
