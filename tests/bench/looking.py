"""How long ``pgha status`` and ``pgha explain`` take on a large cluster: ``python -m tests.bench.looking``.

A real etcd holds the documents of 50 members on two sites, and each member's API answers as a keeper's does.
``command`` is the whole process, from its start to its end; ``work`` is the same without Python's start and
imports: reading, asking, deciding, rendering. The processor's time beside it tells a slow command from a busy
machine.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from aiohttp import web
from rich.console import Console

from common.model.keys import Keys
from common.model.reports import KeeperReport, StandbySeen, SyncReport
from common.model.view import ClusterView, Member, SyncMember, SyncSet, SyncState
from common.runtime.clock import SystemClock
from common.status.documents import Documents
from common.store.etcd import EtcdSettings, EtcdStore
from common.store.port import Put, Store
from pgha.explain.gather import gather as gather_explanation
from pgha.explain.render import render as render_explanation
from pgha.status.gather import gather as gather_status
from pgha.status.render import render as render_status
from tests.support.builders import SANDUN_1, hears, keeper, running_view
from tests.support.etcd import EtcdServer
from tests.support.healthy import INCARNATIONS, TERM, documents, stored
from tests.support.ports import free_port

MEMBERS = 50
KEYS = Keys("demo")
WRITES_PER_TRANSACTION = 50


def uids(count: int) -> list[str]:
    """The first is the primary; sites take turns."""
    return [f"{('sandun', 'shiqiao')[at % 2]}-{at // 2 + 1}" for at in range(count)]


def large_cluster(count: int, api: str) -> Documents:
    """A healthy cluster of so many members; all of the other site acknowledge."""
    lives = {uid: f"{at:08x}" for at, uid in enumerate(uids(count), 1)}
    lives[SANDUN_1] = INCARNATIONS[SANDUN_1]
    members = tuple(
        Member(uid=uid, site=uid.partition("-")[0], host="127.0.0.1", port=20_000 + at, incarnation=life)
        for at, (uid, life) in enumerate(lives.items())
    )
    sync = frozenset(SyncMember(uid, life) for uid, life in lives.items() if uid.startswith("shiqiao"))
    view: ClusterView = running_view(
        members=members, sync=SyncState(current=SyncSet(id=15, k=1, members=sync))
    )
    seen = tuple(
        StandbySeen(member=uid.replace("-", "_"), incarnation=life, term=TERM, streaming=True, caught_up=True)
        for uid, life in lives.items()
        if uid != SANDUN_1
    )

    def report(member: Member) -> KeeperReport:
        is_primary = member.uid == SANDUN_1
        like = keeper(SANDUN_1) if is_primary else keeper("shiqiao-1", upstream=hears(SANDUN_1))
        own = {
            "uid": member.uid,
            "site": member.site,
            "keeper_id": member.uid,
            "port": member.port,
            "incarnation": member.incarnation,
            "api_url": f"{api}/{member.uid}",
        }
        if is_primary:
            own |= {"standbys": seen, "sync": SyncReport(term=TERM, applied=15, confirmed=(15,))}
        return like.changed(**own)

    return documents(view=view, keepers={member.uid: report(member) for member in members})


@contextmanager
def keepers_answer(port: int, reports: dict[str, KeeperReport]) -> Iterator[None]:
    """Every keeper's ``/status``, from one server in a thread of its own."""

    async def status(request: web.Request) -> web.Response:
        report, now = reports[request.match_info["uid"]], SystemClock().wall().isoformat()
        return web.json_response(
            {
                "uid": report.uid,
                "state": report.state,
                "role": report.role,
                "timeline": report.timeline,
                "lsn": str(report.lsn),
                "lag_s": None,
                "received": now,
                "wall": now,
                "report": json.loads(report.to_bytes()),
            }
        )

    loop, up = asyncio.new_event_loop(), threading.Event()
    runner: list[web.AppRunner] = []

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/{uid}/status", status)
        runner.append(web.AppRunner(app, access_log=None))
        await runner[0].setup()
        await web.TCPSite(runner[0], "127.0.0.1", port).start()
        up.set()

    thread = threading.Thread(
        target=lambda: (loop.run_until_complete(serve()), loop.run_forever()), daemon=True
    )
    thread.start()
    up.wait(10)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(runner[0].cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


async def fill(url: str, found: Documents) -> None:
    """Put the documents into etcd, a transaction's worth at a time."""
    store = EtcdStore(EtcdSettings(endpoints=(url,)))
    writes = [Put(key, value) for key, value in stored(found).items()]
    for at in range(0, len(writes), WRITES_PER_TRANSACTION):
        await store.transact([], writes[at : at + WRITES_PER_TRANSACTION])
    await store.close()


class Took(NamedTuple):
    """One run: by the wall clock, and on the processor, in milliseconds."""

    wall_ms: float
    processor_ms: float


def command_took(url: str, name: str) -> Took:
    """The whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pgha", name],
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "PGHA_CLUSTER": "demo", "PGHA_ETCD_ENDPOINTS": url},
    )
    wall_ms = (time.perf_counter() - began) * 1000
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert f"sandun-{MEMBERS // 2}".encode() in done.stdout, done.stderr.decode()
    return Took(wall_ms, processor_s * 1000)


async def show_status(store: Store, screen: Console) -> None:
    render_status(await gather_status(store, KEYS, SystemClock()), screen)


async def show_explanation(store: Store, screen: Console) -> None:
    render_explanation(await gather_explanation(store, KEYS, SystemClock()), screen)


def work_took(url: str, show: Callable[[Store, Console], Awaitable[None]]) -> Took:
    """The same without the start of a process; the thread that answers as the keepers is not counted."""

    async def once() -> Took:
        store = EtcdStore(EtcdSettings(endpoints=(url,)))
        began, used = time.perf_counter(), time.thread_time()
        await show(store, Console(file=io.StringIO(), width=200, markup=False))
        took = Took((time.perf_counter() - began) * 1000, (time.thread_time() - used) * 1000)
        await store.close()
        return took

    return asyncio.run(once())


def main() -> None:
    """Measure, and print one line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    runs: int = parser.parse_args().runs
    port = free_port()
    found = large_cluster(MEMBERS, f"http://127.0.0.1:{port}")
    with EtcdServer() as etcd, keepers_answer(port, dict(found.keepers)):
        asyncio.run(fill(etcd.url, found))
        for name, show in (("status", show_status), ("explain", show_explanation)):
            report(name, "work", [work_took(etcd.url, show) for _ in range(runs)])
            report(name, "command", [command_took(etcd.url, name) for _ in range(runs)])


def report(name: str, kind: str, took: list[Took]) -> None:
    """One line for one figure."""
    wall_ms = [each.wall_ms for each in took]
    processor_ms = statistics.median(each.processor_ms for each in took)
    sys.stdout.write(
        f"{name:<8} {kind:<8} {MEMBERS} members, {len(took)} runs, ms: "
        f"median {statistics.median(wall_ms):.0f}, "
        f"min {min(wall_ms):.0f}, max {max(wall_ms):.0f}; processor {processor_ms:.0f}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
