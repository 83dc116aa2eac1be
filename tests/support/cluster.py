"""A whole cluster for tests, made of the demo's parts: small, on free ports, gone entirely at the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.abc import Query

from common.model.history import HistoryEvent
from common.model.keys import Keys
from common.model.reports import KeeperReport
from common.model.spec import ClusterSpec
from common.model.view import ClusterView
from common.runtime.clock import SystemClock
from common.status.documents import Documents
from keeper.postgres.programs import find_programs
from pgha.demo.accounting import Statement
from pgha.demo.cluster import DemoCluster
from pgha.demo.faults import Fault
from pgha.demo.health import why_not_healthy
from pgha.demo.layout import SITES, EtcdPlace, KeeperPlace, Layout, ProxyPlace, SentinelPlace
from pgha.demo.processes import Service
from pgha.demo.services import CLUSTER, POSTGRES_USER
from pgha.demo.workload import Workload
from tests.checks.check import assert_holds
from tests.checks.history import Add, Members, Operation
from tests.support.ports import free_port

T = TypeVar("T")

KEYS = Keys(CLUSTER)

TABLE = "pgha_demo"

STORY_LIMIT_S = 600.0
STEP_LIMIT_S = 120.0
"""Wide on purpose: what is tested is what happens, not how fast. Clients give up after half of it."""

LOG_SHOWN = 2000
"""Characters from the end of a keeper's log, where a test fails and that keeper says nothing itself."""

SMALL = {"shared_buffers": "16MB", "max_connections": "40"}

UNDAMPED = {"calm_after": "0.1s"}
"""Failovers of one test are not held back for those of the test before."""

SPEC = ClusterSpec.from_plain(
    {"durability": {"survive": "node"}, "postgres": {"parameters": SMALL}, "timings": UNDAMPED}
)
"""Every standby may acknowledge."""


def small_layout(keepers: Sequence[int] = (2, 1), sentinels: int = 2) -> Layout:
    """So many keepers on each site, some sentinels, one proxy and one etcd, on free ports."""
    places = [
        (f"{site}-{number}", site)
        for site, count in zip(SITES, keepers, strict=True)
        for number in range(1, count + 1)
    ]
    return Layout(
        keepers=tuple(KeeperPlace(uid, site, free_port(), free_port()) for uid, site in places),
        sentinels=tuple(
            SentinelPlace(f"sentinel-{number}", SITES[number % 2], free_port()) for number in range(sentinels)
        ),
        proxies=(ProxyPlace("proxy-1", SITES[0], free_port(), free_port()),),
        etcd=(EtcdPlace("etcd-1", SITES[0], free_port(), free_port()),),
    )


@dataclass
class Cluster:
    """A running cluster and what tests do to it. All its coroutines run by :meth:`run`, in one loop."""

    demo: DemoCluster
    runner: asyncio.Runner
    workload: Workload
    clock: SystemClock
    rows: list[Operation] = field(default_factory=list)
    """Every row that clients wrote, and every look at the table."""

    def run(self, story: Coroutine[Any, Any, T], *, timeout_s: float = STORY_LIMIT_S) -> T:
        """Run a test's coroutine with a deadline."""

        async def bounded() -> T:
            async with asyncio.timeout(timeout_s):
                return await story

        return self.runner.run(bounded())

    # What is there.

    @property
    def documents(self) -> Documents:
        return self.demo.documents

    @property
    def view(self) -> ClusterView:
        view = self.documents.view
        assert view is not None
        return view

    @property
    def primary(self) -> str:
        assert self.view.primary is not None, "nobody is primary"
        return self.view.primary.uid

    @property
    def standbys(self) -> list[str]:
        return sorted(member.uid for member in self.view.members if member.uid != self.primary)

    def incarnation(self, uid: str) -> str | None:
        member = self.view.member(uid)
        return member.incarnation if member else None

    def report(self, uid: str) -> KeeperReport | None:
        return self.documents.keepers.get(uid)

    def start_id(self, uid: str) -> str | None:
        """In which start PostgreSQL of a member is, in its keeper's words."""
        report = self.report(uid)
        return report.start_id if report else None

    def reasons(self) -> dict[str, str]:
        """What the leader says now: code and subject, and the text."""
        said = self.documents.reasons
        return {f"{each.code} {each.subject}": each.text for each in said.reasons} if said else {}

    def root(self, uid: str) -> Path:
        return self.demo.directory / uid

    def data(self, uid: str) -> Path:
        return self.root(uid) / "data"

    def log(self, name: str) -> str:
        return (self.demo.directory / "log" / f"{name}.log").read_text(errors="replace")

    def pid(self, name: str) -> int:
        pid = self.demo.services[name].pid
        assert pid is not None, f"{name} does not run"
        return pid

    def postmaster(self, uid: str) -> int:
        return int((self.data(uid) / "postmaster.pid").read_text().split()[0])

    # Waiting.

    async def until(
        self, holds: Callable[[Documents], object], what: str, *, within_s: float = STEP_LIMIT_S
    ) -> None:
        """Wait until the documents are as wanted; fails the test, saying what did not come and what is."""
        if not await self.demo.observer.wait_for(lambda seen: bool(holds(seen)), within_s):
            view = self.documents.view
            states = {uid: (each.state, each.role) for uid, each in self.documents.keepers.items()}
            shown = f"phase {view.phase} of term {view.term}" if view else "no view"
            silent = [place.uid for place in self.demo.layout.keepers if place.uid not in states]
            logs = "".join(f"\n{uid}: {self.log(uid)[-LOG_SHOWN:]}" for uid in silent)
            raise AssertionError(
                f"not within {within_s:g} s: {what}; {shown}; {states}; {self.reasons()}; "
                f"{why_not_healthy(self.documents, self.demo.layout)}{logs}"
            )

    async def until_true(
        self, holds: Callable[[], object], what: str, *, within_s: float = STEP_LIMIT_S
    ) -> None:
        """Wait for something that stands in no document."""
        try:
            async with asyncio.timeout(within_s):
                while not holds():  # noqa: ASYNC110 - what is waited for knows no event
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise AssertionError(f"not within {within_s:g} s: {what}") from error

    async def until_well(self, *, term: int = 0) -> None:
        """Wait until everything is well, in this term or a later one."""

        def well(seen: Documents) -> bool:
            reached = seen.view is not None and seen.view.term >= term
            return reached and not why_not_healthy(seen, self.demo.layout)

        await self.until(well, f"everything is well in term {term} or later")

    # Doing.

    async def power_cut(self, *uids: str) -> None:
        """Kill keepers and every process of their PostgreSQL at one instant."""
        await self.demo.strike(Fault("power cut", failover=True, services=uids, postgres_of=uids))

    async def crash(self, uid: str) -> None:
        """Kill a postmaster and what is left of it; its keeper lives."""
        await self.demo.strike(Fault("crash", failover=True, postmaster_of=uid, postgres_of=(uid,)))

    async def kill_service(self, name: str) -> None:
        service = self.demo.services[name]
        service.signal(signal.SIGKILL)
        await self.until_true(lambda: service.pid is None, f"{name} has ended")

    async def stop_service(self, name: str) -> None:
        """End a service as its service manager would."""
        await self.demo.services[name].end(STEP_LIMIT_S)

    async def start(self, *names: str) -> None:
        await self.demo.start_services(names)

    @contextlib.asynccontextmanager
    async def another_keeper(self, name: str, **options: str) -> AsyncIterator[Service]:
        """One more keeper, by its name, on a directory and ports of its own unless they are given.

        It ends with the context, and the others are well without it then.
        """
        own = {
            "uid": name,
            "root": str(self.root(name)),
            "port": str(free_port()),
            "api-port": str(free_port()),
        }
        own |= {option.replace("_", "-"): value for option, value in options.items()}
        like = self.demo.services[self.demo.layout.keepers[0].uid]
        command = list(like.command)
        for option, value in own.items():
            command[command.index(f"--{option}") + 1] = value
        self.root(name).mkdir(exist_ok=True)
        service = Service(name, command, self.demo.directory / "log" / f"{name}.log", like.environment)
        await service.start()
        try:
            yield service
        finally:
            await service.end(STEP_LIMIT_S)
        await self.until_well()

    async def ended(self, service: Service) -> int:
        """Wait until a service ends by itself and return its exit status."""
        assert service.process is not None
        async with asyncio.timeout(STEP_LIMIT_S):
            return await service.process.wait()

    async def value(self, uid: str, query: Query) -> Any:
        """Run a statement as the superuser of one member and return its only value, if there is one."""
        async with await psycopg.AsyncConnection.connect(
            host=str(self.root(uid) / "socket"),
            port=self.demo.layout.keeper(uid).port,
            user=POSTGRES_USER,
            dbname="postgres",
            autocommit=True,
            connect_timeout=10,
        ) as connection:
            cursor = await connection.execute(query)
            row = await cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    @contextlib.asynccontextmanager
    async def writing(self, load: int = 0) -> AsyncIterator[list[Statement]]:
        """Have clients write and read through the proxy; the table must fit what they were told."""
        port = self.demo.layout.proxies[0].port
        await self.workload.create_table(port)
        async with self.workload.running(load) as statements:
            yield statements
        for each in statements:
            if each.row is not None:
                number = len(self.rows) + 1
                action = Add(TABLE, each.row)
                self.rows.append(
                    Operation(number, each.site, action, each.result, each.began_s, each.ended_s)
                )
        start_s = self.clock.monotonic()
        seen = Members(TABLE, tuple(await self.workload.present(port)))
        last = Operation(len(self.rows) + 1, "test", seen, "ok", start_s, self.clock.monotonic())
        self.rows.append(last)
        assert self.workload.acked, "nothing was acknowledged at all"
        assert_holds(self.rows)

    async def more_writes(self, count: int = 20) -> None:
        """Wait until so many more writes were acknowledged."""
        wanted = len(self.workload.acked) + count
        await self.until_true(
            lambda: len(self.workload.acked) >= wanted, f"{count} more writes are acknowledged"
        )

    async def history(self) -> list[HistoryEvent]:
        """Every event that the sentinels have written, the oldest first."""
        found = (await self.demo.store.read(KEYS.history)).items
        return sorted(
            (HistoryEvent.from_bytes(item.value) for item in found), key=lambda event: event.generation
        )

    def status(self) -> tuple[int, Any]:
        """What ``pgha status -o json`` ends with, and shows."""
        done = subprocess.run(
            [sys.executable, "-m", "pgha", "status", "-o", "json"],
            capture_output=True,
            timeout=STEP_LIMIT_S,
            check=False,
            env=self.environment,
        )
        assert done.stdout, done.stderr.decode()
        return done.returncode, json.loads(done.stdout)

    async def pgha(self, *arguments: str) -> tuple[int, str]:
        """What a command of ``pgha`` ends with, and all that it writes, while everything else goes on."""
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pgha", *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.environment,
        )  # fmt: skip
        said, _ = await command.communicate()
        return await command.wait(), said.decode()

    @property
    def environment(self) -> dict[str, str]:
        """With it ``pgha`` is about this cluster."""
        endpoints = ",".join(self.demo.layout.endpoints)
        own = {"PGHA_CLUSTER": CLUSTER, "PGHA_ETCD_ENDPOINTS": endpoints, "PGHA_ETCD_TIMEOUT_S": "60"}
        return os.environ | own

    async def end(self) -> None:
        await self.demo.end(keep=False)


@contextlib.contextmanager
def cluster(
    layout: Layout | None = None, spec: ClusterSpec = SPEC, *, started: bool = True
) -> Iterator[Cluster]:
    """A cluster that is entirely well, or, if so asked, one of which nothing runs yet."""
    layout = layout or small_layout()
    clock = SystemClock()
    steps: list[str] = []
    with asyncio.Runner() as runner:
        demo = DemoCluster(layout, spec, find_programs(None), clock, steps.append)
        writers = Workload(layout.proxies, demo.credentials, clock, STEP_LIMIT_S / 2)
        made = Cluster(demo, runner, writers, clock)
        try:
            if started:
                made.run(demo.start())
            yield made
        finally:
            made.run(made.end())
            assert steps[-1] == "ended; no process is left", steps[-1]
