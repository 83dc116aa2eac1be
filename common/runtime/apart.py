"""Blocking calls that may never return, each in a thread of its own.

``asyncio.to_thread`` shares a few threads: some calls that hang on one disk, and nothing that needs a
thread goes on, nor does the process end. A thread from here belongs to one call, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def apart(function: Callable[[], T]) -> T:
    """Run a function and return what it returns, or raise what it raises.

    Who is cancelled meanwhile goes; the function runs on. How many may do so at a time is up to the caller.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(settler: Callable[[], None]) -> None:
        if not answer.done():
            settler()

    def work() -> None:
        try:
            result = function()
        except Exception as error:  # noqa: BLE001 - it is raised again where it is waited for
            settler = _raising(answer, error)
        else:
            settler = _returning(answer, result)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, settler)

    threading.Thread(target=work, name="apart", daemon=True).start()
    return await answer


def _returning(answer: asyncio.Future[T], result: T) -> Callable[[], None]:
    return lambda: answer.set_result(result)


def _raising(answer: asyncio.Future[T], error: Exception) -> Callable[[], None]:
    return lambda: answer.set_exception(error)
