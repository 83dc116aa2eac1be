"""Running coroutines in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

LIMIT_S: Final = 30.0
"""Wide on purpose: what is tested is what happens, not how fast."""


def run(main: Coroutine[Any, Any, T], *, timeout_s: float = 120.0) -> T:
    """Run a test's coroutine in a loop of its own, with a deadline; what it leaves running is cancelled."""

    async def bounded() -> T:
        async with asyncio.timeout(timeout_s):
            return await main

    return asyncio.run(bounded())


async def eventually(holds: Callable[[], bool], what: str, *, within_s: float = LIMIT_S) -> None:
    """Wait until something holds; fails the test, saying what did not come."""
    try:
        async with asyncio.timeout(within_s):
            while not holds():  # noqa: ASYNC110 - what is waited for knows no event
                await asyncio.sleep(0.005)
    except TimeoutError as error:
        raise AssertionError(f"not within {within_s:g} s: {what}") from error


async def until(
    look: Callable[[], Awaitable[T]], holds: Callable[[T], object], what: str, *, within_s: float = LIMIT_S
) -> T:
    """Wait until what a coroutine returns holds, and return it; fails the test, saying what did not come."""
    seen: T | None = None
    try:
        async with asyncio.timeout(within_s):
            while True:
                seen = await look()
                if holds(seen):
                    return seen
                await asyncio.sleep(0.005)
    except TimeoutError as error:
        raise AssertionError(f"not within {within_s:g} s: {what} (last seen: {seen!r})") from error
