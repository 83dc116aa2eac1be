"""A guest: a client that is not yet at a server. It is held, unanswered, until there is one for it.

It is read all the time, since only so one notices that it leaves, but no more is held of it than a first
packet. When it leaves, all of that is dropped: bytes that outlive their client would be executed for nobody.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, cast

from proxy.pgwire import (
    DECLINED,
    MAX_STARTUP_BYTES,
    PROTOCOL_VIOLATION,
    NotPostgres,
    Opening,
    error_response,
    read_opening,
)
from proxy.sockets import has_left

REFUSAL_LIMIT_S: Final = 5.0
"""How long a refused client may take until it has heard why."""

DECLINES: Final = 2
"""A client asks once for GSS encryption and once for TLS."""


class Host(Protocol):
    """Who looks after guests."""

    def arrive(self, guest: Guest) -> None:
        """Take a client that has connected."""

    def opened(self, guest: Guest) -> None:
        """Find a server for a guest whose first packet is complete."""

    def leave(self, guest: Guest) -> None:
        """Forget a guest that has left or was refused."""


class Guest(asyncio.Protocol):
    """One client until it is at a server, refused, or gone."""

    transport: asyncio.Transport

    def __init__(self, host: Host, startup_timeout_s: float) -> None:
        self._host = host
        self._startup_timeout_s = startup_timeout_s
        self._held = bytearray()
        self._limit: asyncio.TimerHandle | None = None
        self._refusal: bytes | None = None
        self._declined = 0
        self.opening: Opening | None = None
        self.admission: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Expect a first packet within the limit."""
        self.transport = cast("asyncio.Transport", transport)
        self._close_in(self._startup_timeout_s)
        self._host.arrive(self)

    def data_received(self, data: bytes) -> None:
        """Hold what a guest sends, up to a first packet's size in all."""
        self._held += data
        if self._refusal is not None:
            self._answer()
        elif self.opening is None:
            self._open()
        elif len(self._held) > MAX_STARTUP_BYTES:
            self.refuse(PROTOCOL_VIOLATION, "pgha: the client sends more before it has been answered")

    def _open(self) -> None:
        try:
            found = read_opening(self._held)
        except NotPostgres:
            self.transport.abort()
            return
        if found is not None:
            self.opening = found[0]
            self._stop_limit()
            self._host.opened(self)

    def eof_received(self) -> bool:
        """Close, but for a CancelRequest: who sends one need not wait for anything."""
        return self.opening is Opening.CANCEL and self._refusal is None

    def connection_lost(self, _: Exception | None) -> None:
        """Forget what it sent."""
        self._stop_limit()
        self._host.leave(self)

    @property
    def has_left(self) -> bool:
        """Whether nothing of it may be passed on any more."""
        if self._refusal is not None or self.transport.is_closing():
            return True
        return self.opening is not Opening.CANCEL and has_left(self.transport)

    def take_held(self) -> bytes:
        """Return all that it has sent, for the server that it is joined to now."""
        return bytes(self._held)

    def refuse(self, sqlstate: str, message: str) -> None:
        """Say why there is no server for it, as soon as it can understand that, and close."""
        if self._refusal is None:
            self._refusal = error_response(sqlstate, message)
            self._close_in(REFUSAL_LIMIT_S)
            self._answer()

    def _answer(self) -> None:
        """Decline encryption until the StartupMessage comes, which an error can answer."""
        while not self.transport.is_closing():
            try:
                found = read_opening(self._held)
            except NotPostgres:
                self.transport.abort()
                return
            if found is None:
                return
            opening, length = found
            if opening.expects_more and self._declined < DECLINES:
                self._declined += 1
                del self._held[:length]
                self.transport.write(DECLINED)
                continue
            if opening is Opening.STARTUP and self._refusal is not None:
                self.transport.write(self._refusal)
            self.transport.close()

    def _close_in(self, seconds: float) -> None:
        self._stop_limit()
        self._limit = asyncio.get_running_loop().call_later(seconds, self.transport.abort)

    def _stop_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
