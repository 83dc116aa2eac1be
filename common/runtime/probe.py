"""Does a PostgreSQL server give a protocol answer? Any answer counts, an error too (protocol, section 4)."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Final

SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)
"""Answered with one byte by every server that still accepts connections, before it looks at anything else."""

PROBE_PERIOD_S: Final = 0.5
PROBE_LIMIT_S: Final = 1.0


async def answers(host: str, port: int, *, limit_s: float = PROBE_LIMIT_S) -> bool:
    """Whether a server answers within the limit; never raises for an unreachable one.

    Plain sockets, not streams: this runs twice a second in every keeper and sentinel.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limit_s):
            family, address = await _resolve(loop, host, port)
            with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
                await loop.sock_connect(connection, address)
                await loop.sock_sendall(connection, SSL_REQUEST)
                return bool(await loop.sock_recv(connection, 1))
    except (OSError, TimeoutError):
        return False


async def _resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> tuple[int, tuple[Any, ...]]:
    """The first address of a host; one that is an IPv4 address already needs nobody's answer."""
    try:
        socket.inet_pton(socket.AF_INET, host)
    except OSError:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return found[0][0], found[0][4]
    return socket.AF_INET, (host, port)
