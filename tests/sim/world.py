"""A whole cluster in simulation: hosts on three sites, etcd, the real services, PostgreSQL and clients."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Final

from common.model.attestation import Attestation
from common.model.spec import ClusterSpec
from common.model.view import ClusterView
from common.store.port import Put
from tests.sim.clients import DirectClient, ProxyClient
from tests.sim.clock import SimClock
from tests.sim.etcd import SimEtcd
from tests.sim.front import Front, WorldInternet
from tests.sim.invariants import Invariants, Violation
from tests.sim.ledger import Ledger
from tests.sim.loop import SimLoop
from tests.sim.network import Network
from tests.sim.operators import Operators
from tests.sim.postgres.host import Fleet
from tests.sim.restores import Restores
from tests.sim.scenario import SITES, WITNESS, Scenario
from tests.sim.services import KEYS, KeeperUnit, ProxyUnit, SentinelUnit, Unit, is_a_bug
from tests.sim.views import ViewWatch

PROXY_CLIENTS: Final = 4
DIRECT_CLIENTS: Final = 2
ENOUGH_KEEPERS: Final = 4
"""With so many one can be missing, and sites and acknowledgements still are to be had."""


class World:
    """Everything there is, made within the loop that runs it.

    ``over`` is done as soon as an invariant is violated. ``say`` keeps lines for a trace, when there is one.
    ``causes`` counts the faults, each of which may have cost a primary.
    """

    def __init__(self, scenario: Scenario, loop: SimLoop, tell: Callable[[float, str], None] | None) -> None:
        self.scenario = scenario
        self.loop = loop
        self._tell = tell
        self.violations: list[Violation] = []
        self.over: asyncio.Future[None] = loop.create_future()
        self._ids = self.stream("ids")
        self._rows: dict[int, tuple[int, ...]] = {}
        self._tickets = 0
        self._clocks: dict[str, SimClock] = {}
        self.causes = 0
        self.has_wiped = False
        self.lost_lives: list[tuple[str, str | None]] = []
        """Data directories that are gone, by uid and life: their servers write on without a name."""
        self.stood_still: dict[str, None] = {}
        """Hosts that stood still as a whole: against that a lease alone protects nothing."""
        self.on_attested: Callable[[Attestation], None] = lambda _: None
        self.ledger = Ledger()
        self.cuts: Counter[tuple[str, str, str]] = Counter()
        self.proxy_timeout_s = scenario.timings.proxy_timeout_s
        self.wants = scenario.durability.mode
        self.max_lag_bytes = scenario.durability.max_lag_on_failover
        self.longest_lease_s = scenario.timings.lease_ttl_s
        self.network = Network(self.stream("network"))
        self._add_hosts()
        self.internet = WorldInternet(loop, self.network)
        self.internet.world = self
        self.etcd = SimEtcd(loop, self.network, self.stream("etcd"), self.etcd_hosts)
        self.fleet = Fleet(self.network, self.stream("postgres"), on_event=self._postgres_event)
        self.views = ViewWatch(self.etcd.data, KEYS)
        self.invariants = Invariants(self)
        self.restores = Restores(self)
        self.operators = Operators(self)
        self.fronts = {host: Front(self, self.fleet.add(host)) for host in self.keeper_hosts}
        self.etcd.data.transact([], [Put(KEYS.spec, scenario.spec.to_bytes())])
        self.sentinels = {host: SentinelUnit(self, host) for host in self.sentinel_hosts}
        self.keepers = {host: KeeperUnit(self, host) for host in self.keeper_hosts}
        self.proxies = {host: ProxyUnit(self, host) for host in self.proxy_hosts}
        self._start_clients()

    def _add_hosts(self) -> None:
        self.keeper_hosts = tuple(
            f"{site}-{number + 1}"
            for site, count in zip(SITES, self.scenario.keepers, strict=True)
            for number in range(count)
        )
        self.etcd_hosts = tuple(f"etcd-{site}" for site in (WITNESS, *SITES))
        self.sentinel_hosts = tuple(f"sentinel-{site}" for site in (WITNESS, *SITES))
        self.proxy_hosts = tuple(f"proxy-{site}" for site in SITES)
        self.client_hosts = tuple(f"clients-{site}" for site in SITES)
        for host in self.keeper_hosts:
            self.network.add_host(host, host.partition("-")[0])
        for host in (*self.etcd_hosts, *self.sentinel_hosts, *self.proxy_hosts, *self.client_hosts):
            self.network.add_host(host, host.partition("-")[2])
        chance = self.stream("clocks")
        for host in self.network.hosts:
            self._clocks[host] = SimClock(
                self.loop,
                rate=0.99 + 0.02 * chance.random(),
                uptime_s=chance.random() * 100_000,
                wall_offset_s=chance.random() * 10,
            )

    def _start_clients(self) -> None:
        for number in range(PROXY_CLIENTS):
            ProxyClient(self, self.client_hosts[number % 2], self.stream(f"client {number}"))
        for number in range(DIRECT_CLIENTS):
            DirectClient(self, self.client_hosts[number % 2], self.stream(f"direct client {number}"))

    # What its parts ask for.

    def stream(self, purpose: str) -> Random:
        """Chances of their own for each purpose, so that one more draw here moves nothing there."""
        return Random(f"{self.scenario.seed}/{purpose}")

    def clock(self, host: str) -> SimClock:
        """The clock of a host."""
        return self._clocks[host]

    def new_id(self) -> str:
        """A long random name."""
        return f"{self._ids.getrandbits(128):032x}"

    def new_incarnation(self) -> str:
        """The name of a life."""
        return f"{self._ids.getrandbits(32):08x}"

    def keep_rows(self, rows: tuple[int, ...]) -> int:
        """Keep what was read until its reader asks for it."""
        self._tickets += 1
        self._rows[self._tickets] = rows
        return self._tickets

    def take_rows(self, ticket: int) -> tuple[int, ...]:
        """What was read."""
        return self._rows.pop(ticket)

    def say(self, text: str) -> None:
        """A line for the trace."""
        if self._tell is not None:
            self._tell(self.loop.time(), text)

    def violated(self, invariant: str, text: str) -> None:
        """Something that must never be; the run ends."""
        self.say(f"VIOLATED {invariant}: {text}")
        self.violations.append(Violation(invariant, text, self.loop.time()))
        if not self.over.done():
            self.over.set_result(None)

    def unit_ended(self, unit: Unit, problem: BaseException | None) -> None:
        """A service has ended by itself."""
        if is_a_bug(problem):
            self.violated("crash", f"{unit} ended by {type(problem).__name__}: {problem}; {unit.crashes}")

    def _postgres_event(self, event: str, host: object, directory: object) -> None:
        self.invariants.postgres_event(event, host, directory)  # type: ignore[arg-type]

    def note_spec(self, spec: ClusterSpec) -> None:
        """The operator wants something else: what may be is bounded by the laxest spec so far."""
        self.max_lag_bytes = max(self.max_lag_bytes, spec.durability.max_lag_on_failover)
        self.longest_lease_s = max(self.longest_lease_s, spec.timings.lease_ttl_s)
        self.proxy_timeout_s = max(self.proxy_timeout_s, spec.timings.proxy_timeout_s)
        self.wants = spec.durability.mode

    # What it is now.

    @property
    def view(self) -> ClusterView | None:
        """The view in the store."""
        return self.views.view

    @property
    def units(self) -> tuple[Unit, ...]:
        """All services."""
        return (*self.sentinels.values(), *self.keepers.values(), *self.proxies.values())

    def units_on(self, host: str) -> list[Unit]:
        """The services of one host."""
        return [unit for unit in self.units if unit.host == host]

    # Hosts.

    def crash_host(self, host: str) -> None:
        """Take its power away."""
        if not self.network.is_up(host):
            return
        if host in self.fleet.hosts:
            self.fleet.hosts[host].crash()
        self.network.power_off(host)

    def boot_host(self, host: str) -> None:
        """Give it back; what belongs there starts."""
        if self.network.is_up(host):
            return
        self.network.power_on(host)
        if host in self.fleet.hosts:
            self.fleet.hosts[host].boot()
            self.fronts[host].start()
        if host in self.etcd_hosts:
            self.etcd.restart(host)
        for unit in self.units_on(host):
            unit.restart_later()

    def heal(self) -> tuple[str, ...]:
        """A core has power, runs and is connected; what is not needed may be dead. Returns its proxies.

        The core: a majority of etcd, one sentinel, one proxy, and enough PostgreSQL servers.
        """
        self.network.heal_all()
        self.cuts.clear()
        left_out = self._left_out()
        self.say(f"left out: {', '.join(left_out) or 'nothing'}")
        self.causes += len(left_out)
        for host in self.network.hosts:
            if host in left_out:
                self.crash_host(host)
            else:
                self.boot_host(host)
        self.etcd.start()
        return tuple(proxy for proxy in self.proxy_hosts if proxy not in left_out)

    def _left_out(self) -> list[str]:
        """What stays dead: of each kind as many as can be done without, in half of the runs."""
        chance = self.stream("core")
        left_out: list[str] = []
        for hosts, most in ((self.etcd_hosts, 1), (self.sentinel_hosts, 2), (self.proxy_hosts, 1)):
            if chance.random() < 0.5:
                left_out += chance.sample(hosts, most)
        named = (
            {each.uid for each in (self.view.primary, self.view.old_primary) if each} if self.view else set()
        )
        standbys = [host for host in self.keeper_hosts if host not in named]
        can_spare = len(self.keeper_hosts) >= ENOUGH_KEEPERS and named and not self.has_wiped
        can_spare = can_spare and not self.restores.count  # everybody may have to be asked
        if can_spare and self.wants == "degrade" and chance.random() < 0.5:
            left_out.append(chance.choice(standbys))
        return left_out
