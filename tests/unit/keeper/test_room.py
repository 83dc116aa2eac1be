"""A PostgreSQL that is down on a full disk: what is said, and when there is room again."""

from __future__ import annotations

from typing import cast

import pytest

from common.model.reports import PostgresState
from keeper.local import Local
from keeper.postgres.port import Postgres, Room
from keeper.room import RoomWatch
from keeper.state import KeeperState
from tests.support.aio import run
from tests.support.clock import ManualClock
from tests.support.facts import local_settings

MB = 1 << 20


class Host:
    """A PostgreSQL and its two disks."""

    def __init__(self) -> None:
        self.wal = Room("wal", "/wal", 1000 * MB, 4000 * MB)
        self.unreadable = False
        self.told = 0
        self.local = Local(
            settings=local_settings(), state=KeeperState(keeper_id="k"), life_id="1", version="0"
        )
        self._watch = RoomWatch(cast("Postgres", self), self.local, ManualClock(), changed=self._tell)

    def _tell(self) -> None:
        self.told += 1

    async def room(self) -> tuple[Room, ...]:
        if self.unreadable:
            raise OSError("Input/output error")
        return (self.wal, Room("data", "/data", 1000 * MB, 4000 * MB))

    def seen(self, state: PostgresState, free_mb: int) -> tuple[str, bool]:
        """Look at the host in a state; what the report says of its disk then."""
        self.local.postgres = state
        self.wal = Room("wal", "/wal", free_mb * MB, 4000 * MB)
        run(self._watch.look())
        reason = self.local.reasons.get("disk")
        return (reason.text if reason else "", self.local.room_again)


def test_a_server_that_went_down_on_a_full_disk_says_which_and_what_is_free() -> None:
    """With what a human can do."""
    host = Host()
    text, room_again = host.seen("down", 3)

    assert "the disk of its WAL (/wal) is full: 3 of 4000 MB are free" in text
    assert not room_again
    assert host.local.reasons["disk"].severity == "critical"
    assert "make room on /wal: 64 MB" in host.local.reasons["disk"].fix
    assert host.told == 1


def test_room_that_was_made_is_told_until_it_runs() -> None:
    """Over the attempts to start it; a little room is none."""
    host = Host()
    down: tuple[PostgresState, ...] = ("down", "down", "down", "starting", "down")
    told = [host.seen(state, free)[1] for state, free in zip(down, (3, 40, 500, 500, 500), strict=True)]
    running = host.seen("running", 500)

    assert told == [False, False, True, True, True]
    assert running == ("", False)


@pytest.mark.parametrize("state", ["running", "no_data", "cloning"])
def test_a_disk_is_called_full_only_of_a_server_that_is_down(state: PostgresState) -> None:
    """A clone says by itself what it lacks, and a server that runs has what it needs."""
    assert Host().seen(state, 3) == ("", False)


def test_a_server_that_is_down_for_another_reason_has_no_room_again() -> None:
    """It never lacked it."""
    host = Host()

    assert host.seen("down", 500) == ("", False)
    assert host.told == 0


def test_a_disk_that_cannot_be_looked_at_is_looked_at_again() -> None:
    """What was known stays."""
    host = Host()
    before = host.seen("down", 3)
    host.unreadable = True

    assert host.seen("down", 500) == before
