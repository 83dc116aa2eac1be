"""Timeline history files: reading them, and steering which number a promotion takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.errors import InvariantViolated
from common.model.wal import Lsn, Switch
from common.runtime.disk import Owner
from keeper.postgres import history
from keeper.postgres.history import (
    abandoned,
    histories,
    history_file,
    leads_past,
    read_history,
    remove_empty_above,
    reserve_below,
    without_empty_steps,
)

ME = Owner(os.geteuid(), os.getegid())
AT = Lsn(0x3000000)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "pg_wal" / "archive_status").mkdir(parents=True)
    return tmp_path


def real(data: Path, timeline: int, *steps: tuple[int, int]) -> None:
    text = "".join(f"{number}\t{Lsn(lsn)}\tno recovery target specified\n" for number, lsn in steps)
    history_file(data, timeline).write_text(text)


def numbers(data: Path) -> set[int]:
    return {int(path.stem, 16) for path in (data / "pg_wal").glob("*.history")}


def test_the_first_timeline_has_no_history() -> None:
    """And needs no file."""
    assert read_history(Path("/nowhere"), 1) == ()


def test_a_missing_history_is_no_empty_one(data: Path) -> None:
    """Nothing can be said of data whose way is unknown."""
    with pytest.raises(InvariantViolated, match=r"00000003\.history is missing"):
        read_history(data, 3)


def test_a_timeline_on_which_nothing_was_written_is_left_out(data: Path) -> None:
    """A standby that had only heard of timeline 2 names it as its parent."""
    real(data, 3, (1, AT), (2, AT))

    assert read_history(data, 3) == (Switch(1, AT),)
    assert without_empty_steps([]) == ()


def test_the_numbers_between_are_reserved_and_the_wanted_one_is_free(data: Path) -> None:
    """PostgreSQL takes the first number without a file; real files stay."""
    real(data, 3, (1, AT))
    history_file(data, 6).touch()
    reserve_below(data, 2, 6, ME, archiving=False)

    assert numbers(data) == {3, 4, 5}
    assert set(histories(data)) == {3}
    assert list((data / "pg_wal" / "archive_status").iterdir()) == []


def test_a_clone_has_every_lower_file_once_it_is_promoted(data: Path) -> None:
    """It came with that of its source's timeline alone; a standby may ask for any of the others."""
    real(data, 5, (1, AT), (3, AT + 8))
    reserve_below(data, 5, 7, ME, archiving=True)

    assert numbers(data) == {2, 3, 4, 5, 6}
    assert histories(data) == {3: (Switch(1, AT),), 5: (Switch(1, AT), Switch(3, Lsn(AT + 8)))}
    assert [path.name for path in (data / "pg_wal" / "archive_status").iterdir()] == [
        "00000006.history.ready"
    ]


def test_reserved_numbers_are_given_to_the_archiver(data: Path) -> None:
    """Only those that were made here."""
    real(data, 2, (1, AT))
    reserve_below(data, 1, 4, ME, archiving=True)

    assert [path.name for path in (data / "pg_wal" / "archive_status").iterdir()] == [
        "00000003.history.ready"
    ]


def test_a_reserved_number_is_its_owners_from_its_first_moment(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A startup process that may not open a history file ends the server."""
    given: list[Path] = []
    monkeypatch.setattr(history, "give", lambda path, _owner: given.append(path))
    reserve_below(data, 1, 4, ME, archiving=True)

    assert len(given) == 4
    assert not any(path.name.endswith((".history", ".ready")) for path in given)


@pytest.mark.parametrize(("current", "wanted"), [(1, 3), (3, 3), (4, 3)])
def test_a_number_that_is_taken_or_not_greater_is_refused(data: Path, current: int, wanted: int) -> None:
    """The view never names such a one."""
    real(data, 3, (1, AT))
    with pytest.raises(InvariantViolated, match="timeline 3 cannot be the next"):
        reserve_below(data, current, wanted, ME, archiving=False)


def test_empty_files_above_the_greatest_real_timeline_go_before_a_start(data: Path) -> None:
    """Those below do no harm; the control data count as real too."""
    real(data, 4, (1, AT))
    for timeline in (2, 3, 5, 6, 7):
        history_file(data, timeline).touch()

    assert remove_empty_above(data, 5) == (6, 7)
    assert numbers(data) == {2, 3, 4, 5}


def test_a_timeline_that_the_lineage_lacks_is_abandoned() -> None:
    """One that the server has left behind does not matter any more."""
    files = {2: (Switch(1, AT),), 3: (Switch(1, AT),), 5: (Switch(3, AT),)}

    assert abandoned(files, 2, [1, 3]) == (5,)
    assert abandoned(files, 1, [1, 3, 5]) == (2,)


def test_only_a_timeline_that_begins_beyond_the_position_leads_past_it() -> None:
    """One that begins at it leaves an empty step, which counts for nothing."""
    files = {2: (Switch(1, AT),)}

    assert leads_past(files, 1, Lsn(AT - 8)) == (2,)
    assert leads_past(files, 1, AT) == ()
    assert leads_past(files, 2, Lsn(0)) == ()
