"""Whether a process still works in its data directory; any process does, this test's child too."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.postgres.presence import CONTROL_FILE, Presence, look
from keeper.proc import Segment


@pytest.fixture
def data(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    (made / "global").mkdir(parents=True)
    (made / CONTROL_FILE).touch()
    (made / "postmaster.pid").write_text("1\n/srv\n1700000000\n5432\n/tmp\n*\n  5432001    98304\nready\n")
    return made


@pytest.fixture
def pid(data: Path) -> Iterator[int]:
    with subprocess.Popen(["sleep", "60"], cwd=data) as process:
        yield process.pid
        process.kill()


def test_a_directory_that_is_there_is_remembered(data: Path, pid: int) -> None:
    """By its inode, and by the shared memory that its processes hold."""
    seen = look(data, pid, None)

    assert seen.why_lost == ""
    assert not seen.has_moved
    assert seen.place.inode == (data.stat().st_dev, data.stat().st_ino)
    assert seen.segment == Segment(5432001, 98304)


def test_a_directory_that_was_moved_away_is_lost_but_known(data: Path, pid: int) -> None:
    """The processes went with it."""
    before = look(data, pid, None)
    data.rename(data.with_name("elsewhere"))
    seen = look(data, pid, before)

    assert seen.why_lost == f"{data} is gone"
    assert seen.has_moved
    assert (seen.place.inode, seen.segment) == (before.place.inode, before.segment)


def test_a_directory_that_was_removed_is_lost_but_known(data: Path, pid: int) -> None:
    """Its inode lives on as long as somebody works there."""
    before = look(data, pid, None)
    shutil.rmtree(data)
    seen = look(data, pid, before)

    assert seen.why_lost == f"{data} is gone"
    assert (seen.place.inode, seen.segment) == (before.place.inode, before.segment)


def test_a_directory_that_was_exchanged_is_lost(data: Path, pid: int) -> None:
    """Also for a copy that has everything."""
    data.rename(data.with_name("elsewhere"))
    shutil.copytree(data.with_name("elsewhere"), data)

    assert "is another directory than" in look(data, pid, None).why_lost


def test_a_directory_that_is_being_removed_is_lost(data: Path, pid: int) -> None:
    """A server that writes new files may keep the directory itself from going."""
    (data / CONTROL_FILE).unlink()

    assert "has lost its global/pg_control" in look(data, pid, None).why_lost


def test_a_lock_file_that_has_gone_is_no_loss(data: Path, pid: int) -> None:
    """A postmaster removes it itself, last of all, while it ends."""
    before = look(data, pid, None)
    (data / "postmaster.pid").unlink()

    assert look(data, pid, before) == before == Presence(before.place, Segment(5432001, 98304))


def test_a_postmaster_that_has_ended_tells_nothing(data: Path) -> None:
    """Its watch hears of it."""
    with subprocess.Popen(["true"], cwd=data) as process:
        process.wait()

    with pytest.raises(ProcessLookupError):
        look(data, process.pid, None)
