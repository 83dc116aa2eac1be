"""An asyncio event loop on virtual time: the same seed gives the same handles in the same order.

When nothing is ready, time jumps to the next timer. What is ready in one turn is run in the order in which it
became ready; with ``chance`` given, the processes that are ready in one turn are interleaved by it, while
each keeps its own order, as on real hosts.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple

from tests.sim.handles import ARRIVAL, SOON, TIMER, SimFuture, SimHandle, SimTask, bury
from tests.sim.process import PROCESS, Process

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

HANDLES_AT_ONE_INSTANT_MAX: Final = 200_000

_NOBODY: Final = Context()


class Stalled(Exception):
    """Nothing is left that could ever happen."""


class Livelock(Exception):
    """Time does not advance any more: callbacks go on making callbacks."""


class Internet(Protocol):
    """Who carries the connections of this loop; see :class:`tests.sim.transports.Internet`."""

    async def connect(
        self, factory: Callable[[], asyncio.BaseProtocol], host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Open a connection from the host of the process that calls."""

    def listen(
        self, factory: Callable[[], asyncio.BaseProtocol], hosts: Any, port: int, *, backlog: int
    ) -> asyncio.AbstractServer:
        """Take connections on the host of the process that calls."""


class SimLoop(asyncio.BaseEventLoop):
    """The loop of one simulated world. Run it with :func:`simulate`, which also buries what is left."""

    def __init__(self, *, chance: random.Random | None = None) -> None:
        super().__init__()
        self._stopping = False
        self._chance = chance
        self._now = 0.0
        self._order = 0
        self._futures_made = 0
        self._ready: deque[SimHandle] = deque()
        self._scheduled: list[tuple[float, int, SimHandle]] = []
        self._entombed: list[SimTask[Any]] = []
        self._at_one_instant = 0
        self._is_burying = False
        self.handles_run = 0
        self.trace: Callable[[SimHandle], None] | None = None
        self.internet: Internet | None = None

    # Time and handles.

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> SimHandle:
        """Call it in the next turn, on behalf of the process whose code runs now."""
        handle = SimHandle(self._now, callback, args, self, context, SOON)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # there is one thread

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> SimHandle:
        """Call it after so many seconds."""
        return self._at(self._now + delay, callback, args, context, TIMER)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> SimHandle:
        """Call it at a time of this loop."""
        return self._at(when, callback, args, context, TIMER)

    def world_after(self, delay: float, callback: Callable[[*Ts], object], *args: *Ts) -> SimHandle:
        """Call it after so many seconds, whatever happens to the process whose code runs now."""
        return self._at(self._now + delay, callback, args, _NOBODY, ARRIVAL)

    def arrive(self, context: Context, callback: Callable[[*Ts], object], *args: *Ts) -> SimHandle:
        """Call it in the next turn as something that has come from outside to the context's process."""
        handle = SimHandle(self._now, callback, args, self, context, ARRIVAL)
        self._ready.append(handle)
        return handle

    def _at(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
        kind: int,
    ) -> SimHandle:
        handle = SimHandle(when, callback, args, self, context, kind)
        self._order += 1
        heapq.heappush(self._scheduled, (when, self._order, handle))
        return handle

    def requeue(self, handles: list[SimHandle]) -> None:
        """Let handles that were held run in the next turn."""
        self._ready.extend(handles)

    def _run_once(self) -> None:
        """Run turns until the loop is to stop; the base class calls this from run_forever."""
        ready = self._ready
        while not self._stopping:
            self._collect()
            turn = len(ready)
            if turn > 1 and self._chance is not None:
                self._interleave(self._chance)
            self._at_one_instant += turn
            if self._at_one_instant > HANDLES_AT_ONE_INSTANT_MAX:
                raise Livelock(f"{self._at_one_instant} handles at {self._now:.6f} s: {list(ready)[:3]}")
            for _ in range(turn):
                handle = ready.popleft()
                if handle._cancelled:
                    continue
                process = handle._context.get(PROCESS)
                if process is not None and process.state != "running":
                    process.hold(handle)
                    continue
                if self.trace is not None:
                    self.trace(handle)
                self.handles_run += 1
                try:
                    handle._context.run(handle._callback, *handle._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 - as asyncio does with any callback's error
                    self.call_exception_handler(
                        {"message": f"Exception in callback {handle!r}", "exception": error, "handle": handle}
                    )

    def _collect(self) -> None:
        """Make ready what is due; with nothing ready, let time pass until something is."""
        ready, scheduled = self._ready, self._scheduled
        while scheduled and (not ready or scheduled[0][0] <= self._now):
            when, _, handle = heapq.heappop(scheduled)
            if handle._cancelled:
                continue
            if when > self._now:
                self._now = when
                self._at_one_instant = 0
            ready.append(handle)
        if not ready:
            raise Stalled(f"at {self._now:.6f} s nothing is left that could happen")

    def _interleave(self, chance: random.Random) -> None:
        """Mix the processes of this turn, each in its own order."""
        by_process: dict[Process | None, deque[SimHandle]] = {}
        for handle in self._ready:
            by_process.setdefault(handle._context.get(PROCESS), deque()).append(handle)
        if len(by_process) == 1:
            return
        self._ready.clear()
        queues = list(by_process.values())
        while queues:
            queue = queues[int(chance.random() * len(queues))]
            self._ready.append(queue.popleft())
            if not queue:
                queues.remove(queue)

    # Tasks, and the end.

    def create_future(self) -> asyncio.Future[Any]:
        """Something to wait for."""
        self._futures_made += 1
        return SimFuture(loop=self, number=self._futures_made)

    def create_task(
        self, coro: Any, *, name: object = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """Start a coroutine on behalf of the process whose code runs now."""
        self._futures_made += 1
        number = self._futures_made
        return SimTask(coro, loop=self, number=number, name=str(name or number), context=context)

    def entomb(self, process: Process) -> None:
        """Keep the unfinished tasks of a dead process: freed, they would run their ``finally``."""
        left = [task for task in asyncio.all_tasks(self) if isinstance(task, SimTask)]
        self._entombed += sorted((task for task in left if task.process is process), key=hash)

    def close(self) -> None:
        """End the world: nothing runs any more, and whatever has not finished is dropped without a word."""
        if self.is_closed():
            return
        self._is_burying = True
        left = dict.fromkeys(self._entombed)
        left |= {task: None for task in asyncio.all_tasks(self) if isinstance(task, SimTask)}
        for task in sorted(left, key=hash):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            bury(task.get_coro())
        super().close()

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        """Let a generator that was abandoned end in its process, unless the world is over."""
        if not self._is_burying:
            super()._asyncgen_finalizer_hook(agen)  # type: ignore[misc]  # asyncio's own

    # What blocks in a real process happens at once here.

    def run_in_executor(self, executor: object, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Call it now; its result is there in the next turn."""
        del executor
        done: asyncio.Future[T] = self.create_future()
        try:
            self.call_soon(_give, done, func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits
            self.call_soon(_fail, done, error)
        return done

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncio's
        """There is none."""

    def add_signal_handler(self, sig: int, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Signals of the machine are not for a simulated process."""

    def _process_events(self, event_list: object) -> None:
        """Nothing comes from a selector."""

    def _write_to_self(self) -> None:
        """Nothing sleeps."""

    # Connections.

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any
    ) -> Any:
        """Open a connection through the simulated network."""
        return await self._carrier().connect(protocol_factory, host, port)

    async def create_server(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        """Take connections from the simulated network."""
        return self._carrier().listen(protocol_factory, host, port, backlog=options.get("backlog", 100))

    def _carrier(self) -> Internet:
        if self.internet is None:
            raise OSError("this loop has no network")
        return self.internet

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        """Every name stands for itself."""
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]


def _give(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def simulate(main: Coroutine[Any, Any, T], loop: SimLoop) -> T:
    """Run a coroutine of the world itself to its end, then bury the world."""
    try:
        return loop.run_until_complete(main)
    finally:
        with contextlib.suppress(RuntimeError):
            main.close()
        loop.close()
