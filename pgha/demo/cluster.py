"""The demo cluster: started from nothing, hurt, repaired, and ended without a process left."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from common.errors import PghaError, StoreUnavailable
from common.model.keys import Keys
from common.model.requests import AnyOperation, Request
from common.model.spec import ClusterSpec
from common.runtime.clock import Clock
from common.runtime.disk import write_durably
from common.runtime.ids import new_id
from common.status.documents import Documents
from common.store.etcd import EtcdSettings, EtcdStore
from common.store.port import Store
from common.store.requests import RequestStore
from keeper.postgres.programs import Programs
from keeper.processes import postmaster_pid
from pgha.commands.init import write_once
from pgha.demo.deadmen import deadmen, margin_s
from pgha.demo.faults import Fault
from pgha.demo.health import why_not_healthy
from pgha.demo.layout import HOST, Layout
from pgha.demo.observer import Observer
from pgha.demo.processes import (
    Service,
    kill_all,
    kill_postgres,
    ports_in_use,
    postgres_processes,
    signal_all,
    stop_postgres,
    unreachable_part,
)
from pgha.demo.services import CLIENT, CLUSTER, POSTGRES_USER, Workshop, find_etcd, make_secrets

STORE_LIMIT_S: Final = 20.0
CALL_LIMIT_S: Final = 10.0
"""Of one call to etcd: the machine may be busy with all that the demo itself runs on it."""
HEALTH_LIMIT_S: Final = 120.0
END_LIMIT_S: Final = 5.0
ETCD_END_LIMIT_S: Final = 1.0
"""An etcd that has lost its majority tries in vain to hand over before it ends."""
KILL_LIMIT_S: Final = 10.0
POLL_S: Final = 0.1

Tell = Callable[[str], None]


class DemoFailed(PghaError):
    """The demo cannot go on; the text says why and where to look."""


class DemoCluster:
    """All processes of one demo, in one directory.

    Order of life: :meth:`start`, any number of :meth:`strike` and :meth:`start_services`,
    :meth:`end`, which may be called at any time.
    """

    def __init__(
        self, layout: Layout, spec: ClusterSpec, postgres_bin: Path, clock: Clock, tell: Tell
    ) -> None:
        """Raises DemoFailed or InvalidSpec for what is missing on this machine; nothing is started."""
        self.layout = layout
        self.tell = tell
        self._spec = spec
        self._clock = clock
        self._programs = Programs(postgres_bin, POSTGRES_USER, Path("/"))
        self._etcd_binary = find_etcd()
        taken = ports_in_use(layout.ports, HOST)
        if taken:
            raise DemoFailed(
                f"ports are in use: {'; '.join(taken)}. "
                "Choose others with --port-base, or end what listens there"
            )
        _check_reach(self._programs.directory)
        _check_reach(Path(tempfile.gettempdir()))
        self.directory = Path(tempfile.mkdtemp(prefix="pgha-demo-"))
        self.directory.chmod(0o755)  # PostgreSQL's own user must reach its directories below
        (self.directory / "log").mkdir()
        self.secrets = make_secrets(self.directory / "secrets", layout)
        self._workshop = Workshop(
            self.directory, layout, self._etcd_binary, self._programs.directory, self.secrets
        )
        self.services: dict[str, Service] = self._workshop.services()
        self._frozen: list[int] = []
        self._store: EtcdStore | None = None
        self._observer: Observer | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def store(self) -> Store:
        """The demo's own connection to etcd."""
        if self._store is None:
            raise DemoFailed("the demo has not been started")
        return self._store

    @property
    def observer(self) -> Observer:
        """The demo's own watch."""
        if self._observer is None:
            raise DemoFailed("the demo has not been started")
        return self._observer

    @property
    def documents(self) -> Documents:
        """What stands in the store now."""
        return self.observer.documents

    @property
    def credentials(self) -> str:
        """How the demo's clients log in, as libpq takes it."""
        return f"user={CLIENT} dbname={CLIENT} password={self.secrets.client_password}"

    async def start(self) -> None:
        """Start everything and return when all of it is well."""
        keys = Keys(CLUSTER)
        self._store = EtcdStore(EtcdSettings(endpoints=self.layout.endpoints, timeout_s=CALL_LIMIT_S))
        await self.start_services(place.uid for place in self.layout.etcd)
        await self._until_store_answers()
        self.tell(f"etcd answers: {', '.join(self.layout.endpoints)}")
        await write_once(self._store, keys, self._spec)
        self._observer = Observer(self._store, keys, self._clock)
        self._following = asyncio.create_task(self._observer.follow(), name="observer")
        await self.start_services(name for name, service in self.services.items() if service.process is None)
        self.tell(f"started {len(self.services)} services; the first PostgreSQL is being created")
        await self._until_well()
        await self._create_client()

    async def _until_store_answers(self) -> None:
        limit_s = self._clock.monotonic() + STORE_LIMIT_S
        while True:
            try:
                await self.store.read(Keys(CLUSTER).spec)
                return
            except StoreUnavailable as error:
                self.check_services()
                if self._clock.monotonic() > limit_s:
                    raise DemoFailed(f"etcd did not start within {STORE_LIMIT_S:.0f} s: {error}") from error
            await self._clock.sleep(POLL_S)

    async def _until_well(self) -> None:
        """Wait for full health, saying each step on the way."""
        limit_s = self._clock.monotonic() + HEALTH_LIMIT_S
        said = ""
        while said != "well":
            why = why_not_healthy(self.documents, self.layout)
            if (why or "well") != said:
                said = why or "well"
                self.tell(f"waiting: {why}" if why else "all members stream, writers have a route")
            self.check_services()
            if self._clock.monotonic() > limit_s:
                raise DemoFailed(
                    f"not ready within {HEALTH_LIMIT_S:.0f} s: {why}; logs: {self.directory}/log"
                )
            await self._clock.sleep(POLL_S)

    def check_services(self) -> None:
        """Raise DemoFailed, with the end of its log, when a service has ended by itself."""
        for service in self.services.values():
            if service.process is not None and service.process.returncode is not None:
                raise DemoFailed(
                    f"{service.name} ended with status {service.process.returncode}: {service.tail()}"
                )

    async def _create_client(self) -> None:
        """Create the clients' role and database, as the superuser on the primary's own socket."""
        view = self.documents.view
        if view is None or view.primary is None:
            raise DemoFailed("there is no primary to create the demo's role on")
        uid = view.primary.uid
        script = self._workshop.root(uid) / "client.sql"
        write_durably(script, self._client_sql().encode(), owner=self._programs.owner)
        try:
            await self._programs.run(
                "psql",
                *("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname=postgres"),
                f"--host={self._workshop.root(uid) / 'socket'}",
                f"--port={self.layout.keeper(uid).port}",
                f"--username={POSTGRES_USER}",
                f"--file={script}",
                timeout_s=STORE_LIMIT_S,
            )
        finally:
            script.unlink()

    def _client_sql(self) -> str:
        return (
            f"CREATE ROLE {CLIENT} LOGIN PASSWORD '{self.secrets.client_password}';\n"
            f"CREATE DATABASE {CLIENT} OWNER {CLIENT};\n"
        )

    async def strike(self, fault: Fault) -> float:
        """Kill what the fault names, or have it stand still, at one instant, and return that instant."""
        roots = [self._workshop.root(uid) for uid in fault.postgres_of]
        pids = [pid for name in fault.services if (pid := self.services[name].pid) is not None]
        if fault.postmaster_of is not None:
            postmaster = postmaster_pid(self._workshop.root(fault.postmaster_of) / "data")
            pids += [postmaster] if postmaster is not None else []
        pids += postgres_processes(roots, self._programs.directory) + deadmen(roots)
        struck_s = self._clock.monotonic()
        if fault.frozen:
            self._frozen = pids
            signal_all(pids, signal.SIGSTOP)
            return struck_s
        kill_all(pids)
        # What a postmaster had just forked is not in the list.
        await kill_postgres(roots, self._programs.directory, self._clock, KILL_LIMIT_S)
        return struck_s

    async def ask(self, operation: AnyOperation) -> Request:
        """Ask for an operation, as an operator does; it is under way when this returns, or about to be."""
        requests, view = RequestStore(self.store, Keys(CLUSTER)), self.documents.view
        request = Request(
            id=new_id(),
            by="demo",
            at=self._clock.wall(),
            term=view.term if view else 0,
            operation=operation,
        )
        await requests.create(request)
        return request

    def margin_s(self, uid: str) -> float | None:
        """By how much a member's PostgreSQL was dead before its lease ended; None unless a deadman did it."""
        report = self.documents.keepers.get(uid)
        ttl_s = report.lease_ttl_s if report else None
        return None if ttl_s is None else margin_s(self._workshop.root(uid), ttl_s)

    def wake(self) -> None:
        """Let what was frozen go on; what has been killed meanwhile is passed over."""
        frozen, self._frozen = self._frozen, []
        signal_all(frozen, signal.SIGCONT)

    async def start_services(self, names: Iterable[str]) -> None:
        """Start services, at first or again."""
        for name in names:
            await self.services[name].start()

    async def end(self, *, keep: bool) -> None:
        """End every process and remove the directory; with ``keep`` PostgreSQL is stopped in order first."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        if self._store is not None:
            await self._store.close()
        etcd = {place.uid for place in self.layout.etcd}
        for group, limit_s in ((self.services.keys() - etcd, END_LIMIT_S), (etcd, ETCD_END_LIMIT_S)):
            await asyncio.gather(*(self.services[name].end(limit_s) for name in group))
        kill_all(deadmen(self._workshop.root(place.uid) for place in self.layout.keepers))
        postgres, left = self._programs.directory, [self.directory]
        if keep:
            roots = [self._workshop.root(place.uid) for place in self.layout.keepers]
            await stop_postgres(roots, self._clock, KILL_LIMIT_S)
        if await kill_postgres(left, postgres, self._clock, KILL_LIMIT_S):
            self.tell("ended; no process is left")
        else:
            self.tell(f"these processes do not end: {postgres_processes(left, postgres)}")
        if keep:
            self.tell(f"kept: {self.directory}")
        else:
            await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)


def _check_reach(path: Path) -> None:
    """Where the demo is root, PostgreSQL runs as another user, who must get to its programs and data."""
    closed = unreachable_part(path.resolve()) if os.geteuid() == 0 else None
    if closed is not None:
        raise DemoFailed(
            f"user {POSTGRES_USER} cannot get to {path}, because {closed} is closed to other users: run the "
            "demo as an ordinary user, or choose another place with TMPDIR or --postgres"
        )
