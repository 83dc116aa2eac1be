"""``pgha-sentinel``: one of those that watch over the cluster; the elected one decides."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.errors import StoreUnavailable
from common.model.keys import Keys, check_name
from common.runtime import probe
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
from common.store.etcd import open_store
from common.store.lease_ttl import lease_ttl_of_spec
from common.store.mirror import Mirror
from common.store.port import Store
from common.store.publisher import Publisher
from common.store.requests import RequestStore
from common.store.session import Session
from sentinel import api, desk
from sentinel.fencing.duty import Agents, FenceDuty
from sentinel.fencing.fencer import Fencer
from sentinel.leadership import LeaderWriter
from sentinel.prober import PrimaryProbe
from sentinel.service import SentinelService
from sentinel.settings import SentinelSettings
from sentinel.standing import Standing

PROGRAM: Final = "pgha-sentinel"

STALL_LIMIT_S: Final = 10.0

CONFIRM_EVERY_S: Final = 2.0
"""How often the image is confirmed by a read; a watch that has gone deaf is noticed after so long."""


def main() -> None:
    """Run a sentinel until it is told to stop; a leader that stops resigns, so that another takes over."""
    settings = load_settings(SentinelSettings, PROGRAM)
    tail = configure_logging("sentinel", settings.uid, settings.log_level)
    sys.exit(run_service(functools.partial(serve, settings, tail)))


async def serve(settings: SentinelSettings, tail: LogTail, stop: asyncio.Event) -> None:
    """Watch, and lead when elected."""
    check_name("uid", settings.uid)
    check_name("site", settings.site)
    keys = Keys(check_name("cluster", settings.cluster))
    clock = SystemClock()
    heartbeats = Heartbeats(clock)
    store = open_store(settings.etcd)
    try:
        async with Supervisor() as supervisor:
            disk = open_directory(settings.state_dir) if settings.state_dir else None
            sentinel = assemble(settings, keys, store, clock, heartbeats, disk=disk)
            await sentinel.standing.load()
            async with http_server(
                [
                    *api.routes(sentinel.service),
                    *desk.routes(RequestStore(store, keys), clock, sentinel.service.documents),
                    log_route(tail),
                ],
                host=settings.api_host,
                port=settings.api_port,
                setting="--api-port",
                problems=lambda: heartbeats.stalled(STALL_LIMIT_S),
            ):
                sentinel.start(supervisor)
                await supervisor.run_until(stop)
                with contextlib.suppress(StoreUnavailable):
                    await sentinel.session.resign()
    finally:
        await store.close()


@dataclass(frozen=True)
class Sentinel:
    """A sentinel put together."""

    service: SentinelService
    session: Session
    mirror: Mirror
    publisher: Publisher
    standing: Standing

    def start(self, supervisor: Supervisor) -> None:
        """Start its loops."""
        supervisor.start("mirror", self.mirror.run())
        supervisor.start("session", self.session.run())
        supervisor.start("publisher", self.publisher.run())
        supervisor.start_all("sentinel", self.service.loops())


def assemble(
    settings: SentinelSettings,
    keys: Keys,
    store: Store,
    clock: Clock,
    heartbeats: Heartbeats,
    *,
    answers: Callable[[str, int], Awaitable[bool]] = probe.answers,
    new_id: Callable[[], str] = new_id,
    agents: Agents | None = None,
    disk: Disk | None = None,
) -> Sentinel:
    """Put a sentinel together around its store; ``answers`` probes a PostgreSQL, ``agents`` fence hosts.

    What it remembered on ``disk`` is to be loaded before it runs.
    """
    session = Session(
        store,
        clock,
        ttl_s=functools.partial(lease_ttl_of_spec, store, keys),
        is_alive=lambda: heartbeats.all_alive(STALL_LIMIT_S),
    )
    mirror = Mirror(store, clock, keys.prefix, confirm_every_s=CONFIRM_EVERY_S)
    publisher = Publisher(
        store, session, clock, keys.sentinel(settings.uid), may_replace=lambda _: True, slow_every_s=30.0
    )
    standing = Standing(settings.uid, keys, mirror, clock, disk)
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
        probe=PrimaryProbe(answers, clock),
        store_id=new_id(),
        beat=heartbeats.loop("sentinel"),
        fencing=FenceDuty(agents or _fencer(settings, clock), clock),
        standing=standing,
    )
    return Sentinel(service, session, mirror, publisher, standing)


def _fencer(settings: SentinelSettings, clock: Clock) -> Fencer:
    return Fencer(clock, [Path(directory) for directory in settings.fence_agents.split(":") if directory])


if __name__ == "__main__":
    main()
