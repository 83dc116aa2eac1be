"""One simulated process of an operating system: it can be stopped, continued, and killed as by ``kill -9``.

A context variable names the process whose code runs. Tasks and callbacks inherit it, so every handle of the
loop belongs to the process that made it, without any help from the code under test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

if TYPE_CHECKING:
    from tests.sim.handles import SimHandle
    from tests.sim.loop import SimLoop

P = ParamSpec("P")
T = TypeVar("T")

State = Literal["running", "paused", "dead"]


class Process:
    """A process on a host; what runs in it is started with :meth:`spawn` or :meth:`run`.

    ``pause`` is SIGSTOP: nothing of it runs, but what the kernel does for it goes on, timers come due, and
    all of that happens to it at ``resume``. ``kill`` is SIGKILL: nothing of it ever runs again, no
    ``finally`` and no cancellation; the kernel releases what it held.
    """

    def __init__(self, host: str, name: str) -> None:
        self.host = host
        self.name = name
        self.state: State = "running"
        self.loop: SimLoop | None = None
        """Where its tasks run, once it has any."""
        self._held: list[SimHandle] = []
        self._at_end: dict[Callable[[], None], None] = {}

    def __repr__(self) -> str:
        return f"<{self.host}/{self.name} {self.state}>"

    @property
    def is_running(self) -> bool:
        """Whether its code runs now: it is neither paused nor dead."""
        return self.state == "running"

    @property
    def is_dead(self) -> bool:
        """Whether it has been killed."""
        return self.state == "dead"

    def context(self) -> Context:
        """A new context whose code belongs to this process."""
        context = copy_context()
        context.run(PROCESS.set, self)
        return context

    def spawn(self, main: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """Run a coroutine in this process; raises RuntimeError when it is dead."""
        if self.is_dead:
            main.close()
            raise RuntimeError(f"{self.host}/{self.name} is dead")
        loop = asyncio.get_running_loop()
        return loop.create_task(main, name=name or self.name, context=self.context())

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in this process, now, and return what it returns."""
        return self.context().run(function, *args, **kwargs)

    def pause(self) -> None:
        """Stop it where it is, as SIGSTOP does."""
        if self.state == "running":
            self.state = "paused"

    def resume(self) -> None:
        """Let it go on, as SIGCONT does: what was ready, then what has arrived, then the timers come due."""
        if self.state != "paused":
            return
        self.state = "running"
        held, self._held = self._held, []
        if held:
            held[0].loop.requeue(sorted(held, key=_kind))

    def kill(self) -> None:
        """End it, as SIGKILL does; a dead one stays dead."""
        if self.is_dead:
            return
        self.state = "dead"
        if self.loop is not None:
            self.loop.entomb(self)
        self._held.clear()  # only now: nothing else may hold the tasks that were to begin
        at_end, self._at_end = self._at_end, {}
        for release in at_end:
            release()

    def at_end(self, release: Callable[[], None]) -> None:
        """Have the kernel release something when this process is killed."""
        self._at_end[release] = None

    def not_at_end(self, release: Callable[[], None]) -> None:
        """Forget a release: it has been released already."""
        self._at_end.pop(release, None)

    def hold(self, handle: SimHandle) -> None:
        """Keep a handle that came up while the process does not run; a dead one needs none."""
        if self.state == "paused":
            self._held.append(handle)


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
"""Whose code runs now; None for the simulated world's own."""


def current_process() -> Process:
    """The process whose code runs; raises RuntimeError outside of any."""
    process = PROCESS.get()
    if process is None:
        raise RuntimeError("this runs in no simulated process: use Process.spawn or Process.run")
    return process


def _kind(handle: SimHandle) -> int:
    return handle.kind
