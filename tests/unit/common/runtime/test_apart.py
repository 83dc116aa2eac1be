"""Calls that may never return."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from common.runtime.apart import apart
from tests.support.aio import run


def test_it_returns_and_raises_what_the_function_does() -> None:
    """As a call of the function would."""

    async def both() -> int:
        with pytest.raises(FileNotFoundError):
            await apart(lambda: open("/nowhere/at/all"))  # noqa: PTH123, SIM115 - it fails
        return await apart(lambda: 7)

    assert run(both()) == 7


def test_many_that_hang_keep_nobody_from_a_thread() -> None:
    """More than the shared pool has threads."""

    async def story() -> int:
        release = threading.Event()
        hanging = [asyncio.ensure_future(apart(release.wait)) for _ in range(40)]
        answer = await apart(lambda: 7)
        release.set()
        await asyncio.gather(*hanging)
        return answer

    assert run(story()) == 7


def test_who_is_cancelled_need_not_wait() -> None:
    """The function ends later, and nobody is told."""

    async def story() -> bool:
        release, ended = threading.Event(), threading.Event()

        def hang() -> None:
            release.wait()
            ended.set()

        waiting = asyncio.ensure_future(apart(hang))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        was_cancelled = waiting.cancelled()
        release.set()
        return was_cancelled and await asyncio.to_thread(ended.wait, 60)

    assert run(story())


def test_a_process_ends_while_one_hangs() -> None:
    """Its end does not wait for what may never come."""
    program = (
        "import asyncio, threading\n"
        "from common.runtime.apart import apart\n"
        "async def main():\n"
        "    asyncio.ensure_future(apart(threading.Event().wait))\n"
        "    await asyncio.sleep(0.1)\n"
        "asyncio.run(main())\n"
    )

    ended = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)

    assert ended.returncode == 0
