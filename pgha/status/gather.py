"""Read what there is to know about a cluster: its documents, its store, and the keepers' live figures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from pydantic import TypeAdapter

from common.model.keys import Keys
from common.model.reports import KeeperReport
from common.runtime.clock import Clock
from common.runtime.http_get import get
from common.status.assemble import assemble
from common.status.clocks import offset_of
from common.status.documents import Documents, read_documents
from common.status.model import LiveFigures, StatusView
from common.store.port import Store, StoreMember

LIVE_LIMIT_S: Final = 0.3
"""For all keepers together; who has not answered by then is shown as it last reported."""

ANSWER_LIMIT_BYTES: Final = 1 << 20

_LIVE: Final = TypeAdapter(LiveFigures)


async def read_cluster(store: Store, keys: Keys) -> Documents:
    """Read all documents but the history, side by side."""
    wanted = (
        keys.spec,
        keys.view,
        keys.reasons,
        keys.leader,
        keys.keepers,
        keys.sentinels,
        keys.proxies,
        keys.requests,
    )
    snapshots = await asyncio.gather(*(store.read(prefix) for prefix in wanted))
    return read_documents(keys, (item for snapshot in snapshots for item in snapshot.items))


async def ask_live(
    keepers: Iterable[KeeperReport], clock: Clock, limit_s: float = LIVE_LIMIT_S
) -> dict[str, LiveFigures]:
    """Ask every keeper's API at once; the result holds those that answered in time."""
    found: dict[str, LiveFigures] = {}

    async def ask(report: KeeperReport) -> None:
        asked, asked_at = clock.monotonic(), clock.wall()
        try:
            async with asyncio.timeout(limit_s):
                answer = await get(f"{report.api_url}/status", limit_bytes=ANSWER_LIMIT_BYTES)
            took_s = clock.monotonic() - asked
            figures = _LIVE.validate_json(answer)
        except (TimeoutError, ValueError, OSError):  # a ValidationError of pydantic is a ValueError
            return
        if figures.received is not None and figures.wall is not None:
            offset = offset_of(asked_at, took_s, figures.received, figures.wall)
            figures = replace(figures, clock=offset)
        found[report.uid] = figures

    await asyncio.gather(*(ask(report) for report in keepers if report.api_url))
    return found


async def read_all(
    store: Store, keys: Keys, clock: Clock
) -> tuple[Documents, dict[str, LiveFigures], tuple[StoreMember, ...]]:
    """All documents, the keepers' live figures, and how the store's endpoints are.

    Raises StoreUnavailable when the store does not answer.
    """

    async def documents_and_live() -> tuple[Documents, dict[str, LiveFigures]]:
        documents = await read_cluster(store, keys)
        return documents, await ask_live(documents.keepers.values(), clock)

    (documents, live), members = await asyncio.gather(documents_and_live(), store.members())
    return documents, live, members


async def gather(store: Store, keys: Keys, clock: Clock) -> StatusView:
    """The state of a cluster now; raises StoreUnavailable when the store does not answer."""
    documents, live, members = await read_all(store, keys, clock)
    return assemble(documents, live, members, clock.wall())
