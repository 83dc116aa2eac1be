"""New lives: created, cloned beside the old directory, rewound; and what an interruption leaves."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import PostgresUnavailable, UnsafeOperation
from common.model.wal import ZERO, Switch
from common.runtime.disk import StateFiles
from keeper.postgres.port import PromotionOrder, Source
from keeper.processes import find_programs
from tests.support.aio import LIMIT_S, eventually, run
from tests.support.forwarder import Forwarder
from tests.support.postgres import (
    BY_ITSELF,
    FIRST_LIFE,
    SPEC,
    Server,
    Servers,
    copy_data,
    new_root,
    servers,
)

PROGRAMS = ("pg_basebackup",)


def ignore(done_bytes: int, all_bytes: int) -> None:
    assert 0 <= done_bytes <= all_bytes


async def slot_for(primary: Server, member: Server, term: int = 1) -> Source:
    """The primary's slot for a member, as it is made before the member's clone begins."""
    await primary.server.keep_slots({member.name(term): ZERO}, drop_others=False)
    return primary.source_for(member, term)


@contextlib.contextmanager
def small_disk(size_mb: int) -> Iterator[Path]:
    """A file system of its own, which fills up soon."""
    root = new_root()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=755", "tmpfs", str(root)]
    subprocess.run(mount, check=True, timeout=10)
    try:
        yield root
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True, timeout=10)
        root.rmdir()


def test_a_new_cluster_is_created_once() -> None:
    """The directory has checksums, its marker and a system identifier; a second time is refused."""

    async def story() -> None:
        async with servers() as group:
            one = group.make("one", empty=True)
            empty = await one.server.inspect()
            identifier = await one.server.initialize("0000abcd", SPEC)
            found = await one.server.inspect()
            with pytest.raises(UnsafeOperation, match="is not empty"):
                await one.server.initialize("0000abce", SPEC)
            await one.start(writable=BY_ITSELF)

            assert empty.kind == "absent"
            assert (found.kind, found.marker, found.unfinished) == ("ours", "0000abcd", None)
            assert found.control is not None
            assert found.control.system_identifier == identifier
            assert found.control.cleanly_stopped
            assert await one.value("SELECT current_setting('data_checksums')") == "on"
            assert await one.value("SELECT current_setting('server_encoding')") == "UTF8"

    run(story())


def test_a_clone_replaces_the_directory_and_keeps_the_old_one_until_told() -> None:
    """It streams from its source with the slot that was kept for it, and counts nobody from its start."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            await one.value("CREATE TABLE t AS SELECT generate_series(1, 1000) AS id")
            two = group.make("two")
            (two.data / "old").touch()
            two.life = "0000beef"
            source = await slot_for(one, two)
            progress: list[int] = []
            await two.server.clone(
                source, two.life, SPEC, progress=lambda done, _: progress.append(done), timeout_s=60
            )
            found = await two.server.inspect()
            await two.start(source=source)
            await one.caught_up(two)
            seen = await two.server.observe()
            kept = (two.root / "data.old" / "old").exists()
            await two.server.discard_old()

            assert (found.kind, found.marker, found.unfinished) == ("ours", "0000beef", None)
            assert found.old_directory_kept
            assert kept
            assert not (two.root / "data.old").exists()
            assert progress == sorted(progress)
            assert progress[-1] > 0
            assert await two.value("SELECT count(*) FROM t") == 1000
            assert seen.synchronous_standby_names == 'ANY 1 ("nobody")'
            assert seen.following == two.name(1)
            assert await one.value("SELECT count(*) FROM pg_stat_replication") == 1

    run(story())


@pytest.mark.parametrize(
    ("size_mb", "text"), [(40, "too full for a clone"), (96, "too full for a clone|No space left")]
)
def test_a_clone_that_does_not_fit_leaves_the_disk_as_it_was(size_mb: int, text: str) -> None:
    """Refused as soon as its size is known, or ended by the disk: the error says so, nothing is left."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            with small_disk(size_mb) as root:
                two = group.make("two", empty=True, root=root)
                source = await slot_for(one, two)

                def fill(_done: int, _all: int) -> None:
                    """Somebody else takes the room while the clone runs."""
                    with contextlib.suppress(OSError), (root / "other").open("wb") as file:
                        while True:
                            file.write(bytes(1 << 20))
                            file.flush()

                with pytest.raises(PostgresUnavailable, match=text):
                    await two.server.clone(source, two.life, SPEC, progress=fill, timeout_s=60)
                found = await two.server.inspect()
                await two.server.close()

                assert (found.kind, found.unfinished) == ("absent", None)
                assert not (root / "data.new").exists()
                assert find_programs(PROGRAMS, root) == []

    run(story())


KEEPER = """
import asyncio, os, signal, sys
from pathlib import Path
from common.runtime.clock import SystemClock
from keeper.postgres.instance import PostgresSettings
from keeper.postgres.port import Source
from keeper.postgres.server import PostgresServer
from keeper.processes import find_programs
from tests.support.postgres import SPEC

root, port, source_port, name = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
settings = PostgresSettings("two", root, port, "127.0.0.1", sys.argv[5], "rewind")

def half_way(done, all_):
    for pid in find_programs(["pg_basebackup"], root):
        os.kill(pid, signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGKILL)

server = PostgresServer(settings, SystemClock())
source = Source("127.0.0.1", source_port, name)
asyncio.run(server.clone(source, "0000dead", SPEC, progress=half_way, timeout_s=60))
"""


def test_a_clone_whose_keeper_was_killed_is_recognised() -> None:
    """The program that went on is ended, what lies beside goes, the old directory is as it was."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            two = group.make("two")
            source = await slot_for(one, two)
            secret = two.settings.replication_password
            # So that it cannot end before its keeper has been killed.
            async with Forwarder(source.port, pause_s=0.05) as slow:
                keeper = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-c", KEEPER, str(two.root), str(two.settings.port)),
                    *(str(slow.port), source.name, secret),
                )
                status = await asyncio.wait_for(keeper.wait(), LIMIT_S)
            running = find_programs(PROGRAMS, two.root)
            before = await two.server.inspect()
            after = await two.server.recover()

            assert status == -signal.SIGKILL
            assert running
            assert (before.unfinished, before.marker) == ("clone", FIRST_LIFE)
            assert (after.unfinished, after.marker) == (None, FIRST_LIFE)
            assert find_programs(PROGRAMS, two.root) == []
            assert not (two.root / "data.new").exists()
            await two.start(source=source)

    run(story())


@pytest.mark.parametrize("renames", [0, 1])
def test_a_swap_that_was_interrupted_is_finished(renames: int) -> None:
    """Between any two of its steps the finished clone is in place after the next start."""

    async def story() -> None:
        async with servers() as group:
            two = group.make("two")
            copy_data(two.data, two.root / "data.new")
            (two.root / "data.new" / "pgha.incarnation").write_text("0000c0de\n")
            await StateFiles(two.root / "state").write("work", {"kind": "swap"})
            if renames:
                two.data.rename(two.root / "data.old")
            found = await two.server.recover()

            assert (found.marker, found.unfinished, found.old_directory_kept) == ("0000c0de", None, True)

    run(story())


def test_a_cancelled_clone_leaves_nothing_running() -> None:
    """The keeper gave it up because another member is primary by now."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            two = group.make("two", empty=True)
            source = await slot_for(one, two)
            begun = asyncio.Event()
            cloning = asyncio.create_task(
                two.server.clone(source, two.life, SPEC, progress=lambda *_: begun.set(), timeout_s=60)
            )
            await begun.wait()
            cloning.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cloning
            await eventually(lambda: not find_programs(PROGRAMS, two.root), "no program is left")

            assert (await two.server.inspect()).kind == "absent"

    run(story())


async def diverged(group: Servers) -> tuple[Server, Server, Switch]:
    """A new primary, and the old one with a commit of its own; cleanly stopped after its recovery."""
    old = await group.primary("one")
    new = await group.standby(old, "two")
    await old.value("CREATE TABLE t AS SELECT generate_series(1, 1000) AS id")
    await old.caught_up(new)
    final = await new.server.seal(LIMIT_S)
    await old.value("INSERT INTO t VALUES (0)")
    await old.server.kill()
    await new.server.promote(PromotionOrder(2, final.lsn, BY_ITSELF), LIMIT_S)
    await new.value("INSERT INTO t VALUES (-1)")
    await old.start()
    await old.server.seal(LIMIT_S)
    await old.server.stop("fast", LIMIT_S)
    return new, old, Switch(1, final.lsn)


def test_a_rewind_that_was_interrupted_leaves_only_a_clone() -> None:
    """The directory stays marked as unusable until a clone takes its place."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            two = group.make("two")
            await StateFiles(two.root / "state").write("rewind", {"kind": "rewind"})
            found = await two.server.recover()
            source = await slot_for(one, two)
            with pytest.raises(PostgresUnavailable, match="half done by a rewind"):
                await two.start(source=source)
            await two.server.clone(source, two.life, SPEC, progress=ignore, timeout_s=60)

            assert found.unfinished == "rewind"
            assert (await two.server.inspect()).unfinished is None

    run(story())
