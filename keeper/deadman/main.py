"""The deadman's process: ends every process of a data directory when its deadline passes.

Protocol, section 7: with ``k = 0`` nothing but a lease protects a commit, so PostgreSQL must be dead before
another can be promoted, also when the keeper hangs or dies. None of that ends a deadman: not the end of its
keeper, not a stop of it, not a signal to its process group (the deadman leads a session of its own). The
next life of the keeper finds the same deadman by its socket, and what was armed stays armed.

There is one for each root directory: it holds ``deadman.lock`` for as long as it lives, and only who holds
that puts ``deadman.sock`` in place. It is started by :mod:`keeper.deadman.launch`, and imports nothing but
the standard library and modules of ours that do the same.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from common.runtime.bareclock import boottime_s
from keeper.deadman.aside import Aside
from keeper.deadman.standing import take_standing
from keeper.deadman.watch import Watch
from keeper.deadman.wire import lock_path, socket_path

EXIT_HELD: Final = 3
"""Another deadman guards this root."""

_BACKLOG: Final = 8


def main(arguments: Sequence[str]) -> int:
    """Guard until there is nothing to guard; returns the exit code.

    The arguments are the keeper's root directory and the data directory, both absolute.
    """
    root, data = map(Path, arguments)
    os.umask(0o077)
    os.chdir("/")
    lock = _lock(lock_path(root))
    if lock is None:
        return EXIT_HELD
    standing = take_standing()
    aside = Aside(data, sys.stderr.fileno())
    aside.start()
    listener = _listener(socket_path(root))
    aside.say("deadman_started", data=data, **asdict(standing))
    Watch(listener, aside, standing, boottime_s).run()
    # Whoever connects from here on is refused at once, and starts another one when the lock has gone.
    socket_path(root).unlink(missing_ok=True)
    listener.close()
    aside.drain()
    os.close(lock)
    return 0


def _lock(path: Path) -> int | None:
    """Take the lock and return its descriptor, or None when somebody has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _listener(path: Path) -> socket.socket:
    """Listen where keepers look; what lies there is left by one that was killed."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.bind(str(path))
    listener.listen(_BACKLOG)
    return listener
