"""What a session makes of its two transports, where sockets would leave it to chance."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from proxy.route import Target
from proxy.session import Session, Sessions


class FakeTransport:
    """Remembers what was done to it."""

    def __init__(self) -> None:
        self.did: list[object] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.did.append(data)

    def write_eof(self) -> None:
        self.did.append("eof")

    def set_write_buffer_limits(self, high: int) -> None:
        assert high > 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True


def a_session(sessions: Sessions) -> tuple[Session, FakeTransport, asyncio.Transport, FakeTransport]:
    """A session whose server has been dialled, its server, and a client for it."""
    session = Session(Target(1, "one", "1", "127.0.0.1", 1), sessions)
    server, client = FakeTransport(), FakeTransport()
    session.server.connection_made(cast("asyncio.Transport", server))
    return session, server, cast("asyncio.Transport", client), client


def test_what_a_server_says_before_the_session_begins_reaches_the_client() -> None:
    """PostgreSQL does so when it cannot fork: it says why and closes."""
    session, server, transport, client = a_session(Sessions())
    session.server.data_received(b"could not ")
    session.server.data_received(b"fork")
    session.server.eof_received()
    session.begin(transport, b"startup")

    assert client.did == [b"could not fork", "eof"]
    assert server.did == [b"startup"]


def test_a_server_that_has_gone_again_begins_no_session() -> None:
    """It counts as one that does not take connections."""
    sessions = Sessions()
    lost, _, transport, client = a_session(sessions)
    lost.server.connection_lost(None)
    closing, server, _, _ = a_session(sessions)
    server.closing = True

    for session in (lost, closing):
        with pytest.raises(ConnectionResetError):
            session.begin(transport, b"startup")
    assert client.did == []
    assert len(sessions) == 0


def test_a_session_counts_until_both_sides_are_lost() -> None:
    """One side may have something to write for a while, which a cut must reach."""
    sessions = Sessions()
    session, _, transport, client = a_session(sessions)
    session.begin(transport, b"")
    session.server.connection_lost(None)
    with_one_side = len(sessions)
    session.client.connection_lost(None)

    assert with_one_side == 1
    assert client.closing
    assert len(sessions) == 0
