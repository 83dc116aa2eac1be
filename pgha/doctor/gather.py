"""Look at a cluster, its hosts and its store, for the checks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from common.errors import LeaseExpired, PeerUnavailable, StoreUnavailable
from common.model.keys import Keys
from common.model.reports import ProxyReport, SentinelReport
from common.runtime.clock import Clock
from common.runtime.http import get_json
from common.store.port import Store
from pgha.doctor.finding import Seen
from pgha.doctor.settings import NAMES
from pgha.examine import examine
from pgha.explain.explanation import Explanation, explain
from pgha.placement import place
from pgha.status.gather import ask_live, read_cluster

READS: Final = 5
ANSWER_LIMIT_S: Final = 3.0
SHORTEST_LEASE_S: Final = 1


async def gather(store: Store, keys: Keys, clock: Clock) -> tuple[Seen, Explanation]:
    """Look at everything at once; raises StoreUnavailable when the store does not answer."""
    documents = await read_cluster(store, keys)
    others: list[SentinelReport | ProxyReport] = [
        *documents.sentinels.values(),
        *documents.proxies.values(),
    ]
    keepers = documents.keepers.values()
    examined, silent, live, members, reads_s, least_s = await asyncio.gather(
        examine(keepers, NAMES, clock),
        _silent(others),
        ask_live(keepers, clock),
        store.members(),
        _reads_s(store, keys, clock),
        _least_lease_s(store),
    )
    clocks = examined.clocks | {uid: each.clock for uid, each in live.items() if each.clock is not None}
    seen = Seen(
        documents=documents,
        hosts=examined.hosts,
        clocks=clocks,
        silent=examined.silent | silent,
        store=members,
        placement=place(documents, members),
        reads_s=reads_s,
        least_lease_s=least_s,
        now=clock.wall(),
    )
    return seen, explain(documents, live, members, None, clock.wall())


async def _silent(services: Iterable[SentinelReport | ProxyReport]) -> dict[str, str]:
    """Sentinels and proxies whose API does not answer, and why."""
    found: dict[str, str] = {}

    async def ask(uid: str, url: str) -> None:
        try:
            await get_json(f"{url}/status", timeout_s=ANSWER_LIMIT_S)
        except PeerUnavailable as error:
            found[uid] = str(error)

    await asyncio.gather(*(ask(each.uid, each.api_url) for each in services if each.api_url))
    return found


async def _reads_s(store: Store, keys: Keys, clock: Clock) -> tuple[float, ...]:
    """How long linearizable reads take, one after the other, in seconds."""
    found = []
    for _ in range(READS):
        began = clock.monotonic()
        await store.read(keys.leader)
        found.append(clock.monotonic() - began)
    return tuple(found)


async def _least_lease_s(store: Store) -> float | None:
    """The shortest lease that the store grants; it is given back at once."""
    try:
        lease = await store.grant_lease(SHORTEST_LEASE_S)
        await store.revoke_lease(lease.id)
    except (StoreUnavailable, LeaseExpired):
        return None
    return lease.ttl_s
