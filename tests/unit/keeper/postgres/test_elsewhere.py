"""Where a new life puts tablespaces and WAL, what is refused, and what belongs to a life that goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.errors import PostgresUnavailable
from common.runtime.disk import Owner
from keeper.postgres.elsewhere import Elsewhere, Tablespace, made_for, missing_tablespaces, plan_elsewhere

LIFE = "0000beef"


def planned(here: Path, *locations: Path, wal_dir: Path | None = None, owner: int | None = None) -> Elsewhere:
    tablespaces = tuple(Tablespace(str(oid), path.name, path) for oid, path in enumerate(locations, 1))
    uid = os.getuid() if owner is None else owner
    data = here / "data"
    return plan_elsewhere(tablespaces, LIFE, data=data, wal_dir=wal_dir, owner=Owner(uid, os.getgid()))


def linked(here: Path, **links: Path) -> Path:
    """A data directory with such links; ``wal`` is the one to its WAL."""
    data = here / "data"
    (data / "pg_tblspc").mkdir(parents=True)
    for name, target in links.items():
        (data / "pg_wal" if name == "wal" else data / "pg_tblspc" / name.removeprefix("t")).symlink_to(target)
    return data


def test_each_life_has_its_own_directory_on_the_disk_that_the_operator_chose(tmp_path: Path) -> None:
    """Of a source whose tablespace was itself cloned too: directories do not grow into each other."""
    fast, slow = tmp_path / "fast", tmp_path / "slow=0"
    for path in (fast, slow):
        path.mkdir()
    found = planned(tmp_path, fast, slow / "pgha_00000001")

    assert found.made == (fast / f"pgha_{LIFE}", slow / f"pgha_{LIFE}")
    assert found.for_basebackup == (
        f"--tablespace-mapping={fast}={fast}/pgha_{LIFE}",
        f"--tablespace-mapping={tmp_path}/slow\\=0/pgha_00000001={tmp_path}/slow\\=0/pgha_{LIFE}",
    )


def test_wal_stays_on_the_disk_where_it_is_unless_another_is_given(tmp_path: Path) -> None:
    """A link that an operator made counts, and one that an earlier clone made."""
    old, new = tmp_path / "old", tmp_path / "new"
    for path in (old, new):
        path.mkdir()
    nowhere = planned(tmp_path)
    data = linked(tmp_path, wal=old / "pgha_00000001")
    made = planned(tmp_path)
    given = planned(tmp_path, wal_dir=new)
    (data / "pg_wal").unlink()
    (data / "pg_wal").symlink_to(old)
    by_hand = planned(tmp_path)

    assert nowhere.made == ()
    assert nowhere.for_basebackup == ()
    assert made.wal == by_hand.wal == old / f"pgha_{LIFE}"
    assert given.for_basebackup == (f"--waldir={new}/pgha_{LIFE}",)


@pytest.mark.parametrize("what", ["absent", "a file", "somebody else's"])
def test_a_place_that_cannot_serve_is_refused_with_what_to_do(tmp_path: Path, what: str) -> None:
    """For a tablespace and for WAL alike; nothing is made."""
    place = tmp_path / "fast"
    if what == "a file":
        place.touch()
    elif what != "absent":
        place.mkdir()
    owner = os.getuid() + 1 if what == "somebody else's" else None
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PostgresUnavailable, match=f"tablespace 'fast' lies in {place}.*create it"):
        planned(tmp_path, place, owner=owner)
    with pytest.raises(PostgresUnavailable, match=f"WAL lies in {place}.*create it"):
        planned(tmp_path, wal_dir=place, owner=owner)

    assert sorted(tmp_path.rglob("*")) == before


def test_two_tablespaces_in_one_place_are_refused(tmp_path: Path) -> None:
    """The one as it was created, the other as a clone put it: they would be one directory."""
    (tmp_path / "fast").mkdir()

    with pytest.raises(PostgresUnavailable, match="two tablespaces lie in one place"):
        planned(tmp_path, tmp_path / "fast", tmp_path / "fast" / "pgha_00000001")


def test_only_what_was_made_for_a_life_goes_with_it(tmp_path: Path) -> None:
    """What an operator's own links point at may be in use by somebody else."""
    made = (tmp_path / "fast" / f"pgha_{LIFE}", tmp_path / "wal" / f"pgha_{LIFE}")
    data = linked(tmp_path, t1=made[0], t2=tmp_path / "pgha_by_hand", wal=made[1])
    known = tuple(Tablespace(oid, f"t{oid}", tmp_path / "x") for oid in ("1", "2", "3"))

    assert made_for(data) == made
    assert made_for(tmp_path / "nothing") == ()
    assert [each.oid for each in missing_tablespaces(known, data)] == ["3"]
