"""Every view that was written, in the order of the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from common.model.history import HistoryEvent
from common.model.keys import Keys
from common.model.view import ClusterView
from tests.sim.etcd_data import EtcdData


@dataclass(frozen=True, slots=True)
class ViewWrite:
    """One write of the view, with the event of its transaction, and who led when it happened."""

    before: ClusterView | None
    view: ClusterView
    event: HistoryEvent | None
    leader: str
    is_restored: bool = False
    """Whether it is the first one since the store was put back to a backup."""

    @property
    def is_accepted(self) -> bool:
        """Whether it follows an operator's word for the store."""
        return self.event is not None and self.event.kind == "store_accepted"


class ViewWatch:
    """Sees each write of the view, or of a keeper's report, in the instant in which it happens."""

    def __init__(self, data: EtcdData, keys: Keys) -> None:
        self._data = data
        self._keys = keys
        self.view: ClusterView | None = None
        """The one that was written last, also while a restored store shows an older one."""
        self.is_restored = False
        self.on_view: list[Callable[[ViewWrite], None]] = []
        self.on_report: list[Callable[[str, bytes], None]] = []
        self.on_leaderless: list[Callable[[], None]] = []
        data.watchers[self._wake] = keys.prefix

    def _wake(self) -> None:
        keys, events = self._keys, self._data._history[-1].events
        written = {each.item.key: each.item for each in events if each.kind == "put"}
        if any(each.kind == "delete" and each.item.key == keys.leader for each in events):
            for lead in self.on_leaderless:
                lead()
        if keys.view in written:
            event = next((item for key, item in written.items() if key.startswith(keys.history)), None)
            leader = self._data._items.get(keys.leader)
            before, self.view = self.view, ClusterView.from_bytes(written[keys.view].value)
            write = ViewWrite(
                before,
                self.view,
                HistoryEvent.from_bytes(event.value) if event else None,
                leader.value.decode() if leader else "",
                self.is_restored,
            )
            self.is_restored = False
            for hear in self.on_view:
                hear(write)
        for key, item in written.items():
            if key.startswith(keys.keepers):
                for hear_report in self.on_report:
                    hear_report(key.removeprefix(keys.keepers), item.value)
