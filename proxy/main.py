"""``pgha-proxy``: one address in front of the primary."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import resource
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from common.errors import StoreUnavailable
from common.model.keys import Keys
from common.model.reports import ProxyReport
from common.runtime.clock import Clock, SystemClock
from common.runtime.disk import Disk, open_directory
from common.runtime.heartbeats import Heartbeats
from common.runtime.http import http_server, log_route
from common.runtime.ids import new_id
from common.runtime.logging import configure_logging
from common.runtime.release import release
from common.runtime.service import run_service
from common.runtime.settings import load_settings
from common.runtime.supervisor import Supervisor
from common.runtime.tail import LogTail
from common.store.etcd import EtcdSettings, open_store
from common.store.mirror import Mirror
from common.store.port import Store
from common.store.publisher import Publisher
from common.store.session import Session
from proxy import api
from proxy.admission import ParkLimits
from proxy.kept import KeptView
from proxy.listener import Listener
from proxy.proof import Attestor, HttpAttestor
from proxy.service import ProxyService
from proxy.settings import ProxySettings

PROGRAM: Final = "pgha-proxy"

SPEC_CONFIRM_EVERY_S: Final = 10.0
"""The spec's two numbers can wait: a watch brings them at once as a rule."""

STALL_LIMIT_S: Final = 10.0

FILES_PER_CLIENT: Final = 2
FILES_BESIDE_CLIENTS: Final = 200

_log = structlog.get_logger()


def main() -> None:
    """Run a proxy until it is told to stop."""
    settings = load_settings(ProxySettings, PROGRAM)
    tail = configure_logging("proxy", settings.uid, settings.log_level)
    sys.exit(run_service(functools.partial(serve, settings, tail), use_uvloop=True))


async def serve(settings: ProxySettings, tail: LogTail, stop: asyncio.Event) -> None:
    """Listen at once, whatever the store does; on ``stop`` let go of all clients, then of the lease."""
    clock = SystemClock()
    heartbeats = Heartbeats(clock)
    listener = Listener(
        limits=ParkLimits(settings.park_limit, settings.park_timeout_s),
        max_clients=allowed_clients(settings.max_clients),
        startup_timeout_s=settings.startup_timeout_s,
        dial_timeout_s=settings.dial_timeout_s,
        peer_timeout_s=settings.peer_timeout_s,
    )
    kept = KeptView(open_disk(settings.state_dir), clock, settings.cluster)
    await kept.load()
    async with opened(settings.etcd) as store, Supervisor() as supervisor:
        service, session = assemble(
            settings, store, clock, heartbeats, listener, kept=kept, attestor=HttpAttestor()
        )
        await listener.listen(settings.listen_hosts, settings.port)
        async with http_server(
            (*api.routes(service), log_route(tail)),
            host=settings.api_host,
            port=settings.api_port,
            setting="--api-port",
            problems=lambda: heartbeats.stalled(STALL_LIMIT_S),
        ):
            supervisor.start_all("proxy", service.loops())
            supervisor.start("session", session.run())
            await supervisor.run_until(stop)
            await listener.close()
            with contextlib.suppress(StoreUnavailable):
                await session.resign()


def open_disk(directory: Path | None) -> Disk | None:
    """The proxy's own directory, made if it is missing; raises InvalidSpec when it cannot be written to."""
    if directory is None:
        _log.warning(
            "nothing_kept", fix="set --state-dir, so that a restart while the store is away can serve clients"
        )
        return None
    return open_directory(directory)


@asynccontextmanager
async def opened(settings: EtcdSettings) -> AsyncIterator[Store]:
    """Reach the store within the context."""
    store = open_store(settings)
    try:
        yield store
    finally:
        await store.close()


def assemble(
    settings: ProxySettings,
    store: Store,
    clock: Clock,
    heartbeats: Heartbeats,
    listener: Listener,
    *,
    kept: KeptView,
    attestor: Attestor,
    new_nonce: Callable[[], str] = new_id,
) -> tuple[ProxyService, Session]:
    """Put a proxy together around its store and its data path."""
    keys = Keys(settings.cluster)
    session = Session(
        store,
        clock,
        ttl_s=settings.lease_ttl_s,
        is_alive=lambda: heartbeats.all_alive(STALL_LIMIT_S),
    )
    identity = ProxyReport(
        uid=settings.uid,
        site=settings.site,
        host=settings.host,
        port=settings.port,
        api_url=f"http://{settings.api_host}:{settings.api_port}",
        version=release(),
        reported_at=clock.wall(),
    )
    service = ProxyService(
        identity=identity,
        keys=keys,
        clock=clock,
        view=Mirror(store, clock, keys.view),
        spec=Mirror(store, clock, keys.spec, confirm_every_s=SPEC_CONFIRM_EVERY_S),
        store=Mirror(store, clock, keys.store, confirm_every_s=SPEC_CONFIRM_EVERY_S),
        publisher=Publisher(store, session, clock, keys.proxy(settings.uid)),
        traffic=listener,
        attestor=attestor,
        new_nonce=new_nonce,
        kept=kept,
        beat=heartbeats.loop("report"),
    )
    return service, session


def allowed_clients(wanted: int) -> int:
    """Allow this process as many open files as its clients may take; return how many clients those allow."""
    needed = FILES_PER_CLIENT * wanted + FILES_BESIDE_CLIENTS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    clients = max(1, (allowed - FILES_BESIDE_CLIENTS) // FILES_PER_CLIENT)
    if clients < wanted:
        _log.warning(
            "fewer_clients",
            max_clients=wanted,
            allowed=clients,
            fix=f"raise the limit of open files (LimitNOFILE of systemd) from {hard} to {needed}",
        )
    return min(wanted, clients)


if __name__ == "__main__":
    main()
