"""What the kernel does with the sockets that the proxy ends, or asks about."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest

from proxy.sockets import has_left, reset, tune
from tests.integration.proxy.stage import run
from tests.support.aio import LIMIT_S, eventually

CHUNK = b"x" * 1024 * 1024


def with_a_pair(story: Callable[[asyncio.Transport, socket.socket], Awaitable[None]]) -> None:
    """Run a story with a transport and the plain socket at its other end."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            transport, _ = await loop.create_connection(asyncio.Protocol, *listening.getsockname()[:2])
            peer, _ = listening.accept()
        with peer:
            peer.settimeout(LIMIT_S)
            await story(transport, peer)
            transport.abort()
            await asyncio.sleep(0.01)

    run(main())


def receive_all(peer: socket.socket) -> tuple[int, bool]:
    """How many bytes come, and whether a reset is their end."""
    count = 0
    try:
        while part := peer.recv(len(CHUNK)):
            count += len(part)
    except ConnectionResetError:
        return count, True
    return count, False


def test_a_reset_lets_nothing_through_that_was_not_yet_written() -> None:
    """Although the other side has made room in the same moment, in which the loop would have written."""

    async def story(transport: asyncio.Transport, peer: socket.socket) -> None:
        sent = 0
        while transport.get_write_buffer_size() < len(CHUNK):
            transport.write(CHUNK)
            sent += len(CHUNK)
        await asyncio.sleep(0.05)
        in_kernel = sent - transport.get_write_buffer_size()
        read = 0
        while read < in_kernel // 2:
            read += len(peer.recv(len(CHUNK)))
        reset(transport)
        await asyncio.sleep(0.05)
        rest, ends_with_reset = receive_all(peer)

        assert ends_with_reset
        assert read + rest <= in_kernel

    with_a_pair(story)


def test_a_reset_of_what_is_closed_already_is_none() -> None:
    """Cuts and ends meet at any time."""

    async def story(transport: asyncio.Transport, peer: socket.socket) -> None:
        transport.close()
        reset(transport)
        await asyncio.sleep(0.05)
        reset(transport)

        assert receive_all(peer) == (0, False)

    with_a_pair(story)


@pytest.mark.parametrize("how", ["close", "shutdown", "reset"])
def test_that_the_other_side_has_left_is_known_before_anything_is_read(how: str) -> None:
    """What it has sent first stands before its end."""

    async def story(transport: asyncio.Transport, peer: socket.socket) -> None:
        peer.sendall(b"last words")
        before = has_left(transport)
        if how == "shutdown":
            peer.shutdown(socket.SHUT_WR)
        else:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", how == "reset", 0))
            peer.close()

        assert not before
        await eventually(lambda: has_left(transport), "its end has come")

    with_a_pair(story)


def test_a_connection_takes_the_options_over_from_the_socket_that_listens() -> None:
    """So that a client whose host has vanished is given up, as a server is."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        tune(listening, peer_timeout_s=7.5)
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
    with accepted:
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7500
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
