"""A session: a client's connection and a server's, each passing on what the other sends.

What one transport receives goes straight to the other's ``write``: no code of ours runs per packet. Ours
begins where a side has ended (half-close is passed on as half-close), is slow (the other is not read until it
has caught up, so what a session holds is bounded) or is lost, and where the session is cut.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from proxy.route import Decision, Target
from proxy.sockets import reset

BUFFER_BYTES: Final = 256 * 1024
"""A side that has left more than this unread is slow."""


class End(asyncio.Protocol):
    """One side of a session. What a server says before the session has begun is kept for the client."""

    transport: asyncio.Transport

    def __init__(self, session: Session) -> None:
        self._session = session
        self.peer: End | None = None
        self.early = b""
        self.has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection to a server that was dialled."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Keep it; from :meth:`join` on the other side's ``write`` stands here."""
        self.early += data

    def join(self, peer: End) -> None:
        """Pass on to the other side from now on."""
        self.peer = peer
        self.data_received = peer.transport.write  # type: ignore[method-assign]  # nothing of ours runs per packet
        self.transport.set_write_buffer_limits(BUFFER_BYTES)
        self.transport.set_protocol(self)

    def eof_received(self) -> bool:
        """Pass the end of this direction on; the connection ends when both have."""
        self.has_ended = True
        if self.peer is not None:
            self.pass_end_on(self.peer)
        return True

    def pass_end_on(self, peer: End) -> None:
        """Tell the other side that nothing more will come."""
        if not peer.transport.is_closing():
            peer.transport.write_eof()
        if peer.has_ended:
            self.transport.close()
            peer.transport.close()

    def pause_writing(self) -> None:
        """Do not read the other side while this one is slow."""
        if self.peer is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read the other side again; one that has ended would only end again."""
        if self.peer is not None and not self.peer.has_ended:
            self.peer.transport.resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        """Let the other side go too."""
        self._session.lose(self)


class Session:
    """A client at a server of one target."""

    def __init__(self, target: Target, sessions: Sessions) -> None:
        self.target = target
        self._sessions = sessions
        self._lost = 0
        self.client = End(self)
        self.server = End(self)

    def begin(self, client: asyncio.Transport, sent: bytes) -> None:
        """Join the two sides, after the server has been dialled; ``sent`` is what the client has sent so far.

        Raises ConnectionError when the server has gone again.
        """
        if self._lost or self.server.transport.is_closing():
            raise ConnectionResetError("the server closed the connection at once")
        self.client.transport = client
        self._sessions.add(self)
        self.client.join(self.server)
        self.server.join(self.client)
        self.server.transport.write(sent)
        if self.server.early:
            client.write(self.server.early)
            self.server.early = b""
        if self.server.has_ended:
            self.server.pass_end_on(self.client)

    def lose(self, end: End) -> None:
        """Let go of the other side.

        A client still gets what its server said; what a client that has gone said is not passed on.
        """
        self._lost += 1
        if end.peer is None:
            return
        if self._lost == 2:  # noqa: PLR2004 - both sides
            self._sessions.discard(self)
        elif end is self.server:
            self.client.transport.close()
        elif not self.server.transport.is_closing():
            reset(self.server.transport)

    def cut(self) -> None:
        """End it now; the server gets a reset, so that it stops working for nobody."""
        reset(self.server.transport)
        self.client.transport.abort()


class Sessions(dict[Session, None]):
    """The sessions that go on, the oldest first."""

    def add(self, session: Session) -> None:
        """Count one that has begun."""
        self[session] = None

    def discard(self, session: Session) -> None:
        """Forget one that has ended."""
        self.pop(session, None)

    def cut(self, decision: Decision) -> int:
        """Close those that may not stay, and return how many those were."""
        ended = [session for session in self if not decision.may_stay(session.target)]
        for session in ended:
            session.cut()
        return len(ended)
