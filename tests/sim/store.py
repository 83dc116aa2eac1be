"""The Store port on the simulated etcd, for one process: it tries members as the real client does.

What may be done twice is asked of the next member as well when the first is slow. A write goes once, to a
member that is believed to be connected; without an answer its outcome is unknown. Nothing was written only
when no member could be connected to, or the member said so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Final, TypeVar

from common.errors import StoreUnavailable, UnknownOutcome
from common.store.keyspace import check_writes
from common.store.port import Compare, Delete, Lease, Newer, Outcome, Put, Snapshot, StoreMember, WatchBatch
from tests.sim.etcd import Refused, Request, SimEtcd
from tests.sim.etcd_data import EtcdData
from tests.sim.handles import SimHandle
from tests.sim.network import ETCD
from tests.sim.process import Process
from tests.sim.watch import Stream, StreamEnded

T = TypeVar("T")

TIMEOUT_S: Final = 2.0
HEDGE_AFTER_S: Final = 0.5
PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0


class SimStore:
    """One client. ``order`` of the members is the process's own, the first of them its favourite."""

    def __init__(
        self,
        etcd: SimEtcd,
        process: Process,
        *,
        order: Sequence[str] = (),
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._etcd = etcd
        self._process = process
        self._host = process.host
        self._order = list(order or etcd.members)
        self._connected: dict[str, None] = {}
        self._timeout_s = timeout_s
        self._hedge_after_s = min(HEDGE_AFTER_S, timeout_s / (len(self._order) + 1))

    # The port.

    async def read(self, prefix: str) -> Snapshot:
        """Read everything under a prefix."""
        return await self._anywhere(lambda data: Snapshot(data.revision, data.cluster_id, data.items(prefix)))

    async def read_newer(self, prefix: str, *, than_revision: int) -> Newer:
        """Read what was written under a prefix after a revision."""

        def work(data: EtcdData) -> Newer:
            items = data.items(prefix)
            newer = tuple(item for item in items if item.mod_revision > than_revision)
            return Newer(data.revision, data.cluster_id, len(items), newer)

        return await self._anywhere(work)

    async def transact(self, compares: Sequence[Compare], writes: Sequence[Put | Delete]) -> Outcome:
        """Do all writes if all compares hold, else none."""
        check_writes(writes)
        compares, writes = tuple(compares), tuple(writes)
        key, befall = self._etcd.in_write.get(self._host, ("", None))
        if befall is not None and any(write.key == key for write in writes):
            del self._etcd.in_write[self._host]
            befall()
            await asyncio.sleep(0)  # if it was stopped it goes on here, before it hears anything new
        return await self._once(lambda data: data.transact(compares, writes))

    async def grant_lease(self, ttl_s: int) -> Lease:
        """Take a new lease."""
        return await self._anywhere(lambda data: data.grant(ttl_s))

    async def keep_alive(self, lease_id: int) -> float:
        """Renew a lease."""
        befall = self._etcd.in_keepalive.pop(self._host, None)
        if befall is not None:
            befall()
        return await self._anywhere(lambda data: data.keep_alive(lease_id))

    async def revoke_lease(self, lease_id: int) -> None:
        """End a lease and delete what hangs on it."""
        await self._anywhere(lambda data: data.revoke(lease_id))

    async def members(self) -> tuple[StoreMember, ...]:
        """Say how each member is."""
        return tuple([await self._member(host) for host in self._etcd.members])

    async def _member(self, host: str) -> StoreMember:
        etcd = self._etcd
        connected = await self._connect(host)
        problem = "" if connected and etcd.serves(host) else "it has no leader" if connected else "no answer"
        alarms = ("alarm:NOSPACE",) if etcd.data.no_space else ()
        return StoreMember(host, host, host == etcd.leader, "simulated", problem, alarms if connected else ())

    async def watch(self, prefix: str, *, after_revision: int) -> AsyncGenerator[WatchBatch, None]:
        """Yield every change after a revision, over ended streams and changes of member too."""
        position, pause_s = after_revision, PAUSE_S
        while True:
            member = self._order[0]
            if await self._connect(member):
                try:
                    async with aclosing(self._stream(member, prefix, position)) as batches:
                        async for batch in batches:
                            position, pause_s = batch.revision, PAUSE_S
                            yield batch
                except StreamEnded:
                    self._demote(member)
            else:
                self._demote(member)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _stream(self, member: str, prefix: str, position: int) -> AsyncGenerator[WatchBatch, None]:
        stream = Stream(self._etcd, self._process, member, prefix, position)
        try:
            while True:
                for batch in await stream.receive():
                    yield batch
        finally:
            stream.close()

    async def close(self) -> None:
        """Give up all connections."""
        self._connected.clear()

    # How members are asked.

    def _demote(self, member: str) -> None:
        """Prefer the others from now on, by a new connection."""
        self._connected.pop(member, None)
        self._order.remove(member)
        self._order.append(member)

    async def _connect(self, member: str) -> bool:
        """Whether there is a connection, as far as this process knows, or one can be had soon."""
        if member in self._connected:
            return True
        network = self._etcd.network
        there, back = network.path(self._host, member, ETCD), network.path(member, self._host, ETCD)
        if there is None or back is None:
            await asyncio.sleep(self._hedge_after_s)
            return False
        await asyncio.sleep(there + back)
        if self._etcd.process(member).is_dead:
            return False
        self._connected[member] = None
        return True

    async def _anywhere(self, work: Callable[[EtcdData], T]) -> T:
        race = _Race(self, work)
        race.ask_next()
        try:
            return await race.done  # type: ignore[no-any-return]
        finally:
            race.stop()

    async def _once(self, work: Callable[[EtcdData], T]) -> T:
        loop = self._etcd.loop
        deadline = loop.time() + self._timeout_s
        while loop.time() < deadline:
            for member in tuple(self._order):
                if not await self._connect(member):
                    self._demote(member)
                    continue
                if loop.time() >= deadline:
                    break
                try:
                    return await self._ask_once(member, work, deadline)
                except Refused:
                    self._demote(member)
            await asyncio.sleep(PAUSE_S)
        raise StoreUnavailable(f"the store did not answer within {self._timeout_s:g} s")

    async def _ask_once(self, member: str, work: Callable[[EtcdData], T], deadline: float) -> T:
        done: asyncio.Future[T] = self._etcd.loop.create_future()
        self.send(member, work, done)
        try:
            async with asyncio.timeout_at(deadline):
                return await done
        except TimeoutError as error:
            self._demote(member)
            raise UnknownOutcome(f"{member} did not answer a write within {self._timeout_s:g} s") from error

    def send(
        self,
        member: str,
        work: Callable[[EtcdData], T],
        done: asyncio.Future[T],
        refused: Callable[[str], None] | None = None,
    ) -> None:
        """Send a request; ``refused`` is told of a member that said no, else ``done`` is."""

        def settle(result: Any, error: BaseException | None) -> None:
            if isinstance(error, Refused) and refused is not None:
                refused(member)
            elif error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)

        self._etcd.ask(
            Request(
                host=self._host,
                member=member,
                work=work,
                settle=settle,
                is_wanted=lambda: not (done.done() or self._process.is_dead),
                sent_at=self._etcd.loop.time(),
                may_double=refused is not None,
            )
        )

    def slowest(self, asked: Sequence[str]) -> None:
        """Nobody of those has answered in time: prefer the others."""
        for member in asked:
            self._demote(member)

    @property
    def order(self) -> tuple[str, ...]:
        """The members, the preferred one first."""
        return tuple(self._order)

    @property
    def timing(self) -> tuple[float, float]:
        """How long a call may take, and after how long another member is asked as well, in seconds."""
        return self._timeout_s, self._hedge_after_s


class _Race:
    """One request to as many members as it takes."""

    def __init__(self, store: SimStore, work: Callable[[EtcdData], Any]) -> None:
        self._store = store
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._timeout_s, self._hedge_after_s = store.timing
        self._deadline = self._loop.time() + self._timeout_s
        self._asked: list[str] = []
        self._timer: asyncio.TimerHandle | SimHandle | None = None
        self.done: asyncio.Future[Any] = self._loop.create_future()

    def ask_next(self) -> None:
        """Ask the next member that has not been asked, and come back when it is slow."""
        if self.done.done():
            return
        now = self._loop.time()
        if now >= self._deadline:
            self._store.slowest(self._asked)
            self.done.set_exception(
                StoreUnavailable(f"the store did not answer within {self._timeout_s:g} s")
            )
            return
        pause_s = PAUSE_S
        for member in self._store.order:
            if member not in self._asked:
                self._asked.append(member)
                self._store.send(member, self._work, self.done, self._refused)
                pause_s = self._hedge_after_s
                break
        self._timer = self._loop.call_at(min(now + pause_s, self._deadline), self.ask_next)

    def _refused(self, member: str) -> None:
        """Ask it again later, and another one soon."""
        if self._timer is not None:
            self._timer.cancel()
        self._store.slowest([member])
        self._asked.remove(member)
        self._timer = self._loop.call_later(PAUSE_S, self.ask_next)

    def stop(self) -> None:
        """Whoever asked has gone, or has its answer."""
        self.done.cancel()
        if self._timer is not None:
            self._timer.cancel()
