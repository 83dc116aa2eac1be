"""The demo's own watch of the store: what the cluster looks like, and when each step was seen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from common.errors import StoreUnavailable, WatchLost
from common.model.keys import Keys
from common.model.reports import KeeperReport
from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.status.documents import Documents, read_documents
from common.store.port import KeyValue, Store
from pgha.demo.accounting import Milestone

RETRY_S = 0.2


class Observer:
    """Follows the store; arrival times are on the demo's clock.

    The owner of ``items`` is :meth:`follow`; readers take :attr:`documents`, which is built again only
    when something changed.
    """

    def __init__(self, store: Store, keys: Keys, clock: Clock) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._items: dict[str, KeyValue] = {}
        self._documents: Documents | None = None
        self._changed = asyncio.Event()
        self._seen: set[tuple[str, int]] = set()
        self.milestones: list[Milestone] = []
        self.streaming_since_s: dict[str, float] = {}
        """Since when each standby has been seen streaming without a break, in the primary's own words."""

    @property
    def documents(self) -> Documents:
        """The documents as they are now."""
        if self._documents is None:
            self._documents = read_documents(self._keys, self._items.values())
        return self._documents

    async def follow(self) -> None:
        """Read, watch, and begin again whenever the store was away or the watch has a gap."""
        while True:
            try:
                snapshot = await self._store.read(self._keys.prefix)
                self._take(snapshot.items, whole=True)
                async for batch in self._store.watch(self._keys.prefix, after_revision=snapshot.revision):
                    for event in batch.events:
                        if event.kind == "delete":
                            self._items.pop(event.item.key, None)
                            self._wake()
                        else:
                            self._take((event.item,))
            except (StoreUnavailable, WatchLost):
                await self._clock.sleep(RETRY_S)

    async def wait_for(
        self, holds: Callable[[Documents], bool], limit_s: float, *, else_s: float = 0.5
    ) -> bool:
        """Wait until the documents satisfy a condition; False when they did not within the limit."""
        deadline_s = self._clock.monotonic() + limit_s
        while not holds(self.documents):
            left_s = deadline_s - self._clock.monotonic()
            if left_s <= 0:
                return False
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(left_s, else_s))
        return True

    def _wake(self) -> None:
        self._documents = None
        self._changed.set()

    def _take(self, items: Iterable[KeyValue], *, whole: bool = False) -> None:
        """Take what is new, then note it: a report is judged by the view that came with it."""
        now_s = self._clock.monotonic()
        news = {item.key: item for item in items if not item.key.startswith(self._keys.history)}
        self._items = news if whole else self._items | news
        self._wake()
        view = self.documents.view
        if self._keys.view in news and view is not None:
            self._note_view(view, now_s)
        for uid, report in self.documents.keepers.items():
            if self._keys.keeper(uid) in news:
                self._note_report(report, now_s)

    def _note_view(self, view: ClusterView, now_s: float) -> None:
        if view.phase == "sealing":
            self._milestone(Milestone(now_s, "sealing", view.term))
        elif view.phase == "promoting":
            self._milestone(Milestone(now_s, "promoting", view.term))

    def _note_report(self, report: KeeperReport, now_s: float) -> None:
        if report.promotion is not None and report.promotion.finished:
            self._milestone(Milestone(now_s, "promoted", report.promotion.term))
        view = self.documents.view
        if view is None or view.primary is None or view.primary.uid != report.uid:
            return
        streaming = {
            member.uid
            for seen in report.standbys
            for member in view.members
            if seen.streaming and seen.term == view.term and seen.incarnation == member.incarnation
        }
        self.streaming_since_s = {uid: self.streaming_since_s.get(uid, now_s) for uid in streaming}

    def _milestone(self, milestone: Milestone) -> None:
        if (milestone.kind, milestone.term) not in self._seen:
            self._seen.add((milestone.kind, milestone.term))
            self.milestones.append(milestone)
