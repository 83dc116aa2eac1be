"""The deadman of one host, as a process of its own beside the keeper: it outlives that, armed as it was.

The fuse is the real one. Where the real deadman reads /proc, this one ends what runs on its host.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Final

from common.errors import DeadmanUnavailable
from keeper.deadman.fuse import Fuse
from keeper.deadman.wire import Answer

if TYPE_CHECKING:
    from tests.sim.process import Process
    from tests.sim.world import World

LOOKS_EVERY_S: Final = 0.05
STARTS_IN_S: Final = 0.15
ANSWERS_IN_S: Final = 0.001


class SimDeadman:
    """The one of a host. ``process`` is None before its first life, dead after a kill or a loss of power."""

    def __init__(self, world: World, host: str) -> None:
        self._world = world
        self._host = host
        self._lives = 0
        self.fuse = Fuse()
        self.process: Process | None = None

    @property
    def lives(self) -> bool:
        """Whether there is one."""
        return self.process is not None and not self.process.is_dead

    def start(self) -> None:
        """Begin a life: idle."""
        self._lives += 1
        self.fuse = Fuse()
        self.process = self._world.network.start(self._host, "deadman")
        self.process.spawn(self._run(self.process))

    async def _run(self, process: Process) -> None:
        while not process.is_dead:
            self.look()
            await asyncio.sleep(LOOKS_EVERY_S)

    def look(self) -> None:
        """Read the clock; past the deadline kill whatever is there."""
        self.fuse = self.fuse.at(self.now)
        if self.fuse.state == "expired":
            self._world.fleet.hosts[self._host].kill()
            self.fuse = self.fuse.swept(empty=True)

    @property
    def now(self) -> float:
        """The clock of its host."""
        return self._world.clock(self._host).monotonic()

    def answer(self) -> Answer:
        """How it stands."""
        fuse = self.fuse
        return Answer(
            id=0,
            state=fuse.state,
            pid=self._lives,
            deadline=fuse.deadline,
            margin_s=fuse.margin_s(self.now),
            fired=fuse.fired,
        )


class SimGuard:
    """The hold of one life of a keeper on the deadman; see :class:`keeper.deadman.client.Deadman`."""

    def __init__(self, deadman: SimDeadman, chance: Random) -> None:
        self._deadman = deadman
        self._chance = chance
        self._held: Process | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is a connection with one."""
        return self._held is not None and not self._held.is_dead

    def was_left(self) -> bool:
        """Whether an earlier life may have left one."""
        return self._deadman.process is not None

    async def ensure(self) -> Answer:
        """Take over the one that is there, or start one."""
        if not self._deadman.lives:
            await asyncio.sleep(STARTS_IN_S * (0.5 + self._chance.random()))
            if not self._deadman.lives:
                self._deadman.start()
        self._held = self._deadman.process
        return await self._reach()

    async def arm(self, deadline: float, *, limit_s: float) -> Answer:
        """Have everything killed at a time of the host's clock."""
        await self._reach()
        self._take(self._deadman.fuse.arm(self._deadman.now, deadline, limit_s))
        return self._deadman.answer()

    async def disarm(self) -> Answer:
        """Forget the deadline."""
        await self._reach()
        self._take(self._deadman.fuse.disarm())
        return self._deadman.answer()

    async def close(self) -> None:
        """Let go; what is armed stays armed."""
        self._held = None

    async def _reach(self) -> Answer:
        """A question and its answer; it reads the clock before it reads what was asked."""
        await asyncio.sleep(ANSWERS_IN_S)
        if not self.is_there or self._held is None or not self._held.is_running:
            raise DeadmanUnavailable("the deadman does not answer")
        self._deadman.look()
        return self._deadman.answer()

    def _take(self, found: Fuse | str) -> None:
        if isinstance(found, str):
            raise DeadmanUnavailable(found)
        self._deadman.fuse = found
