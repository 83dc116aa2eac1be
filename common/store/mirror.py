"""A local image of a prefix, and since when it is known to be fresh.

The image begins with a linearizable read and is carried on by a watch from that revision. A quiet watch
proves nothing, so every ``confirm_every_s`` a linearizable read asks what is newer than the image; once
the image contains all that this read saw, it is fresh as of the moment the read was *sent* (protocol,
section 2). A watch that does not bring within ``lag_limit_s`` what such a read has seen is deaf, whatever
its connection says, and everything is read again, as after a lost watch.

A store that was restored while nobody looked may have grown past the revision of the image, so that nothing
seems to go back. Its keys tell: whatever is as old as the image must be in it, unchanged.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import Any

import structlog

from common.errors import StoreUnavailable, WatchLost
from common.runtime.clock import Clock
from common.store.port import KeyValue, Newer, Snapshot, Store, WatchBatch
from common.store.signal import Signal

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0

_log = structlog.get_logger()


class Mirror:
    """The keys under a prefix as this process knows them; start :meth:`run` as a task.

    ``items`` is replaced, never changed: who keeps it keeps a consistent image of one revision.
    ``synced`` says that the image has no gap and the last confirmation succeeded; when it is False
    the image is the last one known. ``problem`` names a store that went backwards or became another
    one; it stays until :meth:`clear_problem`, while the image follows what the store says now.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        prefix: str,
        *,
        confirm_every_s: float = 1.0,
        lag_limit_s: float = 0.5,
    ) -> None:
        self._store = store
        self._clock = clock
        self._prefix = prefix
        self._confirm_every_s = confirm_every_s
        self._lag_limit_s = lag_limit_s
        self._signal = Signal(clock)
        self._doubts = Signal(clock)
        self._fresh_since = -math.inf
        self._said_lost = False
        self.items: Mapping[str, KeyValue] = MappingProxyType({})
        self.revision = 0
        self.cluster_id = 0
        self.synced = False
        self.problem: str | None = None

    @property
    def version(self) -> int:
        """Counts the changes of items, synced and problem; for :meth:`wait_changed`."""
        return self._signal.version

    @property
    def went_backwards(self) -> bool:
        """Whether the store showed an older revision or another cluster id than before."""
        return self.problem is not None

    def clear_problem(self) -> None:
        """Forget the problem: an operator confirmed that this store is the right one."""
        self.problem = None
        self._signal.notify()

    def doubt(self) -> None:
        """Read everything again soon: the store behaves as this image cannot explain."""
        self._doubts.notify()

    def fresh_since(self) -> float:
        """Monotonic time at which the last linearizable read that the image contains was sent.

        Minus infinity before the first one.
        """
        return self._fresh_since

    async def wait_changed(self, timeout_s: float, *, since: int | None = None) -> bool:
        """Wait for a change after ``version`` ``since`` (now, when left out); False at the timeout."""
        return await self._signal.wait(timeout_s, since=since)

    async def run(self) -> None:
        """Keep the image until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            doubts = self._doubts.version
            try:
                await self._read_all()
                pause_s = _FIRST_PAUSE_S
                await _until_first_fails(self._follow(), self._confirm(), self._until_doubted(doubts))
            except WatchLost as error:
                self._lose_sync("watch_lost", error)
            except StoreUnavailable as error:
                self._lose_sync("store_unreachable", error)
            await self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _lose_sync(self, event: str, error: Exception) -> None:
        if not self._said_lost:
            self._said_lost = True
            _log.warning(event, prefix=self._prefix, revision=self.revision, error=str(error))
        if self.synced:
            self.synced = False
            self._signal.notify()

    async def _read_all(self) -> None:
        sent, known = self._clock.monotonic(), self.revision
        snapshot = await self._store.read(self._prefix)
        self._notice_other_store(snapshot, known)
        self.items = MappingProxyType({item.key: item for item in snapshot.items})
        self.revision = snapshot.revision
        self.cluster_id = snapshot.cluster_id
        self.synced = True
        self._said_lost = False
        self._fresh_since = sent
        self._signal.notify()

    async def _follow(self) -> None:
        async with aclosing(self._store.watch(self._prefix, after_revision=self.revision)) as batches:
            async for batch in batches:
                self._apply(batch)

    def _apply(self, batch: WatchBatch) -> None:
        """Apply what is newer than the image: a confirmation may have carried it past this batch."""
        events = [event for event in batch.events if event.item.mod_revision > self.revision]
        if not events:
            return
        items = dict(self.items)
        for event in events:
            if event.kind == "put":
                items[event.item.key] = event.item
            else:
                items.pop(event.item.key, None)
        self.items = MappingProxyType(items)
        self.revision = batch.revision
        self._signal.notify()

    async def _confirm(self) -> None:
        while True:
            await self._clock.sleep(self._confirm_every_s)
            sent, known = self._clock.monotonic(), self.revision
            newer = await self._store.read_newer(self._prefix, than_revision=known)
            if self._notice_other_store(newer, known):
                raise WatchLost("the store is no longer the one that was read")
            await self._wait_until_covered(newer, known)
            self.revision = max(self.revision, newer.revision)
            self._fresh_since = sent

    async def _until_doubted(self, seen: int) -> None:
        await self._doubts.wait(None, since=seen)
        raise WatchLost("the store does not behave as what was read of it says")

    async def _wait_until_covered(self, newer: Newer, known: int) -> None:
        limit = self._clock.monotonic() + self._lag_limit_s
        while not self._covers(newer, known):
            left_s = limit - self._clock.monotonic()
            if left_s <= 0:
                raise WatchLost(f"the watch has not brought revision {newer.revision} in time")
            await self._signal.wait(left_s)

    def _covers(self, newer: Newer, known: int) -> bool:
        """Whether the image contains all that a read saw which asked for what is newer than ``known``.

        Past its last write only deletions can be missing, and each of those lowers the count. Another count
        at the same revision means that the store has another past than the image.
        """
        if self.revision > newer.revision:
            return True
        last_write = max((item.mod_revision for item in newer.items), default=known)
        return self.revision >= last_write and newer.count == len(self.items)

    def _notice_other_store(self, seen: Snapshot | Newer, known_revision: int) -> bool:
        """Say whether a read, sent when ``known_revision`` was known, shows an older or another store."""
        if self.cluster_id and seen.cluster_id != self.cluster_id:
            problem = f"etcd cluster id {seen.cluster_id:x} instead of {self.cluster_id:x}"
        elif seen.revision < known_revision:
            problem = f"etcd went back to revision {seen.revision}, {known_revision} was seen before"
        elif isinstance(seen, Snapshot) and (key := self._key_of_another_past(seen, known_revision)):
            problem = f"etcd holds {key} as it was not when revision {known_revision} was seen"
        else:
            return False
        if self.problem is None:
            self.problem = problem
            _log.error("store_went_backwards", prefix=self._prefix, problem=problem)
            self._signal.notify()
        return True

    def _key_of_another_past(self, seen: Snapshot, known_revision: int) -> str | None:
        """A key that cannot have changed since the image was complete, and yet differs from it."""
        for item in seen.items:
            if item.mod_revision <= known_revision:
                known = self.items.get(item.key)
                if known is None or known.mod_revision != item.mod_revision:
                    return item.key
        if seen.revision == known_revision:
            return min(self.items.keys() - {item.key for item in seen.items}, default=None)
        return None


async def _until_first_fails(*works: Coroutine[Any, Any, None]) -> None:
    """Run works that never end side by side; cancel all and raise what the first one raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
