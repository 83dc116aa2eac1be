"""The whole demo as a person runs it: real PostgreSQL, real etcd, separate processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgha.demo.layout import PORTS
from tests.checks.check import assert_holds
from tests.checks.jsonlines import read_history
from tests.support.ports import free_block

LIMIT_S = 400.0
KEYS = {
    "exercise",
    "acked",
    "lost",
    "unknown",
    "write_gap_ms",
    "errors",
    "phases",
    "old_primary",
    "new_primary",
    "term",
    "in_flight",
    "failed_connections",
}


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that PostgreSQL's own user can get to, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="pgha-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def start(place: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a demo whose directory lies in ``place``."""
    return subprocess.Popen(
        [sys.executable, "-m", "pgha", "demo", "--port-base", str(free_block(PORTS)), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(place)},
    )


def left_over(directory: Path) -> list[str]:
    """Every process that still has to do with a demo's directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            place = str((entry / "cwd").readlink())
        except OSError:
            continue
        if str(directory) in words or place.startswith(str(directory)):
            found.append(f"{entry.name}: {words}")
    return found


def test_a_crash_loses_nothing_and_leaves_nothing(place: Path) -> None:
    """Three members, the primary's postmaster killed under load: one object, no row lost, no process left."""
    history = place / "history.jsonl"
    demo = start(place, "--keepers", "2,1", "--exercise", "crash", "--json", "--history", str(history))
    try:
        out, err = demo.communicate(timeout=LIMIT_S)
    finally:
        demo.kill()
        demo.communicate()

    assert demo.returncode == 0, err
    [shown] = [json.loads(line) for line in out.splitlines()]
    assert set(shown) == KEYS
    assert set(shown["phases"]) == {"detect_ms", "seal_ms", "promote_ms", "route_ms"}
    assert all(took > 0 for took in shown["phases"].values())
    assert shown["lost"] == 0
    assert shown["acked"] > 100
    assert shown["new_primary"] != shown["old_primary"]
    assert shown["term"] == 2
    assert left_over(place) == []
    assert list(place.iterdir()) == [history]
    assert_holds(read_history(history))
    assert sum(each.outcome == "ok" for each in read_history(history)) > 100


def test_a_rolling_restart_loses_nothing_and_refuses_nobody(place: Path) -> None:
    """Every PostgreSQL is in a new start, or the exercise would have failed."""
    demo = start(place, "--keepers", "2,1", "--survive", "node", "--exercise", "rolling-restart", "--json")
    try:
        out, err = demo.communicate(timeout=LIMIT_S)
    finally:
        demo.kill()
        demo.communicate()

    assert demo.returncode == 0, err
    [shown] = [json.loads(line) for line in out.splitlines()]
    assert set(shown) == KEYS | {"took_ms"}
    assert (shown["lost"], shown["failed_connections"], shown["term"]) == (0, 0, 2)
    assert shown["acked"] > 100
    assert shown["new_primary"] != shown["old_primary"]
    assert left_over(place) == []


def test_a_demo_that_is_told_to_end_while_it_starts_leaves_nothing(place: Path) -> None:
    """SIGTERM in the middle of initdb or a clone: every process ends, the directory goes."""
    demo = start(place, "--exercise", "crash")
    try:
        assert demo.stdout is not None
        while "services" not in demo.stdout.readline():
            assert demo.poll() is None
        time.sleep(1.0)
        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=LIMIT_S)
    finally:
        demo.kill()
        demo.communicate()

    assert demo.returncode == 130
    assert left_over(place) == []
    assert list(place.iterdir()) == []


def test_a_port_in_use_is_reported_before_anything_starts(place: Path) -> None:
    """The port, who wanted it, and what to do; no directory is made."""
    base = free_block(PORTS)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", base + 70))
        listener.listen()
        done = subprocess.run(
            [sys.executable, "-m", "pgha", "demo", "--port-base", str(base)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env={**os.environ, "TMPDIR": str(place)},
            check=False,
        )

    assert done.returncode == 1
    assert f"{base + 70} (for etcd-witness): Address already in use" in done.stderr
    assert "--port-base" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(place.iterdir()) == []


def test_missing_programs_are_named_before_anything_starts(place: Path) -> None:
    """A directory without PostgreSQL: which programs are missing there."""
    done = subprocess.run(
        [sys.executable, "-m", "pgha", "demo", "--postgres", str(place)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={**os.environ, "TMPDIR": str(place)},
        check=False,
    )

    assert done.returncode == 1
    assert "initdb" in done.stderr
    assert list(place.iterdir()) == []
