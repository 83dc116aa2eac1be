"""The recorder, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.checks.check import check
from tests.checks.history import Add, Append, Balances, Elements, Members, Operation, Read
from tests.checks.jsonlines import read_history, write_history
from tests.checks.recorder import Recorder
from tests.support.clock import ManualClock


class Ticking(ManualClock):
    """Every look at it is one second later."""

    def monotonic(self) -> float:
        self._now += 1.0
        return self._now


def test_an_operation_lasts_from_before_its_request_until_its_fate_is_known() -> None:
    """And is numbered as it ended."""
    recorder = Recorder(Ticking())
    first = recorder.begin("a", Append("k", 1))
    second = recorder.begin("b", Elements("k"))
    second.ok([7, "x"])
    first.failed()

    assert recorder.operations == [
        Operation(1, "b", Elements("k", (7, "x")), "ok", 1002.0, 1003.0),
        Operation(2, "a", Append("k", 1), "failed", 1001.0, 1004.0),
    ]


def test_what_is_under_way_is_unknown() -> None:
    """A history that is taken in the middle of a run leaves nothing out that may have had an effect."""
    recorder = Recorder(Ticking())
    handle = recorder.begin("a", Add("t", 1))
    early = recorder.operations
    handle.ok()

    assert [each.outcome for each in early] == ["unknown"]
    assert [each.outcome for each in recorder.operations] == ["ok"]


def test_an_operation_ends_once() -> None:
    """A second fate is a mistake of the client's code."""
    handle = Recorder(Ticking()).begin("a", Add("t", 1))
    handle.unknown()

    with pytest.raises(ValueError, match="has ended before"):
        handle.ok()


def test_only_reads_see_something_and_only_what_they_can_see() -> None:
    """A mistake of the client's code too: it would be judged as something else."""
    recorder = Recorder(Ticking())

    with pytest.raises(TypeError, match="is no read"):
        recorder.begin("a", Add("t", 1)).ok(1)
    for action, seen in (
        (Members("t"), None),
        (Elements("k"), "text"),
        (Read("r"), [1]),
        (Balances("b"), [1]),
    ):
        with pytest.raises(TypeError, match="cannot have seen"):
            recorder.begin("a", action).ok(seen)


def test_clients_of_one_loop_record_a_history_that_is_judged(tmp_path: Path) -> None:
    """Recorded, written, read back and found good; without the last row it is not."""
    rows: list[int] = []

    async def write(recorder: Recorder, client: int) -> None:
        for number in range(20):
            row = client * 100 + number
            handle = recorder.begin(f"writer-{client}", Add("rows", row))
            await asyncio.sleep(0)
            rows.append(row)
            await asyncio.sleep(0)
            handle.ok()

    async def story() -> Recorder:
        recorder = Recorder(Ticking())
        await asyncio.gather(*(write(recorder, client) for client in range(5)))
        return recorder

    recorder = asyncio.run(story())
    recorder.begin("reader", Members("rows")).ok(rows)
    write_history(tmp_path / "history", recorder.operations)
    [good] = check(read_history(tmp_path / "history"))
    recorder.begin("reader", Members("rows")).ok(rows[:-1])
    [bad] = check(recorder.operations)

    assert good.holds
    assert bad.rules == {"lost", "went-back"}
