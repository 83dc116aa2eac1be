"""Whole services run in the simulator as they are: sentinels elect a leader, over whatever is stopped."""

from __future__ import annotations

import asyncio
import random

from common.model.keys import Keys
from common.runtime.heartbeats import Heartbeats
from common.runtime.supervisor import Supervisor
from common.store.mirror import Mirror
from common.store.publisher import Publisher
from common.store.session import Session
from sentinel.leadership import LeaderWriter
from sentinel.prober import PrimaryProbe
from sentinel.service import SentinelService
from tests.sim.clock import SimClock
from tests.sim.etcd import SimEtcd
from tests.sim.internet import Internet, prober
from tests.sim.loop import SimLoop, simulate
from tests.sim.network import ETCD, Network
from tests.sim.process import Process
from tests.sim.store import SimStore
from tests.sim.trace import Trace
from tests.support.aio import eventually

KEYS = Keys("demo")
HOSTS = {"s1": "a", "s2": "b", "s3": "w"}


class Cluster:
    """An etcd and a sentinel on each of three sites."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.loop = SimLoop(chance=chance)
        self.trace = Trace(self.loop)
        self.network = Network(chance)
        self.network.add_host("observer", "w")
        for host, site in HOSTS.items():
            self.network.add_host(host, site)
        self.internet = Internet(self.loop, self.network)
        self.etcd = SimEtcd(self.loop, self.network, chance, tuple(HOSTS))
        self.observer = SimStore(self.etcd, self.network.start("observer", "observer"))
        self.sentinels: dict[str, Process] = {}
        for number, host in enumerate(HOSTS):
            self.start(host, rate=0.99 + 0.01 * number)

    def start(self, host: str, rate: float = 1.0) -> None:
        process = self.sentinels[host] = self.network.start(host, "sentinel")
        process.run(self.loop.create_task, self._serve(host, process, SimClock(self.loop, rate=rate)))

    async def _serve(self, host: str, process: Process, clock: SimClock) -> None:
        store, heartbeats = SimStore(self.etcd, process), Heartbeats(clock)
        session = Session(store, clock, ttl_s=3, is_alive=lambda: heartbeats.all_alive(10.0))
        mirror = Mirror(store, clock, KEYS.prefix, confirm_every_s=2.0)
        publisher = Publisher(
            store, session, clock, KEYS.sentinel(host), may_replace=lambda _: True, slow_every_s=30.0
        )
        service = SentinelService(
            uid=host,
            site=HOSTS[host],
            version="0",
            api_url=f"http://{host}:7431",
            keys=KEYS,
            clock=clock,
            mirror=mirror,
            session=session,
            publisher=publisher,
            writer=LeaderWriter(store, KEYS, host),
            probe=PrimaryProbe(prober(self.internet), clock),
            store_id=f"store of {host}",
            beat=heartbeats.loop("sentinel"),
        )
        async with Supervisor() as supervisor:
            supervisor.start("mirror", mirror.run())
            supervisor.start("session", session.run())
            supervisor.start("publisher", publisher.run())
            supervisor.start_all("sentinel", service.loops())
            await supervisor.run_until(asyncio.Event())

    async def leader(self) -> str:
        """Who leads, by the store; nobody is an empty text."""
        items = (await self.observer.read(KEYS.leader)).items
        return items[0].value.decode() if items else ""

    async def leader_other_than(self, host: str) -> str:
        async with asyncio.timeout(20):
            while (found := await self.leader()) in {"", host}:  # noqa: ASYNC110 - the store is asked
                await asyncio.sleep(0.1)
        return found


def story_of(seed: int) -> str:
    """Elect, stop the leader, kill the next, cut off the third from etcd; the digest of all that."""
    cluster = Cluster(seed)

    async def story() -> None:
        first = await cluster.leader_other_than("")
        await asyncio.sleep(30)
        assert await cluster.leader() == first

        cluster.sentinels[first].pause()
        second = await cluster.leader_other_than(first)
        cluster.sentinels[first].resume()
        await asyncio.sleep(5)
        assert await cluster.leader() == second

        cluster.sentinels[second].kill()
        third = await cluster.leader_other_than(second)
        cluster.start(second)
        cluster.network.isolate(third, ETCD)
        await eventually(lambda: cluster.etcd.serves(second), "etcd's other majority", within_s=10)
        await cluster.leader_other_than(third)

    simulate(story(), cluster.loop)
    return cluster.trace.digest


def test_sentinels_keep_a_leader_over_stopped_killed_and_cut_off_ones() -> None:
    """A leader that is well stays; each fault costs one lease at most. Several seeds."""
    digests = [story_of(seed) for seed in range(5)]

    assert len(set(digests)) == 5


def test_whole_services_run_the_same_for_the_same_seed() -> None:
    """Their logs, sets and tasks included."""
    assert story_of(11) == story_of(11)
