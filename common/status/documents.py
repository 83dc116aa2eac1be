"""Everything that stands in the store about one cluster, read leniently.

One malformed or newer document never hides the others: it is named, and counts as absent
(protocol, section 2). Sentinels decide from what is read here, and ``pgha status`` shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from common.errors import InvalidDocument
from common.model.base import Document
from common.model.keys import Keys
from common.model.reasons import Reason, ReasonsDocument
from common.model.reports import KeeperReport, ProxyReport, SentinelReport
from common.model.requests import Asked, Request
from common.model.spec import ClusterSpec
from common.model.view import ClusterView
from common.store.port import KeyValue

D = TypeVar("D", bound=Document)
R = TypeVar("R", KeeperReport, SentinelReport, ProxyReport)

REQUESTS_READ_MAX: Final = 200
"""The leader keeps far fewer; what somebody wrote beyond them past pgha is named, and not looked at."""

SHOWN_BYTES: Final = 200
"""How much of an unreadable document's problem is worth a terminal line or two."""


@dataclass(frozen=True)
class Documents:
    """The documents of one cluster; ``None`` and empty where there is none that can be read.

    A view or spec that cannot be read is not the same as none: the cluster is there. ``view_revision``
    is the mod revision of the view, 0 while there is none: what its next write compares with.
    ``malformed`` names each document that stands there and could not be used.
    """

    cluster: str
    spec: ClusterSpec | None = None
    spec_is_malformed: bool = False
    view: ClusterView | None = None
    view_is_malformed: bool = False
    view_revision: int = 0
    reasons: ReasonsDocument | None = None
    leader: str | None = None
    keepers: Mapping[str, KeeperReport] = field(default_factory=dict)
    sentinels: Mapping[str, SentinelReport] = field(default_factory=dict)
    proxies: Mapping[str, ProxyReport] = field(default_factory=dict)
    requests: tuple[Asked, ...] = ()
    malformed: tuple[Reason, ...] = ()


class _Parsed(NamedTuple):
    """What came of one value; ``problem`` is empty where there is a document."""

    value: bytes
    document: Document | None
    problem: str


class DocumentReader:
    """Reads the documents again and again, parsing only those whose value has changed.

    A spec that cannot be read does not undo the last one that could: a primary may die meanwhile.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._parsed: dict[str, _Parsed] = {}
        self._last_spec: ClusterSpec | None = None

    def read(self, items: Mapping[str, KeyValue]) -> Documents:
        """Turn the keys of the cluster's prefix into values; keys of other kinds are passed over."""
        keys = self._keys
        for gone in self._parsed.keys() - items.keys():
            del self._parsed[gone]
        bad: list[tuple[KeyValue, str]] = []

        def one(key: str, kind: type[D]) -> D | None:
            item = items.get(key)
            if item is None:
                return None
            document, problem = self._parse(item, kind)
            if document is None:
                bad.append((item, problem))
            return document

        def reports(prefix: str, kind: type[R]) -> dict[str, R]:
            found = {}
            for key in sorted(key for key in items if key.startswith(prefix)):
                uid, report = key.removeprefix(prefix), one(key, kind)
                if report is not None and report.uid != uid:
                    bad.append((items[key], f"it is the report of {report.uid!r}"))
                elif report is not None:
                    found[uid] = report
            return found

        spec = one(keys.spec, ClusterSpec)
        self._last_spec = spec or (self._last_spec if keys.spec in items else None)
        view = one(keys.view, ClusterView)
        return Documents(
            cluster=keys.cluster,
            spec=self._last_spec,
            spec_is_malformed=spec is None and keys.spec in items,
            view=view,
            view_is_malformed=view is None and keys.view in items,
            view_revision=items[keys.view].mod_revision if keys.view in items else 0,
            reasons=one(keys.reasons, ReasonsDocument),
            leader=items[keys.leader].value.decode(errors="replace") if keys.leader in items else None,
            keepers=reports(keys.keepers, KeeperReport),
            sentinels=reports(keys.sentinels, SentinelReport),
            proxies=reports(keys.proxies, ProxyReport),
            requests=self._requests(items, one, bad),
            malformed=tuple(self._name(item, problem) for item, problem in bad),
        )

    def _requests(
        self,
        items: Mapping[str, KeyValue],
        one: Callable[[str, type[Request]], Request | None],
        bad: list[tuple[KeyValue, str]],
    ) -> tuple[Asked, ...]:
        keys = self._keys
        named = sorted(key for key in items if key.startswith(keys.requests))
        found = []
        for key in named[:REQUESTS_READ_MAX]:
            request = one(key, Request)
            if request is not None and keys.request(request.id) != key:
                bad.append((items[key], f"it is the request {request.id!r}"))
            elif request is not None:
                found.append(Asked(request, items[key].mod_revision))
        if len(named) > REQUESTS_READ_MAX:
            bad.append((items[named[REQUESTS_READ_MAX]], f"more than {REQUESTS_READ_MAX} requests are there"))
        return tuple(found)

    def _parse(self, item: KeyValue, kind: type[D]) -> tuple[D | None, str]:
        known = self._parsed.get(item.key)
        if known is not None and known.value == item.value:
            if isinstance(known.document, kind):
                return known.document, ""
            if known.document is None:
                return None, known.problem
        document, problem = None, ""
        try:
            document = kind.from_bytes(item.value)
        except InvalidDocument as error:
            problem = str(error)
        self._parsed[item.key] = _Parsed(item.value, document, problem)
        return document, problem

    def _name(self, item: KeyValue, problem: str) -> Reason:
        """Say which document cannot be used, what follows from it, and what a human can do."""
        key = item.key
        shown = problem if len(problem) <= SHOWN_BYTES else problem[:SHOWN_BYTES] + "..."
        follows = "cannot be read and counts as absent"
        fix = "restart the service that writes it, or bring all services to one release"
        if key == self._keys.view:
            follows = "cannot be read, so nothing at all is decided"
            fix = (
                f"put the last good view back (etcdctl get {key} --rev={item.mod_revision - 1} shows the one "
                "before, else see a backup of etcd), or upgrade the sentinels if a newer release wrote it"
            )
        elif key == self._keys.spec:
            follows = "cannot be read; " + (
                "the last good one stays in force"
                if self._last_spec is not None
                else "without an earlier one nothing is decided"
            )
            fix = (
                "put a valid spec there (pgha spec validate checks one), or bring all services to one release"
            )
        elif key.startswith(self._keys.requests):
            follows = "cannot be read, so nothing is done about it"
            name = key.removeprefix(self._keys.requests)
            fix = f"pgha requests cancel {name} removes it; or bring all services to one release"
        return Reason(
            code="malformed_document",
            severity="critical" if key in {self._keys.view, self._keys.spec} else "warning",
            subject=key,
            text=f"{key} {follows}: {shown}",
            fix=fix,
        )


def read_documents(keys: Keys, items: Iterable[KeyValue]) -> Documents:
    """Read once what was found under the keys of a cluster."""
    return DocumentReader(keys).read({item.key: item for item in items})


def no_spec(cluster: str) -> Reason:
    """Nobody has said yet what the cluster should be."""
    return Reason(
        code="no_spec",
        severity="critical",
        text=f"the store holds no spec of cluster {cluster}",
        fix="write one with pgha init, or name the right cluster with --cluster",
    )
