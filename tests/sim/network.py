"""Hosts, sites and the links between them: latency, loss, and what is cut.

All traffic is TCP: what a link loses comes later by a retransmission; only a cut or a dead host is silence.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from tests.sim.process import PROCESS, Process

T = TypeVar("T")

ETCD: Final = "etcd"
REPLICATION: Final = "replication"
CLIENT: Final = "client"
API: Final = "api"

LOOPBACK_S: Final = 0.000_02
RETRANSMISSION_S: Final = 0.2
"""The least time after which Linux sends again."""


@dataclass(frozen=True, slots=True)
class Link:
    """One direction between two hosts; ``loss`` is the share of messages that must be sent twice."""

    latency_s: float
    jitter_s: float = 0.0
    loss: float = 0.0


WITHIN_SITE: Final = Link(0.000_2, 0.000_1)
BETWEEN_SITES: Final = Link(0.002, 0.001)


class Network:
    """What connects the hosts; every latency is drawn from the seed's chance."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._sites: dict[str, str] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._site_links: dict[tuple[str, str], Link] = {}
        self._cuts: dict[tuple[str, str, str], None] = {}
        self._down: dict[str, None] = {}
        self._processes: dict[str, list[Process]] = {}
        self._at_power_off: dict[str, dict[Callable[[], None], None]] = {}

    # Hosts and what runs there.

    def add_host(self, name: str, site: str = "") -> None:
        """Put a host into a site."""
        self._sites[name] = site
        self._processes.setdefault(name, [])
        self._at_power_off.setdefault(name, {})

    @property
    def hosts(self) -> tuple[str, ...]:
        """All hosts, in the order in which they were added."""
        return tuple(self._sites)

    def site_of(self, host: str) -> str:
        """Where a host stands."""
        return self._sites[host]

    def start(self, host: str, name: str) -> Process:
        """Start a process on a host, to be killed with it; raises RuntimeError when the host is down."""
        if host in self._down:
            raise RuntimeError(f"{host} is down")
        process = Process(host, name)
        self._processes[host] = [each for each in self._processes[host] if not each.is_dead]
        self._processes[host].append(process)
        return process

    def is_up(self, host: str) -> bool:
        """Whether a host has power."""
        return host not in self._down

    def power_off(self, host: str) -> None:
        """Take the power from a host: its processes are dead and nobody is told, not by a packet either."""
        self._down[host] = None
        forgotten, self._at_power_off[host] = self._at_power_off[host], {}
        for forget in forgotten:
            forget()
        for process in self._processes[host]:
            process.kill()

    def power_on(self, host: str) -> None:
        """Give it back: the host answers again, and knows nothing of its earlier connections."""
        self._down.pop(host, None)

    def at_power_off(self, host: str, forget: Callable[[], None]) -> None:
        """Have a host lose something with its power."""
        self._at_power_off[host][forget] = None

    def not_at_power_off(self, host: str, forget: Callable[[], None]) -> None:
        """It has lost it already."""
        self._at_power_off[host].pop(forget, None)

    async def call(
        self,
        source_host: str,
        target: Process,
        kind: str,
        answer: Callable[[], T | Awaitable[T]],
        *,
        timeout_s: float,
    ) -> T:
        """Ask another process and return what it answers, or raise what it raises.

        Raises ConnectionRefusedError when it is dead and its host is not, and TimeoutError when nothing has
        come in time: the question may have been answered all the same, and may still be.
        """
        exchange = _Exchange(self, (source_host, target, kind), answer)
        exchange.ask()
        async with asyncio.timeout(timeout_s):
            return await exchange.heard

    # Links.

    def path(self, source_host: str, target_host: str, kind: str) -> float | None:
        """How long a message that is sent now takes one way, in seconds; None when it does not arrive."""
        if source_host in self._down or target_host in self._down:
            return None
        if source_host == target_host:
            return LOOPBACK_S
        if self._cuts and self._is_cut(source_host, target_host, kind):
            return None
        link = self._links.get((source_host, target_host)) or self._find_link(source_host, target_host)
        delay_s = link.latency_s + link.jitter_s * self._chance.random()
        if link.loss and self._chance.random() < link.loss:
            delay_s += RETRANSMISSION_S
        return delay_s

    def is_open(self, source_host: str, target_host: str, kind: str) -> bool:
        """Whether a message can pass now; draws no chance."""
        if source_host in self._down or target_host in self._down:
            return False
        return not (self._cuts and self._is_cut(source_host, target_host, kind))

    def _is_cut(self, source: str, target: str, kind: str) -> bool:
        cuts = self._cuts
        return (source, target, kind) in cuts or (source, target, "") in cuts

    def _find_link(self, source: str, target: str) -> Link:
        sites = (self._sites[source], self._sites[target])
        default = WITHIN_SITE if sites[0] == sites[1] else BETWEEN_SITES
        link = self._site_links.get(sites, default)
        self._links[source, target] = link
        return link

    def set_link(self, source_host: str, target_host: str, link: Link) -> None:
        """Give one direction between two hosts other qualities."""
        self._links[source_host, target_host] = link

    def set_site_link(self, source_site: str, target_site: str, link: Link) -> None:
        """Give one direction between two sites other qualities, for all of their hosts."""
        self._site_links[source_site, target_site] = link
        for source, target in list(self._links):
            if (self._sites[source], self._sites[target]) == (source_site, target_site):
                self._links[source, target] = link

    def cut(self, source_host: str, target_host: str, kind: str = "") -> None:
        """Swallow what goes one way between two hosts, all of it or one kind."""
        self._cuts[source_host, target_host, kind] = None

    def heal(self, source_host: str, target_host: str, kind: str = "") -> None:
        """End a cut."""
        self._cuts.pop((source_host, target_host, kind), None)

    def split(self, one: Iterable[str], other: Iterable[str], kind: str = "") -> None:
        """Cut both directions between two groups of hosts, such as two sites."""
        others = tuple(other)
        for left in one:
            for right in others:
                self.cut(left, right, kind)
                self.cut(right, left, kind)

    def isolate(self, host: str, kind: str = "") -> None:
        """Cut a host off from all others."""
        self.split((host,), (other for other in self._sites if other != host), kind)

    def heal_all(self) -> None:
        """End every cut."""
        self._cuts.clear()


class _Exchange(Generic[T]):
    """A question on its way to a process, and the answer on its way back."""

    def __init__(
        self, network: Network, way: tuple[str, Process, str], answer: Callable[[], T | Awaitable[T]]
    ) -> None:
        self._network = network
        self._source_host, self._target, self._kind = way
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._asker = PROCESS.get()
        self.heard: asyncio.Future[T] = self._loop.create_future()

    def ask(self) -> None:
        """Send the question; whoever asks may die meanwhile."""
        delay_s = self._network.path(self._source_host, self._target.host, self._kind)
        if delay_s is not None:
            self._loop.call_later(delay_s, self._arrive, context=Context())

    def _arrive(self) -> None:
        if not self._network.is_open(self._source_host, self._target.host, self._kind):
            return
        if self._target.is_dead:
            refused = ConnectionRefusedError(f"{self._target} does not listen")
            self._reply(partial(self.heard.set_exception, refused))
        else:
            self._target.spawn(self._serve(), name="answer")

    async def _serve(self) -> None:
        try:
            made = self._answer()
            result = await made if isinstance(made, Awaitable) else made
        except Exception as error:  # noqa: BLE001 - it is the answer
            self._reply(partial(self.heard.set_exception, error))
        else:
            self._reply(partial(self.heard.set_result, result))

    def _reply(self, settle: Callable[[], None]) -> None:
        delay_s = self._network.path(self._target.host, self._source_host, self._kind)
        if delay_s is not None:
            self._loop.call_later(delay_s, self._settle, settle, context=Context())

    def _settle(self, settle: Callable[[], None]) -> None:
        is_open = self._network.is_open(self._target.host, self._source_host, self._kind)
        is_wanted = not (self.heard.done() or (self._asker is not None and self._asker.is_dead))
        if is_open and is_wanted:
            settle()
