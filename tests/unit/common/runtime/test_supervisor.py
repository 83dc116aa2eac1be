"""No loop of a service ends unseen."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from common.runtime import supervisor
from common.runtime.supervisor import LoopEnded, Supervisor
from tests.support.aio import run


async def for_ever() -> None:
    await asyncio.Event().wait()


async def crashes() -> None:
    raise RuntimeError("bang")


async def returns() -> None:
    pass


def test_a_crashed_loop_ends_the_service_and_is_logged_with_its_traceback() -> None:
    """Its name stands in both, and the other loops are ended."""
    cancelled = []

    async def other() -> None:
        try:
            await for_ever()
        except asyncio.CancelledError:
            cancelled.append("other")
            raise

    async def main() -> None:
        async with Supervisor() as loops:
            loops.start_all("part", [other(), crashes()])
            await loops.run_until(asyncio.Event())

    with capture_logs() as logs, pytest.raises(LoopEnded, match=r"part\.crashes ended"):
        run(main())

    (line,) = logs
    assert (line["event"], line["loop"], line["log_level"]) == ("loop_crashed", "part.crashes", "error")
    assert repr(line["exc_info"]) == "RuntimeError('bang')"
    assert cancelled == ["other"]


def test_a_loop_that_returns_before_its_time_ends_the_service_too() -> None:
    """A loop that must run for ever and does not is broken, however quietly."""

    async def main() -> None:
        async with Supervisor() as loops:
            loops.start("short", returns())
            await loops.run_until(asyncio.Event())

    with capture_logs() as logs, pytest.raises(LoopEnded, match="short ended"):
        run(main())

    assert logs == [{"event": "loop_ended", "loop": "short", "cancelled": False, "log_level": "error"}]


def test_a_loop_that_was_cancelled_by_somebody_ends_the_service_too() -> None:
    """Whoever did it: nobody may."""

    async def cancels_itself() -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        async with Supervisor() as loops:
            loops.start("gone", cancels_itself())
            await loops.run_until(asyncio.Event())

    with capture_logs() as logs, pytest.raises(LoopEnded, match="gone ended"):
        run(main())

    assert logs[0]["cancelled"] is True


def test_a_loop_that_was_started_later_is_watched_as_well() -> None:
    """Also while somebody waits already."""

    async def main() -> None:
        async with Supervisor() as loops:

            async def starts_another() -> None:
                await asyncio.sleep(0)
                loops.start("late", crashes())
                await for_ever()

            loops.start("early", starts_another())
            await loops.run_until(asyncio.Event())

    with capture_logs(), pytest.raises(LoopEnded, match="late ended"):
        run(main())


def test_loops_run_on_between_the_wish_to_stop_and_the_end_of_the_context() -> None:
    """So that a service can say goodbye; a loop that ends then was told to."""
    events: list[str] = []
    goodbye = asyncio.Event()

    async def session() -> None:
        await goodbye.wait()
        events.append("lease given up")

    async def main() -> None:
        stop = asyncio.Event()
        async with Supervisor() as loops:
            loops.start("session", session())
            loops.start("other", for_ever())
            asyncio.get_running_loop().call_soon(stop.set)
            await loops.run_until(stop)
            goodbye.set()
            await asyncio.sleep(0.01)
            events.append("context ends")

    with capture_logs() as logs:
        run(main())

    assert events == ["lease given up", "context ends"]
    assert logs == []


def test_a_loop_that_fails_while_it_ends_is_logged() -> None:
    """The service ends all the same."""

    async def fails_at_its_end() -> None:
        try:
            await for_ever()
        finally:
            raise RuntimeError("at the end")

    async def main() -> None:
        async with Supervisor() as loops:
            loops.start("clumsy", fails_at_its_end())
            await asyncio.sleep(0)

    with capture_logs() as logs:
        run(main())

    assert [(line["event"], line["loop"]) for line in logs] == [("loop_crashed", "clumsy")]


def test_a_loop_that_does_not_end_is_named_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a limit; the process ends without it."""
    monkeypatch.setattr(supervisor, "CANCEL_LIMIT_S", 0.05)
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        async with Supervisor() as loops:
            loops.start("stubborn", stubborn())
            await asyncio.sleep(0)
        release.set()

    with capture_logs() as logs:
        run(main())

    assert [(line["event"], line["loop"]) for line in logs] == [("loop_does_not_end", "stubborn")]
