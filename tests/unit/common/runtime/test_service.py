"""How a service starts and ends, seen from outside: its signals and exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from typing import Any

import pytest

LIMIT_S = 60

BEGIN = """
import asyncio, sys, threading, time
from common.errors import InvalidSpec, UnsafeOperation
from common.runtime.logging import configure_logging
from common.runtime.service import run_service
from common.runtime.supervisor import Supervisor
configure_logging("thing", "one", "info")

async def tick():
    while True:
        await asyncio.sleep(0.01)

def started():
    sys.stdout.write("started\\n")
    sys.stdout.flush()

async def main(stop):
    async with Supervisor() as loops:
        loops.start("tick", tick())
"""


class Program:
    """A service in a process of its own; its output is read to the end."""

    def __init__(self, body: str, options: str = "end_limit_s=60") -> None:
        program = f"{BEGIN}{textwrap.indent(body, ' ' * 8)}\nsys.exit(run_service(main, {options}))\n"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_started(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "started\n"

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait for its end; returns exit code and log."""
        try:
            _, errors = self._process.communicate(timeout=LIMIT_S)
        finally:
            self._process.kill()
            self._process.wait()
        return self._process.returncode, errors


def events(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


def names(log: str) -> list[str]:
    return [line["event"] for line in events(log)]


WAIT = "started()\nawait loops.run_until(stop)"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_service_in_order(number: signal.Signals) -> None:
    """It runs to its own end, and the exit code is 0."""
    program = Program(f"{WAIT}\nsys.stderr.write('goodbye\\n')")
    program.wait_started()

    program.send(number)
    code, log = program.end()

    assert code == 0
    assert "goodbye" in log
    assert [(line["event"], line.get("signal")) for line in events(log)] == [
        ("stopping", number.name),
        ("ended", None),
    ]


def test_a_second_signal_ends_it_at_once() -> None:
    """For a person who has no patience with an orderly end."""
    program = Program(f"{WAIT}\nstarted()\nawait asyncio.sleep(600)", "end_limit_s=600")
    program.wait_started()
    program.send(signal.SIGINT)
    program.wait_started()

    program.send(signal.SIGINT)
    code, log = program.end()

    assert code == 1
    assert names(log) == ["stopping", "ended_at_once"]


def test_a_crashed_loop_ends_the_process_with_1() -> None:
    """So that the service manager starts it again; the traceback is in the log once."""
    body = "async def bad():\n    raise RuntimeError('bang')\nloops.start('bad', bad())\n"

    code, log = Program(f"{body}await loops.run_until(stop)").end()

    assert code == 1
    assert names(log) == ["loop_crashed", "service_failed"]
    assert log.count("Traceback") == 1


@pytest.mark.parametrize(
    ("error", "code", "event", "tracebacks"),
    [
        ("InvalidSpec('port = x: no')", 64, "wrong_input", 0),
        ("UnsafeOperation('say so first')", 1, "service_failed", 0),
        ("KeyError('x')", 1, "service_crashed", 1),
    ],
)
def test_an_error_at_the_start_says_what_it_is(error: str, code: int, event: str, tracebacks: int) -> None:
    """A sentence for what an operator can mend, a traceback for what is our fault."""
    ended_with, log = Program(f"raise {error}").end()

    assert ended_with == code
    assert names(log) == [event]
    assert log.count("Traceback") == tracebacks


@pytest.mark.parametrize("then", ["", "raise RuntimeError"])
def test_an_end_that_hangs_is_cut_short(then: str) -> None:
    """Also where neither the loop nor the interpreter can: a thread that never returns."""
    hang = "hung = asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)\n"
    program = Program(f"{hang}started()\n{then or 'await loops.run_until(stop)'}", "end_limit_s=0.3")
    program.wait_started()

    if not then:
        program.send(signal.SIGTERM)
    code, log = program.end()

    assert code == 1
    assert "Timeout (0:00:00.3" in log


def test_errors_that_nobody_could_be_given_are_logged() -> None:
    """A callback's, for example; the service goes on."""
    body = f"asyncio.get_running_loop().call_soon(lambda: 1 / 0)\n{WAIT}"
    program = Program(body)
    program.wait_started()

    program.send(signal.SIGTERM)
    code, log = program.end()

    assert code == 0
    assert names(log) == ["stray_error", "stopping", "ended"]
    assert "ZeroDivisionError" in events(log)[0]["exception"]


@pytest.mark.parametrize(("options", "module"), [("use_uvloop=True", "uvloop"), ("", "asyncio.unix_events")])
def test_uvloop_is_used_where_it_is_asked_for_and_only_there(options: str, module: str) -> None:
    """The proxy asks."""
    body = f"sys.stderr.write(type(asyncio.get_running_loop()).__module__ + '\\n')\n{WAIT}"
    program = Program(body, options)
    program.wait_started()

    program.send(signal.SIGTERM)
    code, log = program.end()

    assert code == 0
    assert log.splitlines()[0] == module


def test_what_lives_as_long_as_the_process_is_left_out_of_garbage_collections() -> None:
    """Modules and classes are in no generation any more when the service begins."""
    body = "import gc\nassert gc.get_freeze_count() > 10 * len(gc.get_objects()), gc.get_freeze_count()\n"

    code, log = Program(f"{body}stop.set()\nawait loops.run_until(stop)").end()

    assert (code, names(log)) == (0, ["ended"])
