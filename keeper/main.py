"""``pgha-keeper``: the agent beside one PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from common.errors import InvalidDocument, StoreUnavailable, UnsafeOperation
from common.model.keys import Keys, check_name
from common.model.reports import KeeperReport
from common.model.wal import Lsn
from common.runtime import probe
from common.runtime.clock import Clock, SystemClock
from common.runtime.disk import Disk, StateFiles
from common.runtime.heartbeats import Heartbeats
from common.runtime.http import http_server, log_route
from common.runtime.ids import new_id, new_incarnation
from common.runtime.logging import configure_logging
from common.runtime.release import release
from common.runtime.service import run_service
from common.runtime.settings import load_settings
from common.runtime.supervisor import Supervisor
from common.runtime.tail import LogTail
from common.store.etcd import open_store
from common.store.lease_ttl import lease_ttl_of_spec
from common.store.mirror import Mirror
from common.store.port import KeyValue, Store
from common.store.publisher import KeyHeld, Publisher
from common.store.session import Session
from keeper import api
from keeper.actions import STATE, Actions
from keeper.checks import check_routes
from keeper.deadman.client import Deadman
from keeper.documents import positions_of
from keeper.evidence import UpstreamProbe
from keeper.guarding import Guarding
from keeper.lease_fence import Guard, NoDeadman
from keeper.local import Local
from keeper.peers import Peers
from keeper.postgres.instance import PostgresSettings, checked_wal_dir, read_password
from keeper.postgres.layout import Layout
from keeper.postgres.port import Postgres
from keeper.postgres.server import PostgresServer
from keeper.root_lock import RootLock
from keeper.service import KeeperService
from keeper.settings import KeeperSettings
from keeper.state import KeeperState

PROGRAM: Final = "pgha-keeper"

STALL_LIMIT_S: Final = 20.0
"""A loop that has not advanced for so long lets the lease end; longer than any single step may take."""

VIEW_CONFIRM_EVERY_S: Final = 2.0
"""How often the view is confirmed by a read; a watch that has gone deaf is noticed after so long."""

SPEC_CONFIRM_EVERY_S: Final = 10.0
"""The spec can wait: a watch brings it at once as a rule."""

HELD_RETRY_S: Final = 1.0
HELD_MARGIN_S: Final = 3.0

_log = structlog.get_logger()


def main() -> None:
    """Run a keeper until it is told to stop; PostgreSQL runs on."""
    settings = load_settings(KeeperSettings, PROGRAM)
    tail = configure_logging("keeper", settings.uid, settings.log_level)
    sys.exit(run_service(functools.partial(serve, settings, tail)))


async def serve(settings: KeeperSettings, tail: LogTail, stop: asyncio.Event) -> None:
    """Lock the directory, learn what is there, then keep PostgreSQL as the view says."""
    check_name("uid", settings.uid)
    check_name("site", settings.site)
    keys = Keys(check_name("cluster", settings.cluster))
    settings.hooks.check()
    clock = SystemClock()
    postgres = PostgresServer(postgres_settings(settings), clock)
    root = RootLock(settings.root)
    store = open_store(settings.etcd)
    outside = Outside(
        store=store,
        clock=clock,
        postgres=postgres,
        disk=StateFiles(Layout(settings.root).state),
        answers=probe.answers,
        new_id=new_id,
        new_incarnation=new_incarnation,
        deadman=Deadman(settings.root.resolve(), Layout(settings.root.resolve()).data, clock),
    )
    try:
        heartbeats = Heartbeats(clock)
        async with Supervisor() as supervisor:
            keeper = await assemble(settings, keys, outside, heartbeats)
            await keeper.service.prepare()
            peers = Peers(store, keys, clock)
            async with http_server(
                (*api.routes(keeper.service), *check_routes(keeper.service, peers), log_route(tail)),
                host=settings.api_host,
                port=settings.api_port,
                setting="--api-port",
                problems=lambda: heartbeats.stalled(STALL_LIMIT_S),
            ):
                keeper.start(supervisor)
                await supervisor.run_until(stop)
                if not keeper.service.needs_its_lease:
                    with contextlib.suppress(StoreUnavailable):
                        await keeper.session.resign()
    finally:
        await outside.deadman.close()
        await postgres.close()
        await store.close()
        root.release()


@dataclass(frozen=True)
class Outside:
    """All that a keeper reaches beyond itself."""

    store: Store
    clock: Clock
    postgres: Postgres
    disk: Disk
    answers: Callable[[str, int], Awaitable[bool]]
    new_id: Callable[[], str]
    new_incarnation: Callable[[], str]
    deadman: Guard = field(default_factory=NoDeadman)


@dataclass(frozen=True)
class Keeper:
    """A keeper put together."""

    service: KeeperService
    session: Session
    publishing: Callable[[], Coroutine[Any, Any, None]]

    def start(self, supervisor: Supervisor) -> None:
        """Start its loops, once the service is prepared."""
        supervisor.start("session", self.session.run())
        supervisor.start("publisher", self.publishing())
        supervisor.start_all("keeper", self.service.loops())


async def assemble(settings: KeeperSettings, keys: Keys, outside: Outside, heartbeats: Heartbeats) -> Keeper:
    """Put a keeper together around what it remembers."""
    store, clock, postgres = outside.store, outside.clock, outside.postgres
    local = Local(settings, await read_state(outside.disk, outside.new_id), outside.new_id(), release())
    session = Session(
        store,
        clock,
        ttl_s=functools.partial(lease_ttl_of_spec, store, keys),
        is_alive=lambda: heartbeats.all_alive(STALL_LIMIT_S),
    )
    publisher = _publisher(store, session, clock, keys, local)
    actions = Actions(postgres, outside.disk, local, outside.new_incarnation, settings.clone_timeout_s)

    async def positions() -> dict[str, Lsn]:
        return positions_of((await store.read(keys.keepers)).items)

    service = KeeperService(
        keys=keys,
        clock=clock,
        view=Mirror(store, clock, keys.view, confirm_every_s=VIEW_CONFIRM_EVERY_S),
        spec=Mirror(store, clock, keys.spec, confirm_every_s=SPEC_CONFIRM_EVERY_S),
        store=Mirror(store, clock, keys.store, confirm_every_s=SPEC_CONFIRM_EVERY_S),
        positions=positions,
        publisher=publisher,
        guarding=Guarding(
            clock=clock,
            lease=session,
            deadman=outside.deadman,
            publisher=publisher,
            postgres=postgres,
            local=local,
            actions=actions,
        ),
        postgres=postgres,
        local=local,
        actions=actions,
        probe=UpstreamProbe(outside.answers, clock),
        api_url=f"http://{settings.api_host}:{settings.api_port}",
        beat=heartbeats.loop("keeper"),
    )
    return Keeper(service, session, functools.partial(publish, publisher, session, clock, settings.uid))


def postgres_settings(settings: KeeperSettings) -> PostgresSettings:
    """What PostgreSQL's side needs to know; raises InvalidSpec when a password file cannot be used."""
    return PostgresSettings(
        uid=settings.uid,
        root=settings.root,
        port=settings.port,
        listen_addresses=settings.listen or settings.host,
        replication_password=read_password(settings.replication_password_file),
        rewind_password=read_password(settings.rewind_password_file),
        bin_dir=settings.postgres_bin,
        postgres_user=settings.postgres_user,
        wal_dir=checked_wal_dir(settings.wal_dir),
    )


async def publish(publisher: Publisher, session: Session, clock: Clock, uid: str) -> None:
    """Keep the report in the store; a second keeper with this uid is refused, and then this process ends.

    The key of a keeper that died without its directory goes with its lease: so long it is waited for.
    """
    began = clock.monotonic()
    while True:
        try:
            await publisher.run()
        except KeyHeld as held:
            if clock.monotonic() - began > session.granted_s + HELD_MARGIN_S:
                raise UnsafeOperation(
                    f"uid = {uid!r}: another keeper with another directory has this uid and is "
                    f"alive: {_address(held.holder)}. Stop that one, or give this one a uid of its own"
                ) from held
            _log.warning("uid_taken", uid=uid, by=_address(held.holder))
            await clock.sleep(HELD_RETRY_S)


def _address(item: KeyValue) -> str:
    """Where the holder of a key is, as far as its report can be read."""
    try:
        report = KeeperReport.from_bytes(item.value)
    except InvalidDocument:
        return "(its report cannot be read)"
    return f"PostgreSQL at {report.host}:{report.port}, site {report.site}, API {report.api_url}"


async def read_state(disk: Disk, new_id: Callable[[], str]) -> KeeperState:
    """What this keeper remembers, or the memory of a new one, made durable at once."""
    raw = await disk.read(STATE)
    if raw is not None:
        try:
            return KeeperState.model_validate(raw)
        except ValueError as error:
            raise UnsafeOperation(
                f"the keeper's state cannot be used: {error}. It holds promises: restore the file, or "
                "remove this keeper's whole directory and let it be cloned"
            ) from error
    state = KeeperState(keeper_id=new_id())
    await disk.write(STATE, state.model_dump(mode="json"))
    return state


def _publisher(store: Store, session: Session, clock: Clock, keys: Keys, local: Local) -> Publisher:
    """The report's place in the store; it is refused to a second keeper with the same uid."""

    def is_our_earlier_life(item: KeyValue) -> bool:
        try:
            return KeeperReport.from_bytes(item.value).keeper_id == local.state.keeper_id
        except InvalidDocument:
            return False

    return Publisher(store, session, clock, keys.keeper(local.settings.uid), may_replace=is_our_earlier_life)


if __name__ == "__main__":
    main()
