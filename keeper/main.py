"""``pgha-keeper``: the agent beside one PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
from typing import Final

import structlog

from common.errors import InvalidDocument, StoreUnavailable, UnsafeOperation
from common.model.keys import Keys, check_name
from common.model.reports import KeeperReport
from common.model.wal import Lsn
from common.runtime import probe
from common.runtime.clock import Clock, SystemClock
from common.runtime.heartbeats import Heartbeats
from common.runtime.http import http_server
from common.runtime.ids import new_id, new_incarnation
from common.runtime.logging import configure_logging
from common.runtime.release import release
from common.runtime.service import run_service
from common.runtime.settings import load_settings
from common.runtime.supervisor import Supervisor
from common.store.etcd import open_store
from common.store.lease_ttl import lease_ttl_of_spec
from common.store.mirror import Mirror
from common.store.port import KeyValue, Store
from common.store.publisher import KeyHeld, Publisher
from common.store.session import Session
from keeper import api
from keeper.actions import STATE, Actions
from keeper.disk import Disk, RootLock, StateFiles
from keeper.documents import positions_of
from keeper.evidence import UpstreamProbe
from keeper.local import Local
from keeper.postgres.instance import PostgresSettings, read_password
from keeper.postgres.layout import Layout
from keeper.postgres.server import PostgresServer
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
    configure_logging("keeper", settings.uid, settings.log_level)
    sys.exit(run_service(functools.partial(serve, settings)))


async def serve(settings: KeeperSettings, stop: asyncio.Event) -> None:
    """Lock the directory, learn what is there, then keep PostgreSQL as the view says."""
    check_name("uid", settings.uid)
    check_name("site", settings.site)
    keys = Keys(check_name("cluster", settings.cluster))
    clock = SystemClock()
    postgres = PostgresServer(postgres_settings(settings), clock)
    root = RootLock(settings.root)
    store = open_store(settings.etcd)
    try:
        disk = StateFiles(Layout(settings.root).state)
        local = Local(settings, await read_state(disk), new_id(), release())
        actions = Actions(postgres, disk, local, new_incarnation, settings.clone_timeout_s)
        heartbeats = Heartbeats(clock)
        async with Supervisor() as supervisor:
            session = Session(
                store,
                clock,
                ttl_s=functools.partial(lease_ttl_of_spec, store, keys),
                is_alive=lambda: heartbeats.all_alive(STALL_LIMIT_S),
            )

            async def positions() -> dict[str, Lsn]:
                return positions_of((await store.read(keys.keepers)).items)

            publisher = _publisher(store, session, clock, keys, local)
            service = KeeperService(
                keys=keys,
                clock=clock,
                view=Mirror(store, clock, keys.view, confirm_every_s=VIEW_CONFIRM_EVERY_S),
                spec=Mirror(store, clock, keys.spec, confirm_every_s=SPEC_CONFIRM_EVERY_S),
                positions=positions,
                publisher=publisher,
                postgres=postgres,
                local=local,
                actions=actions,
                probe=UpstreamProbe(probe.answers, clock),
                api_url=f"http://{settings.api_host}:{settings.api_port}",
                beat=heartbeats.loop("keeper"),
            )
            await service.prepare()
            async with http_server(
                api.routes(service),
                host=settings.api_host,
                port=settings.api_port,
                setting="--api-port",
                problems=lambda: heartbeats.stalled(STALL_LIMIT_S),
            ):
                supervisor.start("session", session.run())
                supervisor.start("publisher", publish(publisher, session, clock, settings.uid))
                supervisor.start_all("keeper", service.loops())
                await supervisor.run_until(stop)
                with contextlib.suppress(StoreUnavailable):
                    await session.resign()
    finally:
        await postgres.close()
        await store.close()
        root.release()


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


async def read_state(disk: Disk) -> KeeperState:
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
