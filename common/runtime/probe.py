"""Does a PostgreSQL server give a protocol answer? Any answer counts, an error too (protocol, section 4)."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Final

SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)
"""Answered with one byte by every server that still accepts connections, before it looks at anything else."""

PROBE_PERIOD_S: Final = 0.5
PROBE_LIMIT_S: Final = 1.0


async def answers(host: str, port: int, *, limit_s: float = PROBE_LIMIT_S) -> bool:
    """Whether a server answers within the limit; never raises for an unreachable one."""
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(SSL_REQUEST)
                return bool(await reader.read(1))
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
