"""Tablespaces and WAL outside of the data directory, over clones and rewinds of real servers."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import PostgresUnavailable
from common.model.wal import ZERO
from keeper.postgres.port import PromotionOrder, Source
from keeper.postgres.programs import Programs, find_programs
from tests.support.aio import LIMIT_S, run
from tests.support.postgres import BY_ITSELF, SPEC, Server, new_root, servers

MAKE = "CREATE TABLE {0} TABLESPACE fast AS SELECT generate_series(1, 1000) AS id"


@contextlib.contextmanager
def disks(*names: str) -> Iterator[list[Path]]:
    """Directories of PostgreSQL's user, as mount points are."""
    root = new_root()
    owner = Programs(find_programs(None), "postgres", root).owner
    try:
        made = [root / name for name in names]
        for path in made:
            path.mkdir(mode=0o700)
            os.chown(path, owner.uid, owner.gid)
        yield made
    finally:
        shutil.rmtree(root)


async def with_wal_in(member: Server, wal: Path | None) -> None:
    """Restart a member's keeper, which is told where its WAL shall lie."""
    await member.server.close()
    member.settings = replace(member.settings, wal_dir=wal)
    await member.new_handle().adopt()


async def cloned(member: Server, source: Server, life: str) -> Source:
    """Give a member another life, and have it run."""
    await member.server.stop("fast", LIMIT_S)
    member.life = life
    await source.server.keep_slots({member.name(1): ZERO}, drop_others=False)
    place = source.source_for(member, 1)
    await member.server.clone(place, life, SPEC, progress=lambda _done, _all: None, timeout_s=60)
    await member.start(source=place)
    await source.caught_up(member)
    return place


def lives(path: Path) -> set[str]:
    """For which lives something lies on a disk."""
    return {each.name for each in path.iterdir() if each.name.startswith("pgha_")}


def test_a_clone_brings_tablespaces_and_keeps_its_wal_apart_and_the_next_one_replaces_it() -> None:
    """On one host with its source, too: each life has its own directory; what replaced it is gone then."""

    async def story() -> None:
        with disks("fast", "wal") as [fast, wal]:
            async with servers() as group:
                one = await group.primary()
                await one.value(f"CREATE TABLESPACE fast LOCATION '{fast}'")
                await one.value(MAKE.format("t"))
                two = group.make("two")
                await with_wal_in(two, wal)
                await cloned(two, one, "0000beef")
                first = (lives(fast), lives(wal))
                await with_wal_in(two, None)
                await cloned(two, one, "0000cafe")
                both = lives(fast)
                await two.server.discard_old()

                assert first == ({"pgha_0000beef"}, {"pgha_0000beef"})
                assert both == {"pgha_0000beef", "pgha_0000cafe"}
                assert (lives(fast), lives(wal)) == ({"pgha_0000cafe"}, {"pgha_0000cafe"})
                assert (two.data / "pg_wal").readlink() == wal / "pgha_0000cafe"
                assert await two.value("SELECT count(*) FROM t") == 1000
                assert await one.value("SELECT count(*) FROM t") == 1000

    run(story())


def test_a_clone_that_fails_leaves_nothing_elsewhere_and_one_without_a_place_is_refused_at_once() -> None:
    """The old data stay, and run on."""

    async def story() -> None:
        with disks("fast", "wal") as [fast, wal]:
            async with servers() as group:
                one = await group.primary()
                two = await group.standby(one)
                await one.value(f"CREATE TABLESPACE fast LOCATION '{fast}'")
                source = one.source_for(two, 1)

                def stop(_done: int, _all: int) -> None:
                    raise PostgresUnavailable("somebody ends it")

                three = group.make("three")
                await with_wal_in(three, wal)
                await one.server.keep_slots({three.name(1): ZERO, two.name(1): ZERO}, drop_others=False)
                with pytest.raises(PostgresUnavailable, match="somebody ends it"):
                    await three.server.clone(
                        one.source_for(three, 1), "0000dead", SPEC, progress=stop, timeout_s=60
                    )
                left = (lives(fast), lives(wal), (three.root / "data.new").exists())
                await with_wal_in(three, wal / "gone")
                with pytest.raises(PostgresUnavailable, match=r"WAL lies in .*/gone, which on this host"):
                    await three.server.clone(source, "0000feed", SPEC, progress=stop, timeout_s=60)
                found = await three.server.inspect()

                assert left == (set(), set(), False)
                assert (found.kind, found.unfinished) == ("ours", None)

    run(story())


def test_a_rewind_keeps_tablespaces_where_they_are_and_is_refused_where_one_is_new() -> None:
    """pg_rewind would link a new one to the source's own path; the directory is left as it was."""

    async def story() -> None:
        with disks("fast", "new") as [fast, new]:
            async with servers() as group:
                one = await group.primary()
                await one.value(f"CREATE TABLESPACE fast LOCATION '{fast}'")
                await one.value(MAKE.format("t"))
                two = group.make("two")
                await cloned(two, one, "0000beef")
                final = await two.server.seal(LIMIT_S)
                await one.value(MAKE.format("lost"))
                await one.server.stop("fast", LIMIT_S)
                await two.server.promote(PromotionOrder(2, final.lsn, BY_ITSELF), LIMIT_S)
                await two.server.checkpoint(LIMIT_S)
                await two.value(MAKE.format("kept"))
                await two.server.keep_slots({one.name(2): ZERO}, drop_others=False)
                source = two.source_for(one, 2)
                await one.server.rewind(source, "0000cafe", SPEC, timeline=2, timeout_s=60)
                await one.start(source=source)
                await two.caught_up(one)
                rows = await one.value("SELECT count(*) FROM kept")
                lost = await one.value("SELECT to_regclass('lost')")
                link = next((one.data / "pg_tblspc").iterdir()).readlink()
                await one.server.stop("fast", LIMIT_S)
                await two.value(f"CREATE TABLESPACE new LOCATION '{new}'")
                with pytest.raises(PostgresUnavailable, match="tablespace 'new' is not here yet"):
                    await one.server.rewind(source, "0000cafd", SPEC, timeline=2, timeout_s=60)
                found = await one.server.inspect()

                assert (rows, lost, link) == (1000, None, fast)
                assert (found.unfinished, found.marker) == (None, "0000cafe")

    run(story())
