"""The simulated disk keeps what it has promised, and no more."""

from __future__ import annotations

import asyncio
import errno
import random

import pytest

from common.errors import UnsafeOperation
from tests.sim.disk import SimDisk
from tests.sim.loop import SimLoop, simulate
from tests.sim.process import Process


def run(story: object) -> None:
    simulate(story, SimLoop())  # type: ignore[arg-type]


def test_what_was_written_is_read_and_what_was_removed_is_not() -> None:
    """As a copy: what the caller does with its own value changes nothing."""

    async def story() -> None:
        disk = SimDisk(random.Random(1))
        value = {"sealed_term": 4}
        await disk.write("state", value)
        value["sealed_term"] = 5
        assert await disk.read("state") == {"sealed_term": 4}
        await disk.remove("state")
        assert await disk.read("state") is None

    run(story())


def test_a_process_killed_within_a_write_leaves_the_old_value_or_the_new() -> None:
    """Both happen; after the write has returned only the new one can be there."""
    found = set()
    for seed in range(30):

        async def story(seed: int = seed) -> None:
            disk = SimDisk(random.Random(seed), fsync_s=1.0)
            await disk.write("state", {"term": 1})
            process = Process("a1", "keeper")
            process.spawn(disk.write("state", {"term": 2}))
            await asyncio.sleep(0.7)
            process.kill()
            await asyncio.sleep(10)
            value = await disk.read("state")
            assert value is not None
            found.add(value["term"])

        run(story())

    assert found == {1, 2}


def test_a_write_whose_caller_was_cancelled_goes_on() -> None:
    """It is in a thread, which nothing cancels; a later write comes behind it."""

    async def story() -> None:
        disk = SimDisk(random.Random(1), fsync_s=1.0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(disk.write("state", {"term": 1}), 0.01)
        await asyncio.sleep(3)
        assert await disk.read("state") == {"term": 1}

        first = asyncio.create_task(disk.write("state", {"term": 2}))
        await asyncio.sleep(0.01)
        await disk.write("state", {"term": 3})
        assert first.done()
        assert await disk.read("state") == {"term": 3}

    run(story())


def test_a_stopped_process_finishes_its_write_when_it_goes_on() -> None:
    """The kernel does not write what the process has not yet handed over."""

    async def story() -> None:
        disk = SimDisk(random.Random(1), fsync_s=1.0)
        process = Process("a1", "keeper")
        writing = process.spawn(disk.write("state", {"term": 1}))
        await asyncio.sleep(0.01)
        process.pause()
        await asyncio.sleep(10)
        assert await disk.read("state") is None
        process.resume()
        await writing
        assert await disk.read("state") == {"term": 1}

    run(story())


def test_a_full_disk_fails_and_a_hanging_one_waits() -> None:
    """The old value stays in both."""

    async def story() -> None:
        disk = SimDisk(random.Random(1))
        await disk.write("state", {"term": 1})
        disk.errno = errno.ENOSPC
        with pytest.raises(OSError, match="No space"):
            await disk.write("state", {"term": 2})
        disk.errno = 0
        disk.hangs = True
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(disk.read("state"), 5)
        writing = asyncio.create_task(disk.write("state", {"term": 3}))
        await asyncio.sleep(5)
        assert not writing.done()
        disk.hangs = False
        await writing
        assert await disk.read("state") == {"term": 3}

    run(story())


def test_a_damaged_value_is_not_guessed_and_a_backup_brings_the_old_one() -> None:
    """UnsafeOperation, as from real files."""

    async def story() -> None:
        disk = SimDisk(random.Random(1))
        await disk.write("state", {"term": 1})
        backup = disk.snapshot()
        await disk.write("state", {"term": 2})
        disk.damage("state")
        with pytest.raises(UnsafeOperation):
            await disk.read("state")
        disk.restore(backup)
        assert await disk.read("state") == {"term": 1}

    run(story())
