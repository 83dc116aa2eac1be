"""Read what an explanation is made from."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from common.errors import InvalidDocument
from common.model.history import HistoryEvent
from common.model.keys import Keys
from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.status.documents import Documents
from common.status.model import LiveFigures
from common.store.port import Store
from pgha.explain.explanation import Explanation, explain
from pgha.status.gather import ask_live, read_cluster

NAMINGS: Final = frozenset({"primary_named", "primary_named_again"})

DIGITS_CUT_MAX: Final = 4
"""A key's last digits left out: so ten, a hundred, a thousand, ten thousand generations are read at once."""


async def gather(store: Store, keys: Keys, clock: Clock) -> Explanation:
    """Explain a cluster as it is now; raises StoreUnavailable when the store does not answer."""

    async def from_documents() -> tuple[Documents, Mapping[str, LiveFigures], HistoryEvent | None]:
        documents = await read_cluster(store, keys)
        naming, live = await asyncio.gather(
            naming_event(store, keys, documents.view), ask_live(documents.keepers.values(), clock)
        )
        return documents, live, naming

    (documents, live, naming), members = await asyncio.gather(from_documents(), store.members())
    return explain(documents, live, members, naming, clock.wall())


async def naming_event(store: Store, keys: Keys, view: ClusterView | None) -> HistoryEvent | None:
    """The event by which the primary of the view was named; None where the history has lost it."""
    if view is None or view.primary is None:
        return None
    for cut in range(1, DIGITS_CUT_MAX + 1):
        snapshot = await store.read(keys.event(view.generation)[:-cut])
        for item in reversed(snapshot.items):
            try:
                event = HistoryEvent.from_bytes(item.value)
            except InvalidDocument:
                continue
            if event.kind in NAMINGS and event.term == view.term:
                return event
    return None
