"""Small builders for tests on the store in memory, where time stands still until it is moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from common.store.memory import MemoryEtcd, MemoryStore
from common.store.port import Delete, Put
from tests.support.aio import run
from tests.support.clock import ManualClock


class World:
    """A store, a clock, a client with faults, and the tasks of the test."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.server = MemoryEtcd(self.clock)
        self.store = MemoryStore(self.server)
        self.tasks: list[asyncio.Task[Any]] = []

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self.tasks.append(task)
        return task

    def put(self, key: str, value: bytes, lease_id: int = 0) -> int:
        """Write as somebody else; return the revision."""
        return self.server.transact([], [Put(key, value, lease_id)]).revision

    def delete(self, key: str) -> int:
        return self.server.transact([], [Delete(key)]).revision

    def values(self, prefix: str = "/") -> dict[str, bytes]:
        return {item.key: item.value for item in self.server.items(prefix)}


@asynccontextmanager
async def _world() -> AsyncIterator[World]:
    world = World()
    try:
        yield world
    finally:
        for task in world.tasks:
            task.cancel()
        await asyncio.gather(*world.tasks, return_exceptions=True)


def in_a_world(story: Callable[[World], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make a test of a coroutine that takes a world."""

    def test() -> None:
        async def main() -> None:
            async with _world() as world:
                await story(world)

        run(main())

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return test
