"""The order in which a deadman acts and listens, with a clock that the test moves."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keeper.deadman.aside import Aside
from keeper.deadman.standing import Standing
from keeper.deadman.watch import Watch
from keeper.deadman.wire import Request, encode

ROOT = Path(__file__).parents[3]
NOW = 1000.0


class Bench:
    """A deadman that is turned by hand, and the keeper's end of its connection."""

    def __init__(self, root: Path, log: int) -> None:
        self.now = NOW
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(root / "s"))
        self.listener.listen()
        self.path = str(root / "s")
        data = root / "data"
        data.mkdir()
        standing = Standing(locked=False, priority="normal", spared=False)
        self.watch = Watch(self.listener, Aside(data, log), standing, lambda: self.now)
        self.keeper = self.connect()

    def connect(self) -> socket.socket:
        keeper = socket.socket(socket.AF_UNIX)
        keeper.settimeout(5)
        keeper.connect(self.path)
        return keeper

    def send(self, op: str, deadline: float = 0.0, *, keeper: socket.socket | None = None) -> None:
        (keeper or self.keeper).sendall(encode(Request(1, op, deadline, 10.0)))

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.watch._turn()

    def answer(self, keeper: socket.socket | None = None) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads((keeper or self.keeper).recv(4096).splitlines()[-1])
        return plain

    def ask(self, op: str, deadline: float = 0.0) -> dict[str, Any]:
        self.send(op, deadline)
        self.turn(3)
        return self.answer()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    log = os.open(os.devnull, os.O_WRONLY)
    made = Bench(tmp_path, log)
    yield made
    made.watch._forget_keeper()
    made.keeper.close()
    made.listener.close()
    os.close(log)


def test_it_answers_how_it_stands(bench: Bench) -> None:
    """Armed, and how long is left."""
    armed = bench.ask("arm", NOW + 3)
    bench.now += 1
    later = bench.ask("status")

    assert (armed["state"], armed["margin_s"], armed["refused"]) == ("armed", 3, "")
    assert (later["state"], later["margin_s"]) == ("armed", 2)


def test_a_message_that_lies_there_when_the_deadline_passes_is_read_afterwards(bench: Bench) -> None:
    """The fuse has expired, and been counted, before a byte of the re-arm is looked at."""
    bench.ask("arm", NOW + 3)
    bench.send("arm", NOW + 9)
    bench.now = NOW + 3.5
    bench.turn(4)
    late = bench.answer()

    assert late["fired"] == 1
    assert bench.watch._fuse.fired == 1


def test_a_deadline_that_passes_while_it_waits_comes_before_what_arrived(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is read again between the wait and the first byte."""
    bench.ask("arm", NOW + 3)
    bench.send("disarm")
    wait_ms = bench.watch._wait_ms

    def pass_meanwhile() -> int:
        bench.now = NOW + 3
        return wait_ms()

    monkeypatch.setattr(bench.watch, "_wait_ms", pass_meanwhile)
    bench.turn()
    read_nothing = bench.watch._fuse.state
    monkeypatch.undo()
    bench.watch._act_if_due()

    assert read_nothing == "armed"
    assert bench.watch._fuse.state == "expired"


def test_each_message_is_obeyed_at_its_own_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two in one read the second comes too late when the first took until the deadline."""
    bench.ask("arm", NOW + 3)
    change = bench.watch._change

    def slowly(request: Request) -> str:
        refused = change(request)
        bench.now = NOW + 4
        return refused

    monkeypatch.setattr(bench.watch, "_change", slowly)
    bench.keeper.sendall(encode(Request(1, "status")) + encode(Request(2, "disarm")))
    bench.turn()
    answer = bench.answer()

    assert (answer["id"], answer["state"]) == (2, "expired")
    assert "being killed" in answer["refused"]


def test_the_end_of_a_keeper_changes_nothing(bench: Bench) -> None:
    """The next one finds what was armed."""
    bench.ask("arm", NOW + 3)
    bench.keeper.close()
    bench.turn(2)
    bench.keeper = bench.connect()
    found = bench.ask("status")

    assert (found["state"], found["deadline"]) == ("armed", NOW + 3)


def test_what_the_keeper_before_said_last_counts_before_what_the_next_one_says(bench: Bench) -> None:
    """It had the root's lock first; here it disarmed, and died."""
    bench.ask("arm", NOW + 3)
    bench.send("disarm")
    bench.keeper.close()
    bench.keeper = bench.connect()
    bench.send("status")
    # By itself: a turn would have seen both.
    bench.watch._accept()
    bench.turn(3)

    assert bench.answer()["state"] == "idle"


def test_it_ends_only_with_nothing_to_guard_and_nobody_to_guard_it_for(bench: Bench) -> None:
    """Armed, not at all; idle, once its keeper has been gone for a while, or when told to."""
    bench.ask("arm", NOW + 3)
    bench.watch._told_to_end = True
    while_armed = bench.watch._may_end()
    bench.watch._told_to_end = False
    bench.ask("disarm")
    with_a_keeper = bench.watch._may_end()
    bench.keeper.close()
    bench.turn(2)
    at_once = bench.watch._may_end()
    bench.now += 11
    after_a_while = bench.watch._may_end()

    assert (while_armed, with_a_keeper, at_once, after_a_while) == (False, False, False, True)


def test_it_works_with_whatever_it_is_given() -> None:
    """Memory, priority and the rest are asked for; allocations go on without them too."""
    code = (
        f"import sys, gc; sys.path.insert(0, {str(ROOT)!r}); "
        "from keeper.deadman.standing import take_standing; "
        "print(take_standing()); print(len(bytes(50_000_000)), gc.isenabled())"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.startswith("Standing(locked=")
    assert done.stdout.splitlines()[-1] == "50000000 False"
