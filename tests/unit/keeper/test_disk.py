"""State files survive, and a second keeper is kept out."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from common.errors import UnsafeOperation
from common.runtime import disk
from common.runtime.disk import DiskSilent, StateFiles, write_durably
from keeper.root_lock import RootLock
from tests.support.aio import run


def test_a_value_is_read_back_replaced_and_forgotten(tmp_path: Path) -> None:
    """By another object on the same directory too."""

    async def story() -> None:
        files = StateFiles(tmp_path)
        assert await files.read("keeper") is None
        await files.write("keeper", {"term": 3})
        await files.write("keeper", {"term": 4})
        assert await StateFiles(tmp_path).read("keeper") == {"term": 4}
        await files.remove("keeper")
        await files.remove("keeper")
        assert await files.read("keeper") is None

    run(story())


def test_a_disk_that_hangs_holds_nobody_up_and_never_undoes_a_newer_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the late write may still happen no other begins; afterwards the newest value stands there."""
    thawed = threading.Event()
    begun: list[bytes] = []

    def hang(path: Path, content: bytes) -> None:
        begun.append(content)
        thawed.wait()
        write_durably(path, content)

    async def story() -> list[bytes]:
        files = StateFiles(tmp_path, limit_s=0.2)
        with monkeypatch.context() as frozen:
            frozen.setattr(disk, "write_durably", hang)
            for term in (3, 4):
                with pytest.raises(DiskSilent, match="must be remembered"):
                    await files.write("keeper", {"term": term})
        while_frozen = list(begun)
        thawed.set()
        await files.write("keeper", {"term": 5})
        assert await files.read("keeper") == {"term": 5}
        return while_frozen

    assert len(run(story())) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[1]"])
def test_a_file_that_cannot_be_understood_is_not_taken_for_none(tmp_path: Path, content: bytes) -> None:
    """It holds promises: guessing could break one."""
    (tmp_path / "keeper.json").write_bytes(content)
    with pytest.raises(UnsafeOperation, match=r"keeper\.json"):
        run(StateFiles(tmp_path).read("keeper"))


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new content takes the name only once it is on disk."""
    path = tmp_path / "value"
    write_durably(path, b"old")

    def no_fsync(_handle: int) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(os, "fsync", no_fsync)
    with pytest.raises(OSError, match="the disk is gone"):
        write_durably(path, b"new")

    assert path.read_bytes() == b"old"


HOLDER = """
import sys
from pathlib import Path
from keeper.root_lock import RootLock
lock = RootLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_keeper_is_refused_and_told_who_holds_the_root(tmp_path: Path) -> None:
    """The lock ends with its holder, however that ends."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UnsafeOperation, match=f"process {holder.pid}"):
            RootLock(tmp_path)
    finally:
        holder.kill()
        holder.communicate()
    RootLock(tmp_path).release()
