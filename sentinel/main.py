"""``pgha-sentinel``: one of those that watch over the cluster; the elected one decides."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
from typing import Final

from common.errors import StoreUnavailable
from common.model.keys import Keys, check_name
from common.runtime import probe
from common.runtime.clock import SystemClock
from common.runtime.heartbeats import Heartbeats
from common.runtime.http import http_server
from common.runtime.ids import new_id
from common.runtime.logging import configure_logging
from common.runtime.release import release
from common.runtime.service import run_service
from common.runtime.settings import load_settings
from common.runtime.supervisor import Supervisor
from common.store.etcd import open_store
from common.store.lease_ttl import lease_ttl_of_spec
from common.store.mirror import Mirror
from common.store.publisher import Publisher
from common.store.session import Session
from sentinel import api
from sentinel.leadership import LeaderWriter
from sentinel.prober import PrimaryProbe
from sentinel.service import SentinelService
from sentinel.settings import SentinelSettings

PROGRAM: Final = "pgha-sentinel"

STALL_LIMIT_S: Final = 10.0

CONFIRM_EVERY_S: Final = 2.0
"""How often the image is confirmed by a read; a watch that has gone deaf is noticed after so long."""


def main() -> None:
    """Run a sentinel until it is told to stop; a leader that stops resigns, so that another takes over."""
    settings = load_settings(SentinelSettings, PROGRAM)
    configure_logging("sentinel", settings.uid, settings.log_level)
    sys.exit(run_service(functools.partial(serve, settings)))


async def serve(settings: SentinelSettings, stop: asyncio.Event) -> None:
    """Watch, and lead when elected."""
    check_name("uid", settings.uid)
    check_name("site", settings.site)
    keys = Keys(check_name("cluster", settings.cluster))
    clock = SystemClock()
    heartbeats = Heartbeats(clock)
    store = open_store(settings.etcd)
    try:
        async with Supervisor() as supervisor:
            session = Session(
                store,
                clock,
                ttl_s=functools.partial(lease_ttl_of_spec, store, keys),
                is_alive=lambda: heartbeats.all_alive(STALL_LIMIT_S),
            )
            mirror = Mirror(store, clock, keys.prefix, confirm_every_s=CONFIRM_EVERY_S)
            publisher = Publisher(
                store,
                session,
                clock,
                keys.sentinel(settings.uid),
                may_replace=lambda _: True,
                slow_every_s=30.0,
            )
            service = SentinelService(
                uid=settings.uid,
                site=settings.site,
                version=release(),
                api_url=f"http://{settings.api_host}:{settings.api_port}",
                keys=keys,
                clock=clock,
                mirror=mirror,
                session=session,
                publisher=publisher,
                writer=LeaderWriter(store, keys, settings.uid),
                probe=PrimaryProbe(probe.answers, clock),
                store_id=new_id(),
                beat=heartbeats.loop("sentinel"),
            )
            async with http_server(
                api.routes(service),
                host=settings.api_host,
                port=settings.api_port,
                setting="--api-port",
                problems=lambda: heartbeats.stalled(STALL_LIMIT_S),
            ):
                supervisor.start("mirror", mirror.run())
                supervisor.start("session", session.run())
                supervisor.start("publisher", publisher.run())
                supervisor.start_all("sentinel", service.loops())
                await supervisor.run_until(stop)
                with contextlib.suppress(StoreUnavailable):
                    await session.resign()
    finally:
        await store.close()


if __name__ == "__main__":
    main()
