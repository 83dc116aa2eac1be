"""One client of the store in memory, with the faults that a client meets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence

from common.errors import StoreUnavailable, UnknownOutcome, WatchLost
from common.store.keyspace import check_writes
from common.store.memory.server import MemoryEtcd
from common.store.port import Compare, Delete, Lease, Newer, Outcome, Put, Snapshot, StoreMember, WatchBatch
from common.store.signal import Signal


class MemoryStore:
    """The Store port on a :class:`MemoryEtcd`; several clients may share one."""

    def __init__(self, server: MemoryEtcd, *, timeout_s: float = 2.0) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._state = Signal(server.clock)
        self._out_of_reach = False
        self._deaf = False
        self._lost_answers: deque[bool] = deque()
        self._watch_era = 0

    def cut(self) -> None:
        """Lose the connection: calls wait for it until their deadline, watches bring nothing."""
        self._out_of_reach = True

    def deafen(self) -> None:
        """Let watches bring nothing while calls succeed."""
        self._deaf = True

    def heal(self) -> None:
        """End :meth:`cut` and :meth:`deafen`; watches go on where they were."""
        self._out_of_reach = self._deaf = False
        self._state.notify()

    def lose_answer(self, *, applied: bool) -> None:
        """Let the next transaction end with an unknown outcome, done or not."""
        self._lost_answers.append(applied)

    def break_watches(self) -> None:
        """Cancel the watches that run now."""
        self._watch_era += 1
        self._state.notify()

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        limit = self._server.clock.monotonic() + self._timeout_s
        while self._out_of_reach:
            left_s = limit - self._server.clock.monotonic()
            if left_s <= 0:
                raise StoreUnavailable(f"the store did not answer within {self._timeout_s:g} s")
            await self._state.wait(left_s)

    async def read(self, prefix: str) -> Snapshot:
        """Read everything under a prefix."""
        await self._reach()
        items = self._server.items(prefix)
        return Snapshot(self._server.revision, self._server.cluster_id, items)

    async def read_newer(self, prefix: str, *, than_revision: int) -> Newer:
        """Read what was written under a prefix after a revision."""
        await self._reach()
        items = self._server.items(prefix)
        newer = tuple(item for item in items if item.mod_revision > than_revision)
        return Newer(self._server.revision, self._server.cluster_id, len(items), newer)

    async def transact(self, compares: Sequence[Compare], writes: Sequence[Put | Delete]) -> Outcome:
        """Do all writes if all compares hold, else none."""
        check_writes(writes)
        await self._reach()
        if not self._lost_answers:
            return self._server.transact(compares, writes)
        if self._lost_answers.popleft():
            self._server.transact(compares, writes)
        await self._server.clock.sleep(self._timeout_s)
        raise UnknownOutcome(f"the store did not answer a write within {self._timeout_s:g} s")

    async def watch(self, prefix: str, *, after_revision: int) -> AsyncGenerator[WatchBatch, None]:
        """Yield every change after a revision."""
        position, era = after_revision, self._watch_era
        while True:
            seen, seen_here = self._server.changed.version, self._state.version
            if era != self._watch_era:
                raise WatchLost("the store cancelled the watch")
            if self._out_of_reach or self._deaf:
                await self._state.wait(None, since=seen_here)
                continue
            batches = self._server.changes(prefix, position)
            for batch in batches:
                position = batch.revision
                yield batch
            if not batches:
                await self._wait_for_change(seen, seen_here)

    async def _wait_for_change(self, seen: int, seen_here: int) -> None:
        """Wait for a write, the end of a lease, or a change of this client's faults."""
        waits = (
            asyncio.ensure_future(self._server.changed.wait(self._server.next_expiry_in_s(), since=seen)),
            asyncio.ensure_future(self._state.wait(None, since=seen_here)),
        )
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def grant_lease(self, ttl_s: int) -> Lease:
        """Take a new lease."""
        await self._reach()
        return self._server.grant(ttl_s)

    async def keep_alive(self, lease_id: int) -> float:
        """Renew a lease."""
        await self._reach()
        return self._server.keep_alive(lease_id)

    async def revoke_lease(self, lease_id: int) -> None:
        """End a lease and delete what hangs on it."""
        await self._reach()
        self._server.revoke(lease_id)

    async def members(self) -> tuple[StoreMember, ...]:
        """Say how the store is."""
        problem = "no answer" if self._out_of_reach else ""
        alarms = ("alarm:NOSPACE",) if self._server.no_space else ()
        return (StoreMember("memory", "memory", not problem, "memory", problem, alarms),)

    async def close(self) -> None:
        """Nothing is held."""
