"""What a deadman reads ahead, and that neither its log nor its reading can hold it up."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keeper.deadman.aside import Aside
from keeper.proc import Segment

LOCK_FILE = "4242\n/data\n1700000000\n5432\n/socket\n*\n  5432001    32770\nready\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def lines_in(reading: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in os.read(reading, 1 << 20).splitlines() if line.startswith(b"{")]


def test_it_knows_what_the_lock_file_said_last(tmp_path: Path, pipe: tuple[int, int]) -> None:
    """Postmaster and segment of the start that is under way, not of the one before."""
    aside = Aside(tmp_path, pipe[1])
    at_first = aside.known
    (tmp_path / "postmaster.pid").write_text(LOCK_FILE)
    aside.refresh()

    assert (at_first.postmaster, at_first.segment) == (None, None)
    assert (aside.known.postmaster, aside.known.segment) == (4242, Segment(5432001, 32770))
    assert aside.known.place.inode == (tmp_path.stat().st_dev, tmp_path.stat().st_ino)


def test_what_can_no_longer_be_read_stays_known(
    tmp_path: Path, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk has died; the processes that worked on it have not."""
    (tmp_path / "postmaster.pid").write_text(LOCK_FILE)
    aside = Aside(tmp_path, pipe[1])
    aside.refresh()
    before = aside.known

    def no_disk(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_text", no_disk)
    aside.refresh()

    assert aside.known is before


def test_a_line_is_json_with_its_event_first(tmp_path: Path, pipe: tuple[int, int]) -> None:
    """As the lines of the services are."""
    aside = Aside(tmp_path, pipe[1])
    aside.say("deadman_armed", margin_s=2.5, data=tmp_path)
    aside.drain()
    (line,) = lines_in(pipe[0])

    assert list(line)[:3] == ["timestamp", "event", "service"]
    assert (line["event"], line["margin_s"], line["data"]) == ("deadman_armed", 2.5, str(tmp_path))


def test_a_log_that_nobody_reads_loses_lines_and_says_so(tmp_path: Path, pipe: tuple[int, int]) -> None:
    """It never waits for a reader; the next line that gets through counts those that did not."""
    reading, writing = pipe
    aside = Aside(tmp_path, writing)
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    for _ in range(3):
        aside.say("lost")
    aside.drain()
    os.read(reading, 1 << 20)
    aside.say("found")
    aside.drain()
    (line,) = lines_in(reading)

    assert (line["event"], line["lines_dropped"]) == ("found", 3)


def test_lines_that_wait_have_a_limit(tmp_path: Path, pipe: tuple[int, int]) -> None:
    """Its thread may hang with the disk for hours."""
    aside = Aside(tmp_path, pipe[1])
    for _ in range(1000):
        aside.say("again")

    assert aside._lines.qsize() < 300
