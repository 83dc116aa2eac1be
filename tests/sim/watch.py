"""One watch between a simulated process and one member of the simulated etcd.

What the member sees reaches the client a latency and a lag later, in order. It is lost with the connection,
never in the middle: a new stream goes on behind the last batch that arrived.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from common.errors import PghaError, WatchLost
from common.store.port import WatchBatch
from tests.sim.etcd import SimEtcd
from tests.sim.network import ETCD, RETRANSMISSION_S
from tests.sim.process import Process

SILENCE_LIMIT_S: Final = 8.0
"""After so long the client's pings have found a connection dead."""


class StreamEnded(Exception):
    """The stream is over; another may go on behind it."""


class Stream:
    """The changes under a prefix behind a revision, as long as the connection lasts."""

    def __init__(self, etcd: SimEtcd, process: Process, member: str, prefix: str, position: int) -> None:
        self._etcd = etcd
        self._process = process
        self._host = process.host
        self._member = member
        self._prefix = prefix
        self._sent = position
        self._era = 0
        self._arrives_at = 0.0
        self._stuck_since: float | None = None
        self._will_push = False
        self._is_closed = False
        self._arrived: deque[WatchBatch] = deque()
        self._error: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None
        etcd.data.watchers[self._changed] = prefix
        etcd.add_stream(self.end, self._host)
        process.at_end(self.close)
        self._changed()

    async def receive(self) -> list[WatchBatch]:
        """Wait for the next changes; raises StreamEnded or WatchLost behind the last ones."""
        while not self._arrived:
            if self._error is not None:
                raise self._error
            self._waiting = self._etcd.loop.create_future()
            await self._waiting
        batches = list(self._arrived)
        self._arrived.clear()
        return batches

    def close(self) -> None:
        """Bring nothing more."""
        self._is_closed = True
        self._etcd.data.watchers.pop(self._changed, None)
        self._etcd.drop_stream(self.end)
        self._process.not_at_end(self.close)

    def end(self, error: PghaError | None) -> None:
        """Let it end at the client."""
        self._fail(error or StreamEnded("the member ended the stream"))

    def _changed(self) -> None:
        if not self._will_push and not self._is_closed:
            self._will_push = True
            self._etcd.loop.world_after(0.0, self._push)

    def _push(self) -> None:
        """Send what is new; while that cannot pass, try again, until somebody gives up."""
        self._will_push = False
        if self._is_closed:
            return
        etcd = self._etcd
        delay_s = etcd.network.path(self._member, self._host, ETCD)
        if delay_s is not None and self._host not in etcd.deaf and etcd.process(self._member).is_dead:
            self._fail(StreamEnded(f"{self._member} does not listen"))
            return
        if delay_s is None or self._host in etcd.deaf or not etcd.serves(self._member):
            self._try_again(can_hear=delay_s is not None)
            return
        self._stuck_since = None
        now = etcd.loop.time()
        self._arrives_at = max(self._arrives_at, now + delay_s + etcd.watch_lag_s)
        try:
            batches = etcd.data.changes(self._prefix, self._sent)
        except WatchLost as error:
            etcd.loop.world_after(self._arrives_at - now, self._fail, error)
            return
        if batches:
            began, self._sent = self._sent, batches[-1].revision
            etcd.loop.world_after(self._arrives_at - now, self._arrive, self._era, began, batches)

    def _try_again(self, *, can_hear: bool) -> None:
        now = self._etcd.loop.time()
        if self._stuck_since is None:
            self._stuck_since = now
        has_lost_leader = can_hear and self._host not in self._etcd.deaf and self._etcd.leader is None
        is_dead = not can_hear and now - self._stuck_since >= SILENCE_LIMIT_S
        if has_lost_leader or is_dead:
            self._fail(StreamEnded("no leader" if has_lost_leader else "no answer to a ping"))
            return
        self._will_push = True
        self._etcd.loop.world_after(RETRANSMISSION_S, self._push)

    def _arrive(self, era: int, began: int, batches: list[WatchBatch]) -> None:
        if self._is_closed or era != self._era:
            return
        if not self._etcd.network.is_open(self._member, self._host, ETCD):
            self._era += 1  # what is still on its way behind this comes again, too
            self._sent = began
            self._changed()
            return
        self._arrived.extend(batches)
        self._wake()

    def _fail(self, error: Exception) -> None:
        if not self._is_closed and self._error is None:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
