"""Compares the store, as the mirrors of a service show it, with what that service remembers of it.

The view comes with the cluster id of the very read that returned it, so a view of another store is never
taken for one of ours, whichever of the mirrors is the first to see that store.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any

import structlog

from common.errors import InvalidDocument
from common.model.identity import Acceptance, Shown, ShownView, StoreMemory, Verdict, digest_of, judge
from common.model.keys import Keys
from common.model.view import ClusterView
from common.store.mirror import Mirror
from common.store.port import KeyValue

_log = structlog.get_logger()


class StoreGuard:
    """Watches over one service's store.

    ``view`` is its mirror of the view, ``store`` one of :attr:`Keys.store`; they may be the same mirror
    of the whole cluster, whose owner then runs it.
    """

    def __init__(self, keys: Keys, *, view: Mirror, store: Mirror) -> None:
        self._keys = keys
        self._view = view
        self._store = store
        self._read_view: tuple[bytes, ShownView | None] = (b"", None)
        self._read_acceptance: tuple[bytes, Acceptance | None] = (b"", None)

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run beside the mirror of the view, for ever."""
        return () if self._store is self._view else (self._store.run(),)

    async def wait_changed(self, timeout_s: float, *, since: int) -> bool:
        """Wait until what tells the store from others may have changed; see :attr:`version`."""
        return await self._store.wait_changed(timeout_s, since=since)

    @property
    def version(self) -> int:
        """Counts the changes of what tells the store from others."""
        return self._store.version

    def look(self, memory: StoreMemory) -> Verdict | None:
        """Judge the store by a memory; None while not all has been read that is needed for it.

        An acceptance that counts clears what the mirrors have against the store.
        """
        shown = self.shown(memory)
        if shown is None:
            return None
        verdict = judge(memory, shown)
        if verdict.accepted:
            for mirror in (self._view, self._store):
                if mirror.went_backwards:
                    mirror.clear_problem()
        return verdict

    def shown(self, memory: StoreMemory) -> Shown | None:
        """What the store shows of itself; None while it has not been read."""
        ids = {mirror.cluster_id for mirror in (self._view, self._store)}
        if 0 in ids:
            return None
        strange = [each for each in ids if f"{each:x}" != memory.cluster_id]
        if memory.cluster_id == "" and len(ids) > 1:
            return None
        store_id = self._store.items.get(self._keys.store_id)
        item = self._view.items.get(self._keys.view)
        view = self._shown_view(item)
        return Shown(
            store_id=store_id.value.decode(errors="replace") if store_id else "",
            cluster_id=f"{strange[0]:x}" if strange else memory.cluster_id,
            view=view,
            view_is_malformed=item is not None and view is None,
            went_backwards=self._view.problem or self._store.problem or "",
            acceptance=self._acceptance(self._store.items),
        )

    def _shown_view(self, item: KeyValue | None) -> ShownView | None:
        if item is None:
            return None
        if self._read_view[0] != item.value:
            try:
                view = ClusterView.from_bytes(item.value)
            except InvalidDocument:
                self._read_view = (item.value, None)
            else:
                shown = ShownView(view.generation, view.term, digest_of(item.value))
                self._read_view = (item.value, shown)
        return self._read_view[1]

    def _acceptance(self, items: Mapping[str, KeyValue]) -> Acceptance | None:
        item = items.get(self._keys.acceptance)
        if item is None:
            return None
        if self._read_acceptance[0] != item.value:
            found = None
            try:
                found = Acceptance.from_bytes(item.value)
            except InvalidDocument as error:
                _log.warning("acceptance_unusable", error=str(error))
            self._read_acceptance = (item.value, found)
        return self._read_acceptance[1]
