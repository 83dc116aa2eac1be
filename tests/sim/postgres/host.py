"""The host of a simulated PostgreSQL: its data directories, its processes, and what can befall them."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from random import Random
from typing import Any, Literal, Protocol

from common.model.wal import Lsn
from keeper.postgres.port import Killed, Source, WorkKind
from tests.sim.postgres.directory import Directory
from tests.sim.postgres.engine import Changes, Engine, Life
from tests.sim.postgres.server import Server
from tests.sim.postgres.values import Delays, Network, Sizes
from tests.sim.postgres.wal import Record

Event = Literal["rewound", "discarded", "crashed", "spawned", "writable"]


class Port(Protocol):
    """Where a start takes the connections of clients that speak PostgreSQL's protocol."""

    def close(self) -> None:
        """The postmaster has ended: no new connection; those that there are may live on."""

    def end(self) -> None:
        """No process is left."""

    def pause(self) -> None:
        """Every process has been stopped."""

    def resume(self) -> None:
        """They go on."""


class Program:
    """pg_basebackup, pg_rewind or initdb: a process of its own that outlives the keeper that started it."""

    def __init__(self, host: SimHost) -> None:
        self.host = host
        self.changes = Changes()
        self.has_ended = False
        self.problem = ""
        host.programs.append(self)

    def end(self, problem: str = "") -> None:
        """It has ended, with an error where ``problem`` says one."""
        if not self.has_ended:
            self.has_ended, self.problem = True, problem
            self.host.programs.remove(self)
            self.clear_up()
            self.changes.notify()

    def clear_up(self) -> None:
        """What its end does elsewhere."""


class SimHost:
    """One keeper's PostgreSQL: ``data``, ``data.new`` and ``data.old``, and what runs on them.

    ``name`` is the host's in the network; clients and standbys reach it at ``address`` and ``port``.
    """

    def __init__(self, fleet: Fleet, name: str, address: str, port: int) -> None:
        self.fleet = fleet
        self.engine: Engine = fleet.engine
        self.name = name
        self.address = address
        self.port = port
        self.data: Directory | None = None
        self.new: Directory | None = None
        self.old: Directory | None = None
        self.holds_foreign_files = False
        self.work: WorkKind | None = None
        self.rewinding = False
        self.server: Server | None = None
        self.leftovers: list[Server] = []
        self.programs: list[Program] = []
        self.slots_in_clones: dict[str, Program] = {}
        self.kernel = Life(self.engine)
        self.is_up = True
        self.disk_full = False
        self.disk_hangs = False
        self.start_fails = False
        self.start_takes_s = 0.0
        self.is_busy = False
        self.open_port: Callable[[Server], Port] | None = None
        self._ports: dict[str, Port] = {}
        self._silenced: tuple[int, ...] = ()
        self._disk = Changes()
        self._for_the_disk: list[tuple[Life, Callable[..., Any], tuple[Any, ...]]] = []

    @property
    def present(self) -> Directory:
        """The data directory; there must be one."""
        if self.data is None:
            raise FileNotFoundError(errno.ENOENT, f"the data directory of {self.name} is gone")
        return self.data

    @property
    def running(self) -> list[Server]:
        """Every start of which processes are left."""
        return [server for server in (self.server, *self.leftovers) if server and not server.life.is_over]

    # Starting and ending.

    def spawn(self) -> Server:
        self.server = Server(self)
        self.fleet.tell("spawned", self, self.data)
        if self.open_port is not None:
            self._ports[self.server.start_id] = self.open_port(self.server)
        return self.server

    def postmaster_ended(self, server: Server) -> None:
        """Take note; children that are left stay until they end or are killed."""
        if self.server is server:
            self.server = None
        port = self._ports.get(server.start_id)
        if port is not None:
            port.close()
        if not server.life.is_over:
            self.leftovers.append(server)

    def start_ended(self, server: Server) -> None:
        """The last process of a start is gone."""
        port = self._ports.pop(server.start_id, None)
        if port is not None:
            port.end()

    def kill(self) -> Killed:
        """SIGKILL to all; on a disk that hangs they cannot end, but will never do anything again."""
        count = sum(server.process_count for server in self.running)
        for server in self.running:
            server.die()
        self.leftovers.clear()
        if count and self.disk_hangs:
            self._silenced = tuple(self.engine.number() for _ in range(count))
        return Killed(count, self._silenced)

    # What can befall it.

    def kill_postmaster(self) -> None:
        """Kill the postmaster alone: some of its children may live on for a while."""
        if self.server is not None:
            self.server.kill_postmaster()

    def crash(self) -> None:
        """Power is lost: what was not flushed is gone, or was written by chance up to some point."""
        self.kernel.end()
        self.is_up = False
        for server in self.running:
            server.die(silently=True)
        self.leftovers.clear()
        for program in list(self.programs):
            program.end("the host crashed")
        for directory in (self.data, self.new, self.old):
            if directory is not None:
                self._lose_what_was_not_flushed(directory)
        self._for_the_disk.clear()
        self.disk_hangs = False
        self._silenced = ()
        self.fleet.tell("crashed", self, self.data)

    def _lose_what_was_not_flushed(self, directory: Directory) -> None:
        wal = directory.wal
        until = self.engine.random.randint(wal.flushed, max(wal.flushed, wal.written))
        wal.cut(Lsn(until))
        wal.written = wal.flushed = wal.end

    def boot(self) -> None:
        """Power is back; nothing runs."""
        self.kernel = Life(self.engine)
        self.is_up = True

    def pause(self) -> None:
        """SIGSTOP to every process of the server."""
        for server in self.running:
            server.life.pause()
            if server.start_id in self._ports:
                self._ports[server.start_id].pause()

    def resume(self) -> None:
        """SIGCONT."""
        for server in self.running:
            server.life.resume()
            if server.start_id in self._ports:
                self._ports[server.start_id].resume()

    def hang_disk(self) -> None:
        """Writes and fsyncs do not return from now on."""
        self.disk_hangs = True

    def heal_disk(self) -> None:
        """They return, and those that waited do."""
        self.disk_hangs = False
        self._silenced = ()
        waiting, self._for_the_disk = self._for_the_disk, []
        for life, call, args in waiting:
            life.do(call, *args)
        self._disk.notify()

    def when_disk_answers(self, life: Life, call: Callable[..., Any], *args: Any) -> None:
        self._for_the_disk.append((life, call, args))

    def reaction(self) -> float:
        """How long one of its processes takes to handle a signal, in seconds."""
        return self.engine.reaction(busy=self.is_busy)

    async def read_disk(self) -> None:
        """Reading takes a moment too."""
        await asyncio.sleep(self.engine.draw(self.engine.delays.disk_s))

    async def write_to_disk(self) -> None:
        """A small durable write of the keeper: what follows the call counts as written by it.

        Raises OSError on a full disk.
        """
        await asyncio.sleep(self.engine.draw(self.engine.delays.disk_s))
        while self.disk_hangs:
            await self._disk.wait(None)
        if self.disk_full:
            raise OSError(errno.ENOSPC, "No space left on device")


class Fleet:
    """All simulated PostgreSQL servers of one network.

    ``on_event`` hears what an observer of invariants must know of before it is too late to look: a
    directory is about to be ``rewound`` or was ``discarded``, a host has ``crashed``, a server was
    ``spawned`` or takes commits (``writable``). ``on_acknowledged`` hears of each commit that was,
    ``on_promote`` of each promotion that is asked for.
    """

    def __init__(
        self,
        network: Network,
        random: Random,
        *,
        delays: Delays | None = None,
        sizes: Sizes | None = None,
        on_event: Callable[[Event, SimHost, Directory | None], None] | None = None,
    ) -> None:
        self.engine = Engine(network, random, delays or Delays(), sizes or Sizes())
        self.hosts: dict[str, SimHost] = {}
        self._by_address: dict[tuple[str, int], SimHost] = {}
        self._on_event = on_event
        self.on_acknowledged: Callable[[Server, Record], None] | None = None
        self.on_promote: Callable[[SimHost, Directory], None] | None = None

    def add(self, name: str, *, address: str | None = None, port: int = 5432) -> SimHost:
        """A new host without data."""
        host = SimHost(self, name, address or name, port)
        self.hosts[name] = host
        self._by_address[host.address, port] = host
        return host

    def find(self, source: Source) -> SimHost | None:
        return self.at(source.host, source.port)

    def at(self, address: str, port: int) -> SimHost | None:
        """Whose address it is."""
        return self._by_address.get((address, port))

    def tell(self, event: Event, host: SimHost, directory: Directory | None) -> None:
        if self._on_event is not None:
            self._on_event(event, host, directory)
