"""Everything that stands in the store about one cluster, read leniently.

One malformed or newer document never hides the others: it is named, and counts as absent
(protocol, section 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from common.errors import InvalidDocument
from common.model.base import Document
from common.model.keys import Keys
from common.model.reasons import Reason, ReasonsDocument
from common.model.reports import KeeperReport, ProxyReport, SentinelReport
from common.model.spec import ClusterSpec
from common.model.view import ClusterView
from common.store.port import KeyValue

D = TypeVar("D", bound=Document)

SHOWN_BYTES: Final = 200
"""How much of an unreadable document's problem is worth a terminal line or two."""


@dataclass(frozen=True)
class Documents:
    """The documents of one cluster; ``None`` and empty where there is none that can be read."""

    cluster: str
    spec: ClusterSpec | None = None
    view: ClusterView | None = None
    reasons: ReasonsDocument | None = None
    leader: str | None = None
    keepers: Mapping[str, KeeperReport] = field(default_factory=dict)
    sentinels: Mapping[str, SentinelReport] = field(default_factory=dict)
    proxies: Mapping[str, ProxyReport] = field(default_factory=dict)
    malformed: tuple[Reason, ...] = ()


def read_documents(keys: Keys, items: Iterable[KeyValue]) -> Documents:
    """Read what was found under the keys of a cluster; keys of other kinds are passed over."""
    stored = {item.key: item.value for item in items}
    malformed: list[Reason] = []

    def one(kind: type[D], key: str) -> D | None:
        return _read(kind, key, stored[key], malformed) if key in stored else None

    def several(kind: type[D], prefix: str) -> dict[str, D]:
        found = {
            key.removeprefix(prefix): _read(kind, key, stored[key], malformed)
            for key in sorted(stored)
            if key.startswith(prefix)
        }
        return {uid: document for uid, document in found.items() if document is not None}

    return Documents(
        cluster=keys.cluster,
        spec=one(ClusterSpec, keys.spec),
        view=one(ClusterView, keys.view),
        reasons=one(ReasonsDocument, keys.reasons),
        leader=stored[keys.leader].decode(errors="replace") if keys.leader in stored else None,
        keepers=several(KeeperReport, keys.keepers),
        sentinels=several(SentinelReport, keys.sentinels),
        proxies=several(ProxyReport, keys.proxies),
        malformed=tuple(malformed),
    )


def _read(kind: type[D], key: str, value: bytes, malformed: list[Reason]) -> D | None:
    try:
        return kind.from_bytes(value)
    except InvalidDocument as error:
        problem = str(error)
        shown = problem if len(problem) <= SHOWN_BYTES else problem[:SHOWN_BYTES] + "..."
        malformed.append(
            Reason(
                code="malformed_document",
                severity="warning",
                subject=key,
                text=f"{key} cannot be read and counts as absent: {shown}",
                fix="restart the service that writes it, or bring all services to one release",
            )
        )
        return None
