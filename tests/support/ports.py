"""Free TCP ports for test servers, never handed out twice among tests that run at the same time."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

# Below Linux's range for outgoing connections, which takes ports as it likes.
_FIRST, _LAST = 15_000, 25_000
_BLOCKS = range(25_000, 32_000, 100)
_LOCKS = Path(tempfile.gettempdir()) / f"pgha-test-ports-{os.getuid()}"
_held: dict[int, int] = {}


def free_port() -> int:
    """Return a port that nobody listens on; it stays ours until the process ends."""
    _LOCKS.mkdir(exist_ok=True)
    chooser = random.SystemRandom()
    for _ in range(1000):
        port = chooser.randrange(_FIRST, _LAST)
        if port not in _held and _lock(port) and _can_bind(port):
            return port
    raise AssertionError("no free port found")


def free_ports(count: int) -> list[int]:
    """Return several free ports."""
    return [free_port() for _ in range(count)]


def free_block(count: int) -> int:
    """Return the first of so many ports in a row that nobody listens on; they stay ours as long."""
    assert count <= _BLOCKS.step
    for first in random.SystemRandom().sample(_BLOCKS, len(_BLOCKS)):
        if first not in _held and _lock(first) and all(map(_can_bind, range(first, first + count))):
            return first
    raise AssertionError("no free block of ports found")


def _lock(port: int) -> bool:
    handle = os.open(_LOCKS / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    _held[port] = handle
    return True


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
