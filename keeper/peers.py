"""The cluster and its history, from the store, in the shape of Patroni's ``/cluster`` and ``/history``."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from common.errors import InvalidDocument
from common.model.history import HistoryEvent
from common.model.keys import Keys
from common.model.reports import KeeperReport
from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.status.documents import Documents, read_documents
from common.store.port import Store

REUSED_FOR_S: Final = 1.0
"""However many ask: the store is read no more often."""


class Peers:
    """What the store says of the others; each answer is reused for a moment."""

    def __init__(self, store: Store, keys: Keys, clock: Clock) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._answers: dict[str, tuple[float, Any]] = {}
        self._turn = asyncio.Lock()

    async def cluster(self) -> dict[str, Any]:
        """The members with role, state and lag; raises StoreUnavailable."""
        answer: dict[str, Any] = await self._reused("cluster")
        return answer

    async def history(self) -> list[list[Any]]:
        """Each timeline that ended: number, position, reason, when, who came after.

        Raises StoreUnavailable.
        """
        answer: list[list[Any]] = await self._reused("history")
        return answer

    async def _reused(self, what: str) -> Any:
        async with self._turn:
            read_at, answer = self._answers.get(what, (float("-inf"), None))
            if self._clock.monotonic() - read_at > REUSED_FOR_S:
                documents = await self._documents()
                answer = as_cluster(documents) if what == "cluster" else await self._history(documents.view)
                self._answers[what] = (self._clock.monotonic(), answer)
            return answer

    async def _documents(self) -> Documents:
        prefixes = (self._keys.view, self._keys.keepers)
        snapshots = await asyncio.gather(*(self._store.read(prefix) for prefix in prefixes))
        return read_documents(self._keys, (item for snapshot in snapshots for item in snapshot.items))

    async def _history(self, view: ClusterView | None) -> list[list[Any]]:
        events = []
        for item in (await self._store.read(self._keys.history)).items:
            try:
                events.append(HistoryEvent.from_bytes(item.value))
            except InvalidDocument:
                continue
        return as_history(view, events)


def as_cluster(documents: Documents) -> dict[str, Any]:
    """Patroni's words: leader, sync_standby, replica; lag in bytes, or ``unknown``."""
    view = documents.view
    if view is None:
        return {"scope": documents.cluster, "members": []}
    primary = documents.keepers.get(view.primary.uid) if view.primary else None
    sync = {member.uid for member in view.sync.current.members}
    members = []
    for member in view.members:
        report = documents.keepers.get(member.uid)
        is_leader = view.primary is not None and view.primary.uid == member.uid
        shown: dict[str, Any] = {
            "name": member.uid,
            "role": "leader" if is_leader else "sync_standby" if member.uid in sync else "replica",
            "state": _state(report),
            "host": member.host,
            "port": member.port,
            "tags": {"site": member.site},
        }
        if report is not None:
            shown |= {"api_url": report.api_url, "timeline": report.timeline}
            if not is_leader:
                shown["lag"] = max(0, primary.lsn - report.lsn) if primary is not None else "unknown"
        members.append(shown)
    return {"scope": documents.cluster, "members": members}


def _state(report: KeeperReport | None) -> str:
    if report is None:
        return "unknown"
    if report.state == "running" and report.upstream is not None and report.upstream.receiving:
        return "streaming"
    return report.state


def as_history(view: ClusterView | None, events: list[HistoryEvent]) -> list[list[Any]]:
    """One row for each timeline of the lineage that a later one replaced."""
    if view is None:
        return []
    named = {event.timeline: event for event in events if event.kind == "primary_named"}
    rows: list[list[Any]] = []
    for ended, following in zip(view.lineage, view.lineage[1:], strict=False):
        event = named.get(following.timeline)
        reason = event.text if event is not None else f"term {following.term} began"
        at = event.at.isoformat() if event is not None else ""
        rows.append([ended.timeline, int(following.fork), reason, at, following.uid])
    return rows
