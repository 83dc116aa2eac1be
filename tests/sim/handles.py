"""What the simulated loop runs: handles that know how they became ready, and tasks that are numbered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tests.sim.process import PROCESS

if TYPE_CHECKING:
    from tests.sim.loop import SimLoop

T = TypeVar("T")

SOON: Final = 0
ARRIVAL: Final = 1
TIMER: Final = 2
"""The kinds of handles, in the order in which a process that wakes up gets at them."""

ROUNDS_TO_BURY: Final = 20


class SimHandle(asyncio.TimerHandle):
    """A callback that is ready, has arrived, or waits for its time."""

    __slots__ = ("kind",)

    def __init__(  # noqa: PLR0917 - by position, for speed
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: SimLoop,
        context: Context | None,
        kind: int,
    ) -> None:
        # Not super(): this is the hottest place of the simulator.
        self._when = when
        self._callback: Any = callback
        self._args: Any = args
        self._loop = loop
        self._context = copy_context() if context is None else context
        self._cancelled = False
        self._scheduled = False
        self._source_traceback = None
        self._repr = None
        self.kind = kind

    @property
    def loop(self) -> SimLoop:
        """Where it belongs."""
        return self._loop

    def cancel(self) -> None:
        """Never call it."""
        self._cancelled = True
        self._callback = None
        self._args = ()


class SimFuture(asyncio.Future[T]):
    """A future whose hash is its number, so that sets of futures have the same order in every run."""

    def __init__(self, *, loop: SimLoop, number: int) -> None:
        self.number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


class SimTask(asyncio.Task[T]):
    """A task whose hash is its number, so that sets of tasks have the same order in every run."""

    def __init__(
        self,
        coro: Coroutine[Any, Any, T],
        *,
        loop: SimLoop,
        number: int,
        name: str,
        context: Context | None,
    ) -> None:
        self.number = number
        self.process = PROCESS.get() if context is None else context.get(PROCESS)
        if self.process is not None:
            self.process.loop = loop
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self.number


def bury(coroutine: Any) -> None:
    """End a coroutine that will never run again; what its ``finally`` does reaches nobody any more."""
    for _ in range(ROUNDS_TO_BURY):
        try:
            coroutine.close()
        except RuntimeError:
            continue  # it awaits in a ``finally``
        except BaseException:  # noqa: BLE001 - nobody is left whom it could interest
            return
        else:
            return
