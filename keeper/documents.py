"""What a keeper reads from the store: the spec, and the view that it obeys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from common.errors import InvalidDocument
from common.model.identity import digest_of
from common.model.keys import Keys
from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.spec import ClusterSpec
from common.model.view import ClusterView
from common.model.wal import Lsn
from common.store.port import KeyValue


@dataclass
class Documents:
    """The last good spec and view, and what was wrong with later ones.

    A view older than one that this keeper has obeyed is never obeyed (protocol, section 2).
    """

    keys: Keys
    uid: str
    spec: ClusterSpec = field(default_factory=ClusterSpec)
    has_spec: bool = False
    view: ClusterView | None = None
    view_digest: str = ""
    problems: dict[str, Reason] = field(default_factory=dict)
    _read: dict[str, int] = field(default_factory=dict)

    def take(self, items: Mapping[str, KeyValue], obeyed_generation: int) -> bool:
        """Read what changed; return whether there is another view to obey."""
        self._take_spec(items.get(self.keys.spec))
        return self._take_view(items.get(self.keys.view), obeyed_generation)

    def _is_news(self, item: KeyValue | None) -> bool:
        if item is None or self._read.get(item.key) == item.mod_revision:
            return False
        self._read[item.key] = item.mod_revision
        return True

    def _take_spec(self, item: KeyValue | None) -> None:
        if item is None or not self._is_news(item):
            return
        try:
            self.spec = ClusterSpec.from_bytes(item.value)
            self.has_spec = True
            self.problems.pop("spec", None)
        except InvalidDocument as error:
            self.problems["spec"] = self._malformed(item.key, error)

    def _take_view(self, item: KeyValue | None, obeyed_generation: int) -> bool:
        if item is None or not self._is_news(item):
            return False
        try:
            view = ClusterView.from_bytes(item.value)
        except InvalidDocument as error:
            self.problems["view"] = self._malformed(item.key, error)
            return False
        if view.generation < obeyed_generation:
            self.problems["view"] = Reason(
                code="view_went_back",
                severity="critical",
                subject=self.uid,
                text=f"{self.uid} has obeyed the view of generation {obeyed_generation} and does not obey "
                f"one of generation {view.generation}",
                fix="see whether the store was restored from an old backup",
            )
            return False
        self.problems.pop("view", None)
        self.view = view
        self.view_digest = digest_of(item.value)
        return True

    def _malformed(self, key: str, error: InvalidDocument) -> Reason:
        return Reason(
            code="malformed_document",
            severity="critical",
            subject=self.uid,
            text=f"{self.uid}: {key} cannot be used and counts as absent: {error}",
            fix="put back what stood there before: pgha status says how; or upgrade this keeper",
        )


def positions_of(items: Iterable[KeyValue]) -> dict[str, Lsn]:
    """Where members are, by their reports; a report that cannot be used says nothing."""
    found = {}
    for item in items:
        try:
            report = KeeperReport.from_bytes(item.value)
        except InvalidDocument:
            continue
        found[report.uid] = report.lsn
    return found
