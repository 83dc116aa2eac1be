"""Running coroutines in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, timeout_s: float = 60.0) -> T:
    """Run a test's coroutine in a loop of its own, with a deadline; what it leaves running is cancelled."""

    async def bounded() -> T:
        async with asyncio.timeout(timeout_s):
            return await main

    return asyncio.run(bounded())


async def eventually(holds: Callable[[], bool], what: str, *, within_s: float = 20.0) -> None:
    """Wait until something holds; fails the test, saying what did not come."""
    try:
        async with asyncio.timeout(within_s):
            while not holds():  # noqa: ASYNC110 - what is waited for knows no event
                await asyncio.sleep(0.005)
    except TimeoutError as error:
        raise AssertionError(f"not within {within_s:g} s: {what}") from error
