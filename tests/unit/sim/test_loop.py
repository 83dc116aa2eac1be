"""The simulated loop: virtual time, one order, and processes that stop, go on and die."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from tests.sim.clock import SimClock
from tests.sim.loop import Livelock, SimLoop, Stalled, simulate
from tests.sim.process import Process


def run(main: Coroutine[Any, Any, Any], *, seed: int | None = None) -> Any:
    return simulate(main, SimLoop(chance=None if seed is None else random.Random(seed)))


def test_time_jumps_to_the_next_timer() -> None:
    """An hour costs nothing, and is an hour exactly."""

    async def story() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run(story()) == 3600


def test_what_waits_for_nothing_that_can_happen_is_an_error() -> None:
    """A deadlock of the simulated world ends the run instead of hanging it."""

    async def story() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stalled):
        run(story())


def test_deadlines_of_asyncio_are_on_virtual_time() -> None:
    """asyncio.timeout is what the services use."""

    async def story() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        return loop.time()

    assert run(story()) == 5


def test_a_thread_is_run_at_once() -> None:
    """So that nothing depends on the machine's scheduler; an error reaches who awaits."""

    async def story() -> tuple[int, str]:
        number = await asyncio.to_thread(lambda: 7)
        try:
            await asyncio.to_thread(int, "no number")
        except ValueError as error:
            return number, type(error).__name__
        return number, ""

    assert run(story()) == (7, "ValueError")


def test_a_paused_process_does_nothing_until_it_goes_on() -> None:
    """Its timers come due meanwhile and run at once then; others are not held up."""

    async def story() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        process = Process("a1", "keeper")
        seen: list[tuple[str, float]] = []

        async def tick(name: str) -> None:
            for _ in range(3):
                await asyncio.sleep(1)
                seen.append((name, loop.time()))

        process.spawn(tick("paused"))
        other = asyncio.create_task(tick("other"))
        await asyncio.sleep(1.5)
        process.pause()
        await asyncio.sleep(10)
        process.resume()
        await asyncio.sleep(5)
        await other
        return seen

    seen = run(story())

    assert [when for name, when in seen if name == "paused"] == [1, 11.5, 12.5]
    assert [when for name, when in seen if name == "other"] == [1, 2, 3]


def test_a_killed_process_runs_no_finally_and_no_cancellation() -> None:
    """Not at the kill, not later, though what it waited for happens."""

    async def story() -> list[str]:
        said: list[str] = []
        gate = asyncio.Event()

        async def work() -> None:
            try:
                await gate.wait()
                said.append("went on")
            except asyncio.CancelledError:
                said.append("cancelled")
            finally:
                said.append("cleaned up")

        process = Process("a1", "keeper")
        process.spawn(work())
        await asyncio.sleep(1)
        process.kill()
        gate.set()
        await asyncio.sleep(1)
        return list(said)

    assert run(story()) == []


def test_a_process_that_wakes_up_reads_before_its_timers() -> None:
    """As a real one does: epoll's events come before the heap of timers."""

    async def story() -> list[str]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        process = Process("a1", "keeper")
        seen: list[str] = []
        context = process.context()
        loop.call_later(1, seen.append, "timer", context=context)
        process.pause()
        await asyncio.sleep(2)
        loop.arrive(context, seen.append, "read")
        await asyncio.sleep(1)
        process.resume()
        await asyncio.sleep(1)
        return seen

    assert run(story()) == ["read", "timer"]


def test_a_clock_drifts_and_its_time_of_day_jumps() -> None:
    """The monotonic one never does, and a sleep lasts as long as the clock counts."""

    async def story() -> tuple[float, float, float]:
        loop = asyncio.get_running_loop()
        clock = SimClock(loop, rate=1.01)
        began, day = clock.monotonic(), clock.wall()
        await clock.sleep(10)
        clock.jump_wall(-3600)
        return clock.monotonic() - began, loop.time(), (clock.wall() - day).total_seconds()

    counted, passed, day = run(story())

    assert counted == pytest.approx(10)
    assert passed == pytest.approx(10 / 1.01)
    assert day == pytest.approx(10 - 3600)


def test_processes_are_interleaved_by_chance_and_each_keeps_its_own_order() -> None:
    """Different seeds give different interleavings."""

    def order(seed: int) -> list[tuple[str, int]]:
        seen: list[tuple[str, int]] = []

        async def story() -> None:
            loop = asyncio.get_running_loop()
            for name in "abc":
                context = Process(name, name).context()
                for number in range(5):
                    loop.call_later(1, seen.append, (name, number), context=context)
            await asyncio.sleep(2)

        run(story(), seed=seed)
        return seen

    for seed in range(5):
        for name in "abc":
            assert [number for each, number in order(seed) if each == name] == list(range(5))
    assert len({tuple(order(seed)) for seed in range(5)}) > 1
    assert order(1) == order(1)


def test_callbacks_that_make_callbacks_for_ever_are_an_error() -> None:
    """Virtual time would stand still, and the run would never end."""

    async def story() -> None:
        while True:  # noqa: ASYNC110 - for ever, on purpose
            await asyncio.sleep(0)

    with pytest.raises(Livelock):
        run(story())


def test_sets_of_tasks_and_futures_have_one_order() -> None:
    """Code under test may iterate over them: their hashes are numbers, not addresses."""

    async def story() -> list[int]:
        loop = asyncio.get_running_loop()
        woken: list[int] = []

        async def work(number: int) -> None:
            await asyncio.sleep(0)
            woken.append(number)

        tasks = {asyncio.create_task(work(number)) for number in range(100)}
        futures = {loop.create_future() for _ in range(100)}
        await asyncio.gather(*tasks)
        return woken + [hash(future) for future in futures]

    assert run(story()) == run(story())


def test_the_end_of_the_world_runs_no_code_of_those_who_died_before_it() -> None:
    """Nor does it warn of what never ended: tasks, generators, exceptions that nobody took."""
    said: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            while True:
                await asyncio.sleep(1)
                yield 1
        finally:
            said.append("generator")

    async def work() -> None:
        try:
            async for _ in numbers():
                pass
        finally:
            said.append("cleaning")
            await asyncio.sleep(1)
            said.append("cleaned")

    async def story() -> None:
        process = Process("a1", "keeper")
        process.spawn(work())
        await asyncio.sleep(5)
        process.kill()
        gc.collect()
        await asyncio.sleep(5)
        assert said == []

    run(story())
    gc.collect()

    assert "cleaned" not in said
