"""Time and chance of the simulated servers, and what belongs to one life of their processes."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Final

from tests.sim.postgres.values import Delays, Network, Sizes

RETRANSMIT_S: Final = 0.2
GIVE_UP_S: Final = 10.0
"""A connection through which nothing has come for so long is dead for both ends."""


class Engine:
    """Runs what servers do by themselves, on the loop, in the context in which the engine was made.

    So nothing that a server does belongs to the keeper that asked for it: servers outlive their keepers.
    """

    def __init__(self, network: Network, random: Random, delays: Delays, sizes: Sizes) -> None:
        self.loop = asyncio.get_running_loop()
        self.network = network
        self.random = random
        self.delays = delays
        self.sizes = sizes
        self._context = contextvars.copy_context()
        self._numbers = 0

    @property
    def now(self) -> float:
        return self.loop.time()

    def number(self) -> int:
        """A number that never comes again: process ids, start ids."""
        self._numbers += 1
        return self._numbers

    def later(self, delay_s: float, call: Callable[..., Any], *args: Any) -> None:
        self.loop.call_later(delay_s, call, *args, context=self._context)

    def draw(self, mean_s: float) -> float:
        """A duration; now and then many times its mean."""
        return min(self.random.expovariate(1.0) * mean_s, 20 * mean_s)

    def reaction(self, *, busy: bool = False) -> float:
        """How long a process takes to handle a signal; sometimes it was just not running.

        ``busy``: there are more processes that want to run than processors.
        """
        delays = self.delays
        stalled = self.random.random() < (delays.busy_stall_chance if busy else delays.stall_chance)
        return self.draw(delays.signal_s) + (self.draw(delays.stall_s) if stalled else 0.0)


class Life:
    """The processes of one start: what they do later ends with them, and waits while they are stopped."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self.is_over = False
        self.paused = False

    def later(self, delay_s: float, call: Callable[..., Any], *args: Any) -> None:
        self._engine.later(delay_s, self.do, call, *args)

    def do(self, call: Callable[..., Any], *args: Any) -> None:
        if self.is_over:
            return
        if self.paused:
            self._held.append((call, args))
        else:
            call(*args)

    def pause(self) -> None:
        """SIGSTOP."""
        self.paused = True

    def resume(self) -> None:
        """SIGCONT: what came meanwhile is handled in its order."""
        self.paused = False
        while self._held and not self.paused and not self.is_over:
            call, args = self._held.popleft()
            call(*args)

    def end(self) -> None:
        self.is_over = True
        self._held.clear()


class Changes:
    """Wakes whoever waits for a server to become something else."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def notify(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, timeout_s: float | None) -> None:
        """Return at the next change, or when the time is up."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await future


class Channel:
    """One direction of a TCP connection: in order, and held back while nothing comes through."""

    def __init__(self, engine: Engine, source: str, target: str, kind: str) -> None:
        self._engine = engine
        self._ends = (source, target, kind)
        self._queue: deque[tuple[Life, Callable[..., Any], tuple[Any, ...]]] = deque()
        self._arrival = 0.0
        self._blocked = False
        self._blocked_since = 0.0

    def send(self, target: Life, call: Callable[..., Any], *args: Any) -> None:
        """Have ``call`` made in the target's life when the message arrives."""
        self._queue.append((target, call, args))
        if not self._blocked:
            self._blocked_since = self._engine.now
            self._pump()

    def _pump(self) -> None:
        self._blocked = False
        while self._queue:
            latency_s = self._engine.network.path(*self._ends)
            if latency_s is None:
                if self._engine.now - self._blocked_since > GIVE_UP_S:
                    self._queue.clear()
                    return
                self._blocked = True
                self._engine.later(RETRANSMIT_S, self._pump)
                return
            target, call, args = self._queue.popleft()
            self._arrival = max(self._arrival, self._engine.now + latency_s)
            self._engine.later(self._arrival - self._engine.now, target.do, call, *args)

    def break_off(self) -> None:
        """The sending host is gone: what is not on the wire never leaves."""
        self._queue.clear()
