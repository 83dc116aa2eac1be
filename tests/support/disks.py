"""Disks of tests' own: small, frozen for a while, and never left frozen or mounted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

FROZEN_AT_MOST_S = 60
"""What hangs on a frozen disk cannot be killed: a process of its own thaws it, whatever becomes of a test."""


def _run(*command: str | Path) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}"


def _unmount(place: Path) -> None:
    """Leave nothing: who removed all that is around could not remove a place with something mounted on it."""
    _run("umount", "--lazy", place)
    place.rmdir()
    with contextlib.suppress(OSError):  # others still have theirs there
        place.parent.rmdir()


@contextlib.contextmanager
def small_disk(place: Path, size_mb: int) -> Iterator[None]:
    """A disk in memory at a place, with so much room; it is unmounted at the end."""
    place.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=755", "none", place)
    try:
        yield
    finally:
        _unmount(place)


def resize(place: Path, size_mb: int) -> None:
    """Give a small disk another size."""
    _run("mount", "-o", f"remount,size={size_mb}m", place)


@contextlib.contextmanager
def real_disk(place: Path, image: Path, size_mb: int) -> Iterator[None]:
    """A file system of its own at a place, which can be frozen; it is unmounted at the end."""
    place.mkdir(parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(size_mb << 20)
    try:
        _run("mkfs.ext4", "-q", "-m", "0", image)
        _run("mount", "-o", "loop", image, place)
        try:
            place.chmod(0o755)
            yield
        finally:
            _unmount(place)
    finally:
        image.unlink()


@contextlib.contextmanager
def frozen(place: Path) -> Iterator[None]:
    """Whatever writes to this disk waits, uninterruptibly, until the end."""
    watchdog = subprocess.Popen(
        ["/bin/sh", "-c", f"sleep {FROZEN_AT_MOST_S}; exec fsfreeze --unfreeze {place}"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _run("fsfreeze", "--freeze", place)
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", str(place)], capture_output=True, check=False, timeout=30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(watchdog.pid, signal.SIGKILL)
        watchdog.wait()
