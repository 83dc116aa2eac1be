"""The first packet of a client, and the one message that a proxy says itself.

PostgreSQL manual, "Message Formats": StartupMessage, SSLRequest, GSSENCRequest, CancelRequest and
ErrorResponse. Nothing else is looked at on the way.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import Final

MAX_STARTUP_BYTES: Final = 10_000
"""PostgreSQL's MAX_STARTUP_PACKET_LENGTH, which does not count the length itself."""

CANNOT_CONNECT_NOW: Final = "57P03"
TOO_MANY_CONNECTIONS: Final = "53300"
PROTOCOL_VIOLATION: Final = "08P01"

DECLINED: Final = b"N"
"""The answer to SSLRequest and GSSENCRequest: go on in the clear, or give up."""

_HEADER: Final = struct.Struct("!iI")
_LENGTH_BYTES: Final = 4
_CANCEL_BYTES: Final = 16
_PROTOCOL_MAJOR: Final = 3
_TLS_HANDSHAKE: Final = 0x16


class Opening(Enum):
    """What a client begins with."""

    STARTUP = "startup"
    SSL = "ssl"
    GSSENC = "gssenc"
    CANCEL = "cancel"
    TLS = "tls"
    """A ClientHello without an SSLRequest before it (``sslnegotiation=direct``, PostgreSQL 17)."""

    @property
    def expects_more(self) -> bool:
        """Whether the client waits for one byte and then begins again."""
        return self in {Opening.SSL, Opening.GSSENC}


class NotPostgres(ValueError):
    """What a client sent is no beginning of PostgreSQL's protocol."""


_REQUESTS: Final = {
    80877102: (Opening.CANCEL, _CANCEL_BYTES),
    80877103: (Opening.SSL, _HEADER.size),
    80877104: (Opening.GSSENC, _HEADER.size),
}


def read_opening(data: bytes | bytearray) -> tuple[Opening, int] | None:
    """Return what a client begins with and how many bytes of ``data`` that is; None while it is incomplete.

    Of a bare TLS handshake all of ``data`` counts. Raises NotPostgres.
    """
    if data and data[0] == _TLS_HANDSHAKE:
        return Opening.TLS, len(data)
    if len(data) < _HEADER.size:
        return None
    length, code = _HEADER.unpack_from(data)
    if not _HEADER.size <= length <= MAX_STARTUP_BYTES + _LENGTH_BYTES:
        raise NotPostgres(f"a start-up packet of {length} bytes")
    kind, expected = _REQUESTS.get(code, (Opening.STARTUP, length))
    if kind is Opening.STARTUP and code >> 16 != _PROTOCOL_MAJOR:
        raise NotPostgres(f"protocol {code >> 16}.{code & 0xFFFF}")
    if length != expected and (kind is not Opening.CANCEL or length < expected):
        raise NotPostgres(f"a {kind.value} request of {length} bytes")
    return (kind, length) if len(data) >= length else None


def error_response(sqlstate: str, message: str) -> bytes:
    """Build the ErrorResponse of a FATAL error, for a client that has not been authenticated yet."""
    fields = (("S", "FATAL"), ("V", "FATAL"), ("C", sqlstate), ("M", message.replace("\0", " ")))
    body = b"".join(name.encode() + value.encode() + b"\0" for name, value in fields) + b"\0"
    return b"E" + struct.pack("!i", len(body) + _LENGTH_BYTES) + body
