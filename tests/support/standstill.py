"""Processes that stand still for a while."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from keeper.postgres.seal import receivers
from tests.support.aio import until


@contextlib.contextmanager
def stopped(pids: Iterable[int]) -> Iterator[None]:
    """These processes stand still meanwhile (SIGSTOP), unless somebody kills them."""
    held = list(pids)
    try:
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def wal_receiver(postmaster: int) -> int:
    """The WAL receiver of a server; waits until there is one."""

    async def found() -> list[int]:
        """Children so young that they may become one are not meant: most become something else."""
        return [pid for pid in receivers(postmaster) if b"walreceiver" in _command_line(pid)]

    [pid] = await until(
        found, lambda pids: len(pids) == 1, f"the server of {postmaster} has one WAL receiver"
    )
    return pid


def _command_line(pid: int) -> bytes:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
