"""A backend: the process of a server that one client is connected to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from tests.sim.postgres.wal import Record

if TYPE_CHECKING:
    from tests.sim.postgres.server import Server

Outcome = Literal["acknowledged", "failed", "unknown"]
"""``unknown``: the connection ended, or PostgreSQL warned that the wait for standbys was cancelled."""

Answer = Callable[[Outcome], None]


class Backend:
    """One session; a statement at a time, each answered through the callback that came with it.

    When the backend ends, ``closed`` is called and nothing is answered any more.
    """

    def __init__(self, server: Server, closed: Callable[[], None]) -> None:
        self.server = server
        self.pid = server.engine.number()
        self.ended = False
        self._closed = closed
        self._local = False
        self._record: Record | None = None
        self._answer: Answer | None = None

    def commit(self, number: int, answer: Answer, work_s: float = 0.0, *, local: bool = False) -> None:
        """Insert and commit one row, ``number``, after ``work_s`` of work.

        It waits for standbys, at ``synchronous_commit = on``, unless ``local``.
        """
        if self.ended:
            return
        if self.server.in_recovery:
            answer("failed")
            return
        self._answer = answer
        self._local = local
        if work_s > 0:
            self.server.life.later(work_s, self._insert, number)
        else:
            self._insert(number)

    def _insert(self, number: int) -> None:
        server = self.server
        if self.ended:
            return
        self._record = server.insert("commit", number)
        server.in_flight.add(number)
        server.flush(self._record.end, self._is_flushed)

    def _is_flushed(self) -> None:
        if self.ended or self._record is None:
            return
        if self._local:
            self._released()
        else:
            self.server.sync_rep.wait(self._record.end, self._released)

    def _released(self) -> None:
        self._finish("acknowledged")

    def cancel(self) -> None:
        """A cancel request: a commit that waits for standbys is visible at once, with a warning."""
        self._finish("unknown")

    def _finish(self, outcome: Outcome) -> None:
        answer, record = self._answer, self._record
        self._answer = self._record = None
        if self.ended or answer is None or record is None or record.commit is None:
            return
        self.server.sync_rep.forget(self._released)
        self.server.in_flight.discard(record.commit)
        told = self.server.host.fleet.on_acknowledged
        if told is not None and outcome == "acknowledged" and not self._local:
            told(self.server, record)
        answer(outcome)

    def read(self) -> tuple[int, ...]:
        """Every row that this session can see."""
        return self.server.visible()

    @property
    def is_busy(self) -> bool:
        return self._answer is not None

    def terminate(self, *, silently: bool = False) -> None:
        """SIGTERM, or its server's end: a wait is cancelled, the client only sees the connection end."""
        if self.ended:
            return
        self.server.sync_rep.forget(self._released)
        if self._record is not None and self._record.commit is not None:
            self.server.in_flight.discard(self._record.commit)
        self.ended = True
        self._answer = self._record = None
        self.server.backends.pop(self.pid, None)
        if not silently:
            self._closed()
        self.server.process_ended()
