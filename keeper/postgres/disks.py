"""The disks beneath a server: do they still take a write, and how much room is on them. Everything blocks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from common.runtime.disk import Owner, give
from keeper.postgres.layout import Layout
from keeper.postgres.values import DiskPlace, Room

FILE: Final = "pgsql_tmp.pgha"
"""Base backups leave out whatever has a name that begins so."""

_CONTENT: Final = b"whether this disk takes a write\n"
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PG_WAL: Final = "pg_wal"


def write_through(data: Path, place: DiskPlace, works_in: tuple[int, int], owner: Owner) -> None:
    """Write a small file, always of the same size, and have it on disk.

    Nothing is written into another directory than the one in which the server works (device and inode), nor
    twice to one disk. Raises OSError.
    """
    directory = os.open(data, _DIRECTORY)
    try:
        status = os.fstat(directory)
        if (status.st_dev, status.st_ino) != works_in:
            return
        if place == "data":
            _write(directory, owner)
            return
        wal = os.open(_PG_WAL, _DIRECTORY, dir_fd=directory)
        try:
            if os.fstat(wal).st_dev != status.st_dev:
                _write(wal, owner)
        finally:
            os.close(wal)
    finally:
        os.close(directory)


def _write(directory: int, owner: Owner) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    handle = os.open(FILE, flags, 0o600, dir_fd=directory)
    try:
        _give_once(handle, owner)
        os.pwrite(handle, _CONTENT, 0)
        os.fsync(handle)
    finally:
        os.close(handle)


def _give_once(handle: int, owner: Owner) -> None:
    """Hand the file to PostgreSQL's user, who copies what lies there, unless that was done before."""
    if os.fstat(handle).st_uid != owner.uid:
        give(handle, owner)


def rooms(layout: Layout) -> tuple[Room, ...]:
    """What is free on each disk, the WAL's first; one that both share is named as the data's.

    Raises OSError; FileNotFoundError when there is no data directory.
    """
    data = _room("data", layout.data)
    wal = layout.data / _PG_WAL
    if wal.stat().st_dev == layout.data.stat().st_dev:
        return (data,)
    return (_room("wal", wal.resolve()), data)


def _room(place: DiskPlace, path: Path) -> Room:
    status = os.statvfs(path)
    return Room(place, str(path), status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize)
