"""What of a deadman may have to wait for a disk, in a thread of its own: its log, and what it must know.

At the deadline /proc is read and nothing else. A disk that no longer answers is one of the things that hang a
keeper, so it must not hang its deadman: what the data directory says (its inode, the postmaster's pid,
the shared memory segment) is read ahead, again and again, and the last that was read counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.runtime.bareclock import utc_text
from keeper.proc import Place, Segment, postmaster_pid, shared_memory

REFRESH_S: Final = 0.25
_LINES_WAITING_MAX: Final = 256
_STACK_BYTES: Final = 256 * 1024
"""Enough for what is done here; all of it is locked into memory."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was last read of the data directory."""

    place: Place
    postmaster: int | None = None
    segment: Segment | None = None


class Aside:
    """The thread. ``known`` is the last that it read; :meth:`say` never waits."""

    def __init__(self, data: Path, log: int) -> None:
        """``log`` is the descriptor that lines go to: a line that would have to wait is dropped."""
        self._data = data
        self._log = log
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._dropped = 0
        self.known = Known(Place.of(data))

    def start(self) -> None:
        """Begin; the thread ends with the process."""
        threading.stack_size(_STACK_BYTES)
        threading.Thread(target=self._run, name="aside", daemon=True).start()

    def say(self, event: str, **fields: object) -> None:
        """Have a line written; lost when too many wait already."""
        if self._lines.qsize() >= _LINES_WAITING_MAX:
            self._dropped += 1
            return
        line = {"timestamp": utc_text(), "event": event, "service": "deadman", "pid": os.getpid(), **fields}
        self._lines.put(json.dumps(line, default=str))

    def drain(self) -> None:
        """Write what waits, at the end of the process."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._write(self._lines.get_nowait())

    def _run(self) -> None:
        while True:
            with contextlib.suppress(queue.Empty):
                self._write(self._lines.get(timeout=REFRESH_S))
            self.refresh()

    def refresh(self) -> None:
        """Read it again; what cannot be read leaves what was known."""
        with contextlib.suppress(OSError, ValueError):
            self.known = Known(Place.of(self._data), postmaster_pid(self._data), shared_memory(self._data))

    def _write(self, line: str) -> None:
        ready = select.poll()
        ready.register(self._log, select.POLLOUT)
        if not ready.poll(0):
            self._dropped += 1
            return
        if self._dropped:
            line = f'{line[:-1]}, "lines_dropped": {self._dropped}}}'
        with contextlib.suppress(OSError):
            os.write(self._log, line.encode() + b"\n")
            self._dropped = 0
