"""One GET, for programs that end at once: importing an HTTP library takes longer than to have the answer."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

PORT: Final = 80
HEAD_LIMIT_BYTES: Final = 16 * 1024
_PIECE_BYTES: Final = 64 * 1024


async def get(url: str, *, limit_bytes: int) -> bytes:
    """Ask for a URL once, by HTTP/1.0, and return the body of an answer with status 200; set a deadline.

    Raises OSError when there is no server, ValueError for any other answer, and for one that is longer than
    ``limit_bytes``. Redirections are not followed.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{url}: must be a URL like http://host:7431/status")
    path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or PORT)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
        answer = bytearray()
        while piece := await reader.read(_PIECE_BYTES):
            answer += piece
            if len(answer) > limit_bytes + HEAD_LIMIT_BYTES:
                raise ValueError(f"{url}: the answer is longer than {limit_bytes} bytes")
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first = bytes(head.partition(b"\r\n")[0])
    if not first.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200")):
        raise ValueError(f"{url}: it answers {first[:80]!r}")
    return bytes(body)
