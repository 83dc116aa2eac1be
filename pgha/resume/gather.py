"""Ask the store and every keeper what they know, for an operator who has to judge a restored store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from common.errors import InvalidDocument, PeerUnavailable, UnsafeOperation
from common.model.identity import Acceptance, StoreMemory
from common.model.keys import Keys
from common.model.reasons import SUSPENDED
from common.model.reports import KeeperReport, ProxyReport, SentinelReport
from common.model.view import ClusterView
from common.runtime.http import get_json
from common.status.documents import Documents
from common.store.port import Store
from pgha.resume.truth import Answer, newest_view
from pgha.status.gather import read_cluster

ANSWER_LIMIT_S: Final = 3.0


@dataclass(frozen=True)
class Found:
    """The store as it is now, and what everybody remembers. ``silent``: why a keeper gave no answer."""

    documents: Documents
    store_id: str
    store_id_revision: int
    cluster_id: str
    answers: dict[str, Answer]
    silent: dict[str, str]

    @property
    def memories(self) -> dict[str, StoreMemory]:
        """What each service that lives remembers of its store."""
        reports: list[KeeperReport | SentinelReport | ProxyReport] = [
            *self.documents.keepers.values(),
            *self.documents.sentinels.values(),
            *self.documents.proxies.values(),
        ]
        return {report.uid: report.store for report in reports if report.store is not None}

    @property
    def suspended(self) -> bool:
        """Whether anybody is."""
        said = self.documents.reasons.reasons if self.documents.reasons else ()
        return any(each.suspended for each in self.memories.values()) or any(
            reason.code == SUSPENDED for reason in said
        )


async def ask_keeper(report: KeeperReport) -> Answer:
    """``GET /kept``; raises PeerUnavailable."""
    return answer_of(report, await get_json(f"{report.api_url}/kept", timeout_s=ANSWER_LIMIT_S))


def answer_of(report: KeeperReport, said: Mapping[str, Any]) -> Answer:
    """Read what ``/kept`` said; raises PeerUnavailable, also when another keeper answers there."""
    try:
        now = KeeperReport.from_bytes(json.dumps(said["report"]).encode())
        kept = said["view"]
        view = ClusterView.from_bytes(json.dumps(kept).encode()) if kept is not None else None
    except (InvalidDocument, KeyError, TypeError) as error:
        raise PeerUnavailable(f"{report.api_url}/kept: {error}") from error
    if (now.uid, now.keeper_id) != (report.uid, report.keeper_id):
        raise PeerUnavailable(f"{report.api_url}/kept: it is the keeper {now.uid}")
    return Answer(now, view)


async def gather(
    store: Store, keys: Keys, *, ask_one: Callable[[KeeperReport], Awaitable[Answer]] = ask_keeper
) -> Found:
    """Read the store, and ask all keepers at once by ``ask_one``; raises StoreUnavailable."""
    documents = await read_cluster(store, keys)
    snapshot = await store.read(keys.store)
    ids = {item.key: item for item in snapshot.items}
    stands = ids.get(keys.store_id)
    answers: dict[str, Answer] = {}
    silent: dict[str, str] = {}

    async def ask(report: KeeperReport) -> None:
        try:
            answers[report.uid] = await ask_one(report)
        except PeerUnavailable as error:
            silent[report.uid] = str(error)

    await asyncio.gather(*(ask(report) for report in documents.keepers.values()))
    return Found(
        documents=documents,
        store_id=stands.value.decode(errors="replace") if stands else "",
        store_id_revision=stands.mod_revision if stands else 0,
        cluster_id=f"{snapshot.cluster_id:x}",
        answers=answers,
        silent=silent,
    )


def acceptance_of(found: Found, *, by: str, at: datetime, without: frozenset[str]) -> Acceptance:
    """The operator's word for exactly what was found.

    Raises UnsafeOperation when the store has no id or no spec yet, or the newest view cannot be known.
    """
    documents = found.documents
    if not found.store_id:
        raise UnsafeOperation("the store has no store-id yet: start a sentinel, then try again")
    if documents.spec is None:
        raise UnsafeOperation(
            f"the store holds no spec of cluster {documents.cluster}: write it with pgha init first"
        )
    view = newest_view(documents.view, found.answers, without)
    ours = view.system_identifier if view else None
    reports = [*documents.keepers.values(), *(answer.report for answer in found.answers.values())]
    known = [view, documents.view]
    strangers = {each.uid for each in reports if each.system_identifier not in {None, ours}}
    memories = [memory for uid, memory in found.memories.items() if uid not in strangers]
    relevant = [report for report in reports if report.uid not in strangers]
    return Acceptance(
        by=by,
        at=at,
        store_id=found.store_id,
        cluster_id=found.cluster_id,
        generation=max(
            *(each.generation for each in known if each is not None),
            *(each.generation for each in reports),
            *(each.generation for each in found.memories.values()),
            0,
            0,
        ),
        term=max(
            *(each.term for each in known if each is not None),
            *(max(each.term, each.sealed_term) for each in relevant),
            *(each.term for each in memories),
            0,
            0,
        ),
        view=view,
        view_revision=documents.view_revision,
        without=tuple(sorted(without)),
    )
