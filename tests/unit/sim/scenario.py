"""A run in which everything of the simulator is used; started as a program it says its digest.

The real parts of the services run on it: mirrors, a session, a publisher, and the proxy's data path.
"""

from __future__ import annotations

import asyncio
import random
import struct
import sys
from collections.abc import Coroutine
from typing import Any

from common.errors import StoreUnavailable
from common.model.view import Route
from common.store.mirror import Mirror
from common.store.port import Put
from common.store.publisher import Publisher
from common.store.session import Session
from proxy.admission import ParkLimits
from proxy.listener import Listener
from proxy.route import Seen, decide
from tests.sim.clock import SimClock
from tests.sim.disk import SimDisk
from tests.sim.etcd import SimEtcd
from tests.sim.internet import Internet
from tests.sim.loop import SimLoop, simulate
from tests.sim.network import Link, Network
from tests.sim.process import Process
from tests.sim.store import SimStore
from tests.sim.trace import Trace
from tests.support.builders import running_view, sealing_view
from tests.support.healthy import TERM
from tests.unit.sim.stage import Peer

STARTUP = struct.pack("!ii", 9, 196608) + b"\0"
HOSTS = (("e1", "a"), ("e2", "b"), ("e3", "w"), ("k1", "a"), ("k2", "b"), ("p", "a"), ("s", "b"), ("c", "a"))
ROUTE = Route(uid="s", incarnation="11111111", term=TERM, host="s", port=5432)


class World:
    """Keepers that report, a proxy with clients, and faults by chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.loop = SimLoop(chance=self.chance)
        self.network = Network(self.chance)
        for host, site in HOSTS:
            self.network.add_host(host, site)
        self.network.set_site_link("a", "b", Link(0.003, 0.002, loss=0.01))
        self.internet = Internet(self.loop, self.network)
        self.etcd = SimEtcd(self.loop, self.network, self.chance, ("e1", "e2", "e3"))
        self.replies = 0

    async def run(self, seconds: float) -> None:
        for host in ("k1", "k2"):
            self._keeper(self.network.start(host, "keeper"))
        server = self.network.start("s", "postgres")
        server.run(self.internet.listen, lambda: Peer(echoes=True, keeps_open=True), None, 5432, backlog=100)
        self._proxy(self.network.start("p", "proxy"))
        clients = self.network.start("c", "clients")
        for number in range(10):
            clients.spawn(self._client(number))
        faults = asyncio.create_task(self._faults())
        await asyncio.sleep(seconds)
        faults.cancel()

    def _keeper(self, process: Process) -> None:
        store, clock = SimStore(self.etcd, process), SimClock(self.loop, rate=1 + self.chance.random() / 100)
        session = Session(store, clock, ttl_s=3, is_alive=lambda: True)
        publisher = Publisher(
            store, session, clock, f"/keepers/{process.host}", may_replace=lambda _: True, slow_every_s=2
        )
        works: tuple[Coroutine[Any, Any, None], ...] = (
            session.run(),
            publisher.run(),
            Mirror(store, clock, "/").run(),
            self._report(publisher, store, process.host),
        )
        for work in works:
            process.spawn(work)

    async def _report(self, publisher: Publisher, store: SimStore, host: str) -> None:
        disk, number = SimDisk(self.chance), 0
        while True:
            number += 1
            await disk.write("state", {"number": number})
            publisher.offer(b"%d" % number, acts_on=number // 4)
            if number % 8 == 0:
                try:
                    await store.transact([], [Put(f"/views/{host}", b"%d" % number)])
                except StoreUnavailable:
                    continue
            await asyncio.sleep(0.25)

    def _proxy(self, process: Process) -> None:
        listener = Listener(
            limits=ParkLimits(100, 30.0),
            max_clients=100,
            startup_timeout_s=10,
            dial_timeout_s=2,
            peer_timeout_s=15,
        )

        async def serve() -> None:
            await listener.listen([], 6432)
            while True:
                listener.apply(decide(None, Seen(view=running_view(route=ROUTE), in_contact=True)))
                await asyncio.sleep(7)
                listener.apply(decide(None, Seen(view=sealing_view(), in_contact=True)))
                await asyncio.sleep(0.5)

        process.spawn(serve())

    async def _client(self, number: int) -> None:
        while True:
            peer = Peer()
            await asyncio.sleep(0.01 * number)
            try:
                await self.internet.connect(lambda peer=peer: peer, "p", 6432)  # type: ignore[misc]
            except OSError:
                continue
            peer.transport.write(STARTUP)
            while not peer.lost:
                before = len(peer.received)
                peer.transport.write(b"insert")
                await asyncio.sleep(0.02)
                self.replies += len(peer.received) > before

    async def _faults(self) -> None:
        while True:
            await asyncio.sleep(2 + 4 * self.chance.random())
            members = [member for member in self.etcd.members if self.etcd.is_live(member)]
            victim = members[int(self.chance.random() * len(members))]
            process = self.etcd.process(victim)
            process.pause()
            self.network.cut("k1", "e1")
            await asyncio.sleep(3 * self.chance.random())
            process.resume()
            self.network.heal_all()


def digest_of(seed: int, seconds: float = 20.0) -> tuple[str, int, int]:
    """Run it; return the digest of its trace, how many handles ran, and how often a client was answered."""
    world = World(seed)
    trace = Trace(world.loop)
    simulate(world.run(seconds), world.loop)
    return trace.digest, trace.count, world.replies


if __name__ == "__main__":
    sys.stdout.write(digest_of(int(sys.argv[1]))[0])
