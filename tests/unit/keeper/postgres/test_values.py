"""Small pure parts: control data, identity, the upstream's parameters, verifiers, passwords, layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from common.errors import InvalidSpec, PostgresUnavailable
from common.model.wal import ZERO, Lsn
from keeper.postgres.control import parse_control_data
from keeper.postgres.data import why_another_life
from keeper.postgres.instance import read_password
from keeper.postgres.layout import Layout
from keeper.postgres.port import NOBODY, Source, SyncSetting
from keeper.postgres.replication import render_sync, sync_names, upstream_parameters
from keeper.postgres.roles import matches, verifier

CONTROL = """\
pg_control version number:            1300
Database system identifier:           7710348982857510376
Database cluster state:               in production
pg_control last modified:             Fri 20 Nov 2026 08:12:27 PM UTC
Latest checkpoint location:           0/1744A98
Latest checkpoint's REDO location:    0/1744A60
Latest checkpoint's TimeLineID:       3
Minimum recovery ending location:     0/0
Min recovery ending loc's timeline:   0
max_connections setting:              40
max_worker_processes setting:         8
max_wal_senders setting:              32
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
"""


def test_control_data_are_read() -> None:
    """Every field that a decision needs."""
    found = parse_control_data(CONTROL)

    assert found.system_identifier == "7710348982857510376"
    assert (found.state, found.cleanly_stopped) == ("in production", False)
    assert (found.checkpoint_timeline, found.redo_lsn) == (3, Lsn.parse("0/1744A60"))
    assert (found.minimum_recovery_lsn, found.minimum_recovery_timeline) == (ZERO, 0)
    assert found.settings["max_prepared_transactions"] == 0
    assert found.settings["max_connections"] == 40


def test_torn_control_data_are_an_error() -> None:
    """Nothing is guessed."""
    with pytest.raises(PostgresUnavailable, match="cannot be read"):
        parse_control_data(CONTROL.replace("Latest checkpoint's TimeLineID:       3", ""))


@pytest.mark.parametrize(
    ("marker", "kept", "why"),
    [
        (None, None, "has not been this keeper's"),
        ("0000000a", None, "remembers none"),
        (None, "0000000a", "lacks its marker"),
        ("0000000a", "0000000b", "knows it as 0000000b"),
    ],
)
def test_a_directory_that_disagrees_with_its_keeper_begins_a_new_life(
    marker: str | None, kept: str | None, why: str
) -> None:
    """A restored snapshot must not count as the life that made promises."""
    assert why in why_another_life(marker, kept)


def test_a_directory_that_agrees_goes_on_in_its_life() -> None:
    """Without a reason to give."""
    assert why_another_life("0000000a", "0000000a") == ""


def test_an_upstream_carries_no_secret() -> None:
    """Slot and application name are the same; the password stays in its file."""
    found = upstream_parameters(Source("db's host", 5433, "two_00000001_4"), Path("/srv/pgha/passwords"))
    target = conninfo_to_dict(found["primary_conninfo"])

    assert found["primary_slot_name"] == target["application_name"] == "two_00000001_4"
    assert (target["host"], target["port"]) == ("db's host", "5433")
    assert target["passfile"] == "/srv/pgha/passwords"
    assert "password" not in target
    assert found["restore_command"] == ""


def test_nobody_to_follow_means_no_source_of_wal_and_no_patience_with_readers() -> None:
    """Replay from pg_wal counts as replay from an archive, so both delays are 0."""
    found = upstream_parameters(None, Path("/srv/pgha/passwords"))

    assert found["primary_conninfo"] == found["primary_slot_name"] == found["restore_command"] == ""
    assert found["max_standby_archive_delay"] == found["max_standby_streaming_delay"] == "0"


def test_only_k_of_0_makes_the_sync_setting_empty() -> None:
    """A set without members holds every commit back."""
    assert sync_names(SyncSetting(0)) == ""
    assert sync_names(NOBODY) == 'ANY 1 ("nobody")'
    assert "'ANY 1 (\"a_00000001_2\")'" in render_sync(SyncSetting(1, frozenset({"a_00000001_2"})))


def test_a_verifier_belongs_to_its_password_only() -> None:
    """What the server stores tells whether the password must be set again."""
    stored = verifier("s3cr:et", "pgha_replication")

    assert stored.startswith("SCRAM-SHA-256$")
    assert matches(stored, "s3cr:et")
    assert not matches(stored, "s3cr:et ")
    assert not matches("md5abcdef", "s3cr:et")
    assert not matches(None, "s3cr:et")


def test_a_password_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    """Editors add one."""
    path = tmp_path / "password"
    path.write_text(" secret \r\n")

    assert read_password(path) == " secret "


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe"])
def test_a_password_file_that_cannot_serve_is_refused(tmp_path: Path, content: bytes) -> None:
    """The error names the file and says nothing of its content."""
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(InvalidSpec, match=f"password file {path}"):
        read_password(path)


def test_a_missing_password_file_is_refused(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(InvalidSpec, match="cannot be read"):
        read_password(tmp_path / "none")


@pytest.mark.parametrize("root", ["relative", "/" + "x" * 90, "/it's"])
def test_a_root_that_cannot_serve_is_refused(root: str) -> None:
    """A Unix socket's path has a limit; the error says by how much it is passed."""
    with pytest.raises(InvalidSpec, match="root = "):
        Layout(Path(root)).check(5432)
