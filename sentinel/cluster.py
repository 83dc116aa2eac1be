"""The cluster's documents as the store holds them, read once per revision; a bad one is named, not obeyed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from common.errors import InvalidDocument
from common.model.base import Document
from common.model.keys import Keys
from common.model.reasons import Reason, ReasonsDocument
from common.model.reports import KeeperReport, ProxyReport, SentinelReport
from common.model.spec import ClusterSpec
from common.model.view import ClusterView
from common.store.port import KeyValue

D = TypeVar("D", bound=Document)


@dataclass(frozen=True, slots=True)
class Documents:
    """Everything that the store says of one cluster at one revision.

    ``view_revision`` is the mod revision of the view, 0 while there is none: what the next write of
    the view compares with. ``problems`` name the documents that could not be used.
    """

    spec: ClusterSpec | None
    view: ClusterView | None
    view_revision: int
    view_is_malformed: bool
    keepers: Mapping[str, KeeperReport]
    sentinels: Mapping[str, SentinelReport]
    proxies: Mapping[str, ProxyReport]
    said: ReasonsDocument | None
    problems: tuple[Reason, ...]


class DocumentReader:
    """Reads documents, keeping each parsed one until its key is written again.

    A spec that cannot be read does not undo the last one that could: a primary may die meanwhile.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._parsed: dict[str, tuple[int, Document | None, Reason | None]] = {}
        self._last_spec: ClusterSpec | None = None

    def read(self, items: Mapping[str, KeyValue]) -> Documents:
        """Turn the keys of the cluster's prefix into values."""
        keys = self._keys
        for gone in self._parsed.keys() - items.keys():
            del self._parsed[gone]
        problems: list[Reason] = []

        def one(key: str, kind: type[D]) -> D | None:
            item = items.get(key)
            if item is None:
                return None
            document, problem = self._parse(item, kind)
            if problem is not None:
                problems.append(problem)
            return document

        def many(prefix: str, kind: type[D]) -> dict[str, D]:
            keys_of_kind = sorted(key for key in items if key.startswith(prefix))
            found = ((key.removeprefix(prefix), one(key, kind)) for key in keys_of_kind)
            return {uid: document for uid, document in found if document is not None}

        spec = one(keys.spec, ClusterSpec)
        self._last_spec = spec or (self._last_spec if keys.spec in items else None)
        view_item = items.get(keys.view)
        view = one(keys.view, ClusterView)
        return Documents(
            spec=self._last_spec,
            view=view,
            view_revision=view_item.mod_revision if view_item else 0,
            view_is_malformed=view_item is not None and view is None,
            keepers={
                uid: report for uid, report in many(keys.keepers, KeeperReport).items() if report.uid == uid
            },
            sentinels=many(keys.sentinels, SentinelReport),
            proxies=many(keys.proxies, ProxyReport),
            said=one(keys.reasons, ReasonsDocument),
            problems=tuple(problems),
        )

    def _parse(self, item: KeyValue, kind: type[D]) -> tuple[D | None, Reason | None]:
        known = self._parsed.get(item.key)
        if (
            known is not None
            and known[0] == item.mod_revision
            and (known[1] is None or isinstance(known[1], kind))
        ):
            return known[1], known[2]
        document: D | None = None
        problem: Reason | None = None
        try:
            document = kind.from_bytes(item.value)
        except InvalidDocument as error:
            problem = Reason(
                code="malformed_document",
                severity="critical",
                subject=item.key,
                text=f"{item.key} cannot be used and counts as absent: {error}",
                fix="restart the service that writes it, or correct it with pgha spec",
            )
        self._parsed[item.key] = (item.mod_revision, document, problem)
        return document, problem
