"""Looking at a server costs one round trip while nothing moves, and never shows an old timeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from common.errors import PostgresUnavailable
from common.model.wal import Lsn
from keeper.postgres.instance import LOG_LIMIT_BYTES, Instance
from keeper.postgres.layout import Layout
from keeper.postgres.observe import LOG_LOOKED_AT_EVERY_S, Observer
from tests.support.aio import run
from tests.support.clock import ManualClock


@dataclass
class Server:
    """A server and its instance in one: it answers as PostgreSQL does."""

    layout: Layout
    clock: ManualClock = field(default_factory=ManualClock)
    start_id: str = "first"
    lsn: str | None = "0/3000060"
    timeline: int = 1
    in_recovery: bool = True
    receiver: dict[str, Any] | None = None
    conninfo: str = ""
    asked: list[str] = field(default_factory=list)

    @property
    def running(self) -> Server:
        return self

    @property
    def sql(self) -> Server:
        return self

    async def value(self, query: str) -> dict[str, Any]:
        assert "json_build_object" in query
        self.asked.append("look")
        return {
            "version": 150018,
            "system_identifier": "7",
            "in_recovery": self.in_recovery,
            "lsn": self.lsn,
            "flush": self.lsn,
            "wal_file": None if self.in_recovery else f"{self.timeline:08X}0000000000000003",
            "paused": False,
            "delay": 0,
            "startup": None,
            "receiver": self.receiver,
            "senders": [],
            "slots": [],
            "clients": 0,
            "following": "",
            "conninfo": self.conninfo,
            "sync": "",
            "overridden": [],
            "pending": [],
        }

    async def rows(self, query: str, *, replication: bool) -> list[tuple[str, int]]:
        assert (query, replication) == ("IDENTIFY_SYSTEM", True)
        self.asked.append("identify")
        return [("7", self.timeline)]


def watched(tmp_path: Path) -> tuple[Server, Observer]:
    layout = Layout(tmp_path)
    (layout.data / "pg_wal").mkdir(parents=True)
    (layout.data / "pg_wal" / "00000002.history").write_text("1\t0/4000000\tpromoted\n")
    layout.log.parent.mkdir(parents=True, exist_ok=True)
    server = Server(layout)
    return server, Observer(cast("Instance", server))


def timeline_seen(observer: Observer) -> int:
    return run(observer.observe()).timeline


def test_a_standby_whose_replay_stands_still_is_asked_once_for_its_timeline(tmp_path: Path) -> None:
    """Position and timeline move together, so that the same position is on the same timeline."""
    server, observer = watched(tmp_path)

    assert [timeline_seen(observer) for _ in range(3)] == [1, 1, 1]
    assert server.asked == ["look", "identify", "look", "look"]


def test_a_position_that_moved_may_be_on_another_timeline(tmp_path: Path) -> None:
    """A standby that follows a new primary says so with the first record that it replays."""
    server, observer = watched(tmp_path)
    before = timeline_seen(observer)
    server.lsn, server.timeline = "0/4000028", 2

    assert (before, timeline_seen(observer)) == (1, 2)


def test_after_a_restart_the_timeline_is_asked_for_again(tmp_path: Path) -> None:
    """A start may choose another timeline at the position where the last one stopped."""
    server, observer = watched(tmp_path)
    before = timeline_seen(observer)
    server.start_id, server.timeline = "second", 2

    assert (before, timeline_seen(observer)) == (1, 2)


def test_a_standby_that_has_replayed_nothing_is_asked_each_time(tmp_path: Path) -> None:
    """No position is known that the timeline could belong to."""
    server, observer = watched(tmp_path)
    server.lsn = None
    before = timeline_seen(observer)
    server.timeline = 2

    assert (before, timeline_seen(observer)) == (1, 2)


def test_a_primary_says_its_timeline_in_the_same_breath(tmp_path: Path) -> None:
    """By the name of the WAL file that it writes."""
    server, observer = watched(tmp_path)
    server.in_recovery, server.timeline = False, 2

    assert timeline_seen(observer) == 2
    assert server.asked == ["look"]


def test_a_server_that_was_restarted_meanwhile_is_not_described(tmp_path: Path) -> None:
    """Half of it would be of the start before."""
    server, observer = watched(tmp_path)
    identify = server.rows

    async def restarted(query: str, *, replication: bool) -> list[tuple[str, int]]:
        answer = await identify(query, replication=replication)
        server.start_id = "second"
        return answer

    server.rows = restarted  # type: ignore[method-assign]

    with pytest.raises(PostgresUnavailable, match="ended while it was looked at"):
        run(observer.observe())


def test_a_receiver_is_described_by_the_setting_of_this_moment(tmp_path: Path) -> None:
    """Where it shall connect to; without a setting, where it is connected; silent since it was last heard."""
    server, observer = watched(tmp_path)
    server.receiver = {
        "status": "streaming",
        "slot": "a_1_1",
        "host": "10.0.0.9",
        "port": 9,
        "heard": "12:00",
        "end": "0/5000060",
    }
    server.conninfo = "host=10.0.0.1 port=5432"
    found = []
    for conninfo in (server.conninfo, server.conninfo, "host=10.0.0.2 port=5433", ""):
        server.conninfo = conninfo
        receiver = run(observer.observe()).receiver
        assert receiver is not None
        assert receiver.upstream_end == Lsn.parse("0/5000060")
        found.append((receiver.host, receiver.port, receiver.silent_s))
        run(server.clock.advance(1))

    assert found == [("10.0.0.1", 5432, 0), ("10.0.0.1", 5432, 1), ("10.0.0.2", 5433, 2), ("10.0.0.9", 9, 3)]


def test_a_log_that_grows_too_long_is_put_aside_within_seconds(tmp_path: Path) -> None:
    """It need not be looked at each time for that."""
    server, observer = watched(tmp_path)
    aside = server.layout.log.with_name(f"{server.layout.log.name}.1")
    run(observer.observe())
    with server.layout.log.open("wb") as log:
        log.truncate(LOG_LIMIT_BYTES + 1)
    run(observer.observe())
    at_once = aside.exists()
    run(server.clock.advance(LOG_LOOKED_AT_EVERY_S))
    run(observer.observe())

    assert not at_once
    assert aside.stat().st_size == LOG_LIMIT_BYTES + 1
    assert server.layout.log.stat().st_size == 0
