"""The services as their programs put them together, each under a service manager that starts it again."""

from __future__ import annotations

import asyncio
import contextlib
import math
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from common.errors import PeerUnavailable, PghaError, StoreUnavailable
from common.model.attestation import Attestation
from common.model.keys import Keys
from common.model.view import Route
from common.runtime.heartbeats import Heartbeats
from common.runtime.supervisor import LoopEnded, Supervisor
from common.store.session import Session
from keeper import main as keeper_main
from keeper.settings import KeeperSettings
from proxy import main as proxy_main
from proxy.admission import ParkLimits
from proxy.kept import KeptView
from proxy.listener import Listener
from proxy.service import ProxyService
from proxy.settings import ProxySettings
from sentinel import main as sentinel_main
from sentinel.settings import SentinelSettings
from tests.sim.deadman import SimDeadman, SimGuard
from tests.sim.disk import SimDisk
from tests.sim.fences import SimAgents
from tests.sim.network import API
from tests.sim.postgres.clients import answers
from tests.sim.postgres.port import SimPostgres
from tests.sim.process import Process
from tests.sim.store import SimStore

if TYPE_CHECKING:
    from tests.sim.world import World

RESTARTS_AFTER_S: Final = 0.5
KEYS: Final = Keys("main")
PROXY_PORT: Final = 6432
_NO_FILE: Final = Path("secret")


class Unit:
    """One service on one host; ``process`` is its present life, dead between two lives."""

    def __init__(self, world: World, host: str, kind: str) -> None:
        self.world = world
        self.host = host
        self.kind = kind
        self.disk = SimDisk(world.stream(f"disk of {host}"))
        self.is_wanted = True
        self.crashes: list[BaseException] = []
        self.resumed_at_s = -math.inf
        self._stop = asyncio.Event()
        self.process: Process
        self.start()

    def __repr__(self) -> str:
        return f"{self.kind} {self.host}"

    def start(self) -> None:
        """Begin a life, if the host has power and nobody wants it to stay down."""
        if self.world.network.is_up(self.host) and self.is_wanted:
            self._stop = asyncio.Event()
            self.process = self.world.network.start(self.host, self.kind)
            self.process.spawn(self._live(self.process), name=self.kind)

    async def _live(self, process: Process) -> None:
        problem: BaseException | None = None
        try:
            await self.serve(process, self._stop)
        except PghaError as error:
            problem = error
        except Exception as error:  # noqa: BLE001 - as run_service does
            problem = error
            self.crashes.append(error)
        self.world.loop.world_after(0.0, self._ended, process, problem)

    def _ended(self, process: Process, problem: BaseException | None) -> None:
        self.world.say(f"{self} ended: {problem}" if problem else f"{self} ended")
        self.world.unit_ended(self, problem)
        process.kill()
        self.restart_later()

    def kill(self) -> None:
        """Kill its process; the service manager starts the next one."""
        if not self.process.is_dead:
            self.process.kill()
            self.restart_later()

    def stop(self) -> None:
        """Ask it to end in its own order, as SIGTERM does; it is started again."""
        self._stop.set()

    def resume(self, process: Process) -> None:
        """Let a life that stands still go on."""
        self.resumed_at_s = self.world.loop.time()
        process.resume()

    def restart_later(self) -> None:
        """Have the service manager look after a moment."""
        self.world.loop.world_after(RESTARTS_AFTER_S, self._restart)

    def _restart(self) -> None:
        if self.process.is_dead:
            self.start()

    @property
    def serves(self) -> bool:
        """Whether its code runs now."""
        return self.process.is_running

    @property
    @abstractmethod
    def is_suspended(self) -> bool:
        """Whether its present life does not believe the store."""

    @abstractmethod
    async def serve(self, process: Process, stop: asyncio.Event) -> None:
        """One life."""

    def store(self, process: Process) -> SimStore:
        """A client of etcd that prefers the member of its own site."""
        return client_of(self.world, process)

    async def answers(self, host: str, port: int) -> bool:
        """Whether a PostgreSQL answers this host."""
        return await answers(self.world.fleet, self.host, host, port)


class KeeperUnit(Unit):
    """A keeper beside its PostgreSQL."""

    def __init__(self, world: World, host: str) -> None:
        self.keeper: keeper_main.Keeper | None = None
        self.deadman = SimDeadman(world, host)
        super().__init__(world, host, "keeper")

    async def serve(self, process: Process, stop: asyncio.Event) -> None:
        world, clock = self.world, self.world.clock(self.host)
        settings = KeeperSettings(
            uid=self.host,
            site=world.network.site_of(self.host),
            root=Path("root"),
            host=self.host,
            api_host=self.host,
            replication_password_file=_NO_FILE,
            rewind_password_file=_NO_FILE,
            clone_timeout_s=600.0,
        )
        outside = keeper_main.Outside(
            store=self.store(process),
            clock=clock,
            postgres=SimPostgres(world.fleet.hosts[self.host], clock),
            disk=self.disk,
            answers=self.answers,
            new_id=world.new_id,
            new_incarnation=world.new_incarnation,
            deadman=SimGuard(self.deadman, world.stream(f"guard of {self.host}")),
        )
        self.keeper = None
        async with Supervisor() as supervisor:
            keeper = await keeper_main.assemble(settings, KEYS, outside, Heartbeats(clock))
            await keeper.service.prepare()
            self.keeper = keeper
            keeper.start(supervisor)
            await supervisor.run_until(stop)
            if not keeper.service.needs_its_lease:
                await _resign(keeper.session)

    @property
    def is_suspended(self) -> bool:
        """Whether its present life does not believe the store."""
        return self.keeper is not None and self.keeper.service._standing.suspended


class SentinelUnit(Unit):
    """A sentinel."""

    def __init__(self, world: World, host: str) -> None:
        self.sentinel: sentinel_main.Sentinel | None = None
        self._board = world.stream(f"fences of {host}")
        super().__init__(world, host, "sentinel")

    async def serve(self, process: Process, stop: asyncio.Event) -> None:
        clock = self.world.clock(self.host)
        settings = SentinelSettings(
            uid=self.host, site=self.world.network.site_of(self.host), api_host=self.host
        )
        async with Supervisor() as supervisor:
            self.sentinel = sentinel_main.assemble(
                settings,
                KEYS,
                self.store(process),
                clock,
                Heartbeats(clock),
                answers=self.answers,
                new_id=self.world.new_id,
                agents=SimAgents(self.world, self._board),
                disk=self.disk,
            )
            await self.sentinel.standing.load()
            self.sentinel.start(supervisor)
            await supervisor.run_until(stop)
            await _resign(self.sentinel.session)

    @property
    def is_suspended(self) -> bool:
        """Whether its present life does not believe the store."""
        return self.sentinel is not None and self.sentinel.standing._suspended

    @property
    def leads(self) -> bool:
        """Whether it believes to lead."""
        return self.sentinel is not None and self.serves and self.sentinel.service.leadership().is_ours


class ProxyUnit(Unit):
    """A proxy, its data path included."""

    def __init__(self, world: World, host: str) -> None:
        self.service: ProxyService | None = None
        self.listener: Listener | None = None
        super().__init__(world, host, "proxy")

    async def serve(self, process: Process, stop: asyncio.Event) -> None:
        clock = self.world.clock(self.host)
        settings = ProxySettings(
            uid=self.host, site=self.world.network.site_of(self.host), host=self.host, port=PROXY_PORT
        )
        heartbeats = Heartbeats(clock)
        listener = Listener(
            limits=ParkLimits(settings.park_limit, settings.park_timeout_s),
            max_clients=100,
            startup_timeout_s=settings.startup_timeout_s,
            dial_timeout_s=settings.dial_timeout_s,
            peer_timeout_s=settings.peer_timeout_s,
        )
        kept = KeptView(self.disk, clock, settings.cluster)
        await kept.load()
        service, session = proxy_main.assemble(
            settings,
            self.store(process),
            clock,
            heartbeats,
            listener,
            kept=kept,
            attestor=NetworkAttestor(self.world, self.host),
            new_nonce=self.world.new_id,
        )
        async with Supervisor() as supervisor:
            await listener.listen(settings.listen_hosts, settings.port)
            self.listener, self.service = listener, service
            supervisor.start_all("proxy", service.loops())
            supervisor.start("session", session.run())
            await supervisor.run_until(stop)
            await listener.close()
            await _resign(session)

    @property
    def is_suspended(self) -> bool:
        """Whether its present life does not believe the store."""
        return self.service is not None and bool(self.service._kept.memory.suspended)


def client_of(world: World, process: Process) -> SimStore:
    """A client of etcd that prefers the member of its own site."""
    etcd, network = world.etcd, world.network
    site = network.site_of(process.host)
    order = sorted(etcd.members, key=lambda member: network.site_of(member) != site)
    return SimStore(etcd, process, order=order)


async def _resign(session: Session) -> None:
    with contextlib.suppress(StoreUnavailable):
        await session.resign()


class NetworkAttestor:
    """Asks a keeper for its attestation over the simulated network."""

    def __init__(self, world: World, host: str) -> None:
        self._world = world
        self._host = host

    async def ask(self, route: Route, nonce: str, timeout_s: float) -> Attestation:
        unit = self._world.keepers[urlsplit(route.api_url).hostname or ""]

        async def answer() -> Attestation:
            if unit.keeper is None:
                raise ConnectionRefusedError("the keeper has just started")
            found = await unit.keeper.service.attestation(nonce)
            self._world.on_attested(found)
            return found

        try:
            return await self._world.network.call(self._host, unit.process, API, answer, timeout_s=timeout_s)
        except (OSError, TimeoutError, PghaError) as error:
            raise PeerUnavailable(str(error)) from error


def is_a_bug(problem: BaseException | None) -> bool:
    """Whether no fault of the world outside should end a service so."""
    return isinstance(problem, LoopEnded) or not (problem is None or isinstance(problem, PghaError))
