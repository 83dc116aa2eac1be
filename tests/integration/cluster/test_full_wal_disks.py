"""WAL that fills one disk after the other: it must not run through all servers, and comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from common.model.spec import ClusterSpec
from pgha.demo.health import why_not_healthy
from tests.support.cluster import SMALL, Cluster, cluster
from tests.support.disks import resize, small_disk

FULL_MB, ROOMY_MB = 160, 1500

SPEC = ClusterSpec.from_plain({"durability": {"survive": "node"}, "postgres": {"parameters": SMALL}})
"""With the pauses between failovers as they are."""

FLOOD = "SELECT pg_logical_emit_message(false, 'flood', repeat('x', 1000000))"


def put_wal_on(disk: Path, data: Path) -> None:
    """Move a stopped server's WAL to a disk of its own, as an operator does."""
    owner = data.stat()
    shutil.copytree(data / "pg_wal", disk / "pg_wal", symlinks=True)
    for path in (disk / "pg_wal", *(disk / "pg_wal").rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    (disk / "pg_wal").chmod(0o700)
    shutil.rmtree(data / "pg_wal")
    (data / "pg_wal").symlink_to(disk / "pg_wal")


@pytest.fixture
def running() -> Iterator[Cluster]:
    """Three members; the WAL of each lies on a small disk of its own."""
    with contextlib.ExitStack() as disks, cluster(spec=SPEC) as made:

        async def move() -> None:
            uids = [place.uid for place in made.demo.layout.keepers]
            for uid in [*made.standbys, made.primary]:
                term = made.view.term
                was_primary = uid == made.primary
                await made.power_cut(uid)
                disks.enter_context(small_disk(disk_of(made, uid), FULL_MB))
                put_wal_on(disk_of(made, uid), made.data(uid))
                await made.start(uid)
                await made.until_well(term=term + was_primary)
            assert all((made.data(uid) / "pg_wal").is_symlink() for uid in uids)

        made.run(move())
        yield made
        made.run(made.end())


def disk_of(running: Cluster, uid: str) -> Path:
    return running.demo.directory / f"wal-of-{uid}"


@contextlib.asynccontextmanager
async def flooding(running: Cluster) -> AsyncIterator[None]:
    """A client that writes more WAL than there is room for, and comes again whenever its server has gone."""

    async def flood() -> None:
        while True:
            with contextlib.suppress(psycopg.Error):
                port = running.demo.layout.proxies[0].port
                async with await psycopg.AsyncConnection.connect(
                    running.workload.conninfo(port), autocommit=True
                ) as connection:
                    while True:
                        await connection.execute(FLOOD)
                        # Some 30 MB a second: the servers of other tests have to write as well.
                        await asyncio.sleep(0.03)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(flood())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_wal_that_fills_every_disk_makes_few_failovers_and_comes_back_with_room(running: Cluster) -> None:
    """It is said which disk is full and what is free; once room is made all is well, and nothing is lost."""

    async def story() -> None:
        began = running.view.term
        async with running.writing():
            await running.more_writes()
            async with flooding(running):
                await running.until(
                    lambda _: any(reason.startswith("disk_full") for reason in running.reasons()),
                    "somebody says that its disk is full",
                )
                full = next(text for code, text in running.reasons().items() if code.startswith("disk_full"))
                await running.clock.sleep(45)
            made = running.view.term - began
            for place in running.demo.layout.keepers:
                resize(disk_of(running, place.uid), ROOMY_MB)
            await running.until(
                lambda seen: not why_not_healthy(seen, running.demo.layout), "all is well", within_s=200
            )
            await running.more_writes()

        assert f"({running.demo.directory}/wal-of-" in full
        assert f"of {FULL_MB} MB are free" in full
        assert made <= 4, [event.text for event in await running.history()]

    running.run(story())
