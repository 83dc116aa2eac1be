"""The tasks of a service: none of them ends unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Final, Self

import structlog

from common.errors import PghaError, UnsafeOperation

CANCEL_LIMIT_S: Final = 5.0

_log = structlog.get_logger()


class LoopEnded(PghaError):
    """A loop that must run for ever has ended; the log has its traceback. The process must end too."""


class Supervisor:
    """Runs a service's loops; a context manager that leaves none of them running.

    The order of an orderly end: :meth:`run_until` returns, the service says goodbye (gives up its
    lease, closes its listener) while its loops still run, the context ends and cancels them.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: list[str] = []
        self._refusal: UnsafeOperation | None = None
        self._one_ended = asyncio.Event()
        self._ending = False

    def start(self, name: str, loop: Coroutine[Any, Any, None]) -> None:
        """Start one loop."""
        task = asyncio.create_task(loop, name=name)
        task.add_done_callback(self._note_end)
        self._tasks.add(task)

    def start_all(self, name: str, loops: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Start several loops of one part; each is called after the part and its own function."""
        for loop in loops:
            self.start(f"{name}.{getattr(loop, '__name__', 'loop').strip('_')}", loop)

    async def run_until(self, stop: asyncio.Event) -> None:
        """Wait for ``stop``; raises LoopEnded as soon as a loop has ended before it, in whichever way.

        What only an operator can decide is no crash: UnsafeOperation of a loop is raised as it is.
        """
        waits = [asyncio.create_task(event.wait()) for event in (stop, self._one_ended)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._refusal is not None:
            raise self._refusal
        if self._ended:
            raise LoopEnded(f"{', '.join(self._ended)} ended; it must run as long as the process does")
        self._ending = True

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """Say how a task ended, at once; before the orderly end every end is one too early."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, UnsafeOperation) and not self._ending:
            self._refusal = error
        elif error is not None:
            _log.error("loop_crashed", loop=task.get_name(), exc_info=error)
        if self._ending:
            return
        if error is None:
            _log.error("loop_ended", loop=task.get_name(), cancelled=task.cancelled())
        self._ended.append(task.get_name())
        self._one_ended.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._ending = True
        if not self._tasks:
            return
        for task in self._tasks:
            task.cancel()
        _, stuck = await asyncio.wait(self._tasks, timeout=CANCEL_LIMIT_S)
        for task in stuck:
            _log.error("loop_does_not_end", loop=task.get_name(), after_s=CANCEL_LIMIT_S)
