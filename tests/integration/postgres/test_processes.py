"""Down means that no process of the data directory is left; and PostgreSQL outlives its keeper."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest

from common.errors import PostgresUnavailable, UnsafeOperation
from common.runtime.clock import SystemClock
from keeper.postgres.server import PostgresServer
from keeper.processes import attached, find, kill_all, postmaster_pid, shared_memory
from tests.support.aio import LIMIT_S, eventually, run, until
from tests.support.postgres import BY_ITSELF, SPEC, Server, servers

BUSY = """
DO $$ DECLARE t int := 0; BEGIN
  FOR i IN 1..2000000000 LOOP t := (t + i) % 7; END LOOP;
END $$
"""


@contextlib.asynccontextmanager
async def busy_backend(server: Server) -> AsyncIterator[int]:
    """A backend in the midst of a computation; its pid. It ends with an error, or its server."""
    connection = await server.connect()

    async def compute() -> None:
        with contextlib.suppress(psycopg.OperationalError):
            await connection.execute(BUSY)

    task = asyncio.create_task(compute())
    active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%LOOP t :=%'"
    await until(lambda: server.value(active), lambda count: count > 1, "it computes, beside who asks")
    try:
        yield connection.info.backend_pid
    finally:
        await server.server.kill()
        await task
        await connection.close()


def test_kill_leaves_no_process_while_a_backend_is_busy() -> None:
    """The postmaster's death alone leaves the busy backend running; kill ends that too."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            async with busy_backend(primary) as busy:
                segment = shared_memory(primary.data)
                postmaster = postmaster_pid(primary.data)
                assert postmaster is not None
                os.kill(postmaster, signal.SIGKILL)
                await eventually(lambda: postmaster not in find(primary.data), "the postmaster is gone")
                left = find(primary.data)
                killed = await primary.server.kill()

                assert busy in left
                assert killed.silenced == ()
                assert find(primary.data) == []
                assert attached(segment) == 0

    run(story())


def test_a_shell_in_the_data_directory_survives() -> None:
    """A DBA who looks around there is no process of PostgreSQL."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            shell = subprocess.Popen(["sleep", "60"], cwd=primary.data)  # noqa: ASYNC220 - returns at once
            try:
                await primary.server.kill()

                assert find(primary.data) == []
                assert shell.poll() is None
            finally:
                shell.kill()
                shell.wait()

    run(story())


def test_a_server_whose_directory_was_removed_is_found() -> None:
    """An operator's rm -r leaves processes that work in a deleted directory: they are killed as well."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            subprocess.run(["rm", "-r", primary.data], check=False, stderr=subprocess.DEVNULL, timeout=60)  # noqa: ASYNC221
            found = find(primary.data)
            await kill_all(primary.data, SystemClock())

            assert found
            assert find(primary.data) == []

    run(story())


def test_a_busy_server_whose_directory_was_moved_away_is_killed_where_it_is_now() -> None:
    """PostgreSQL itself would never notice; nobody is left, and what was moved comes up again by its WAL."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            elsewhere = primary.root / "elsewhere"
            await primary.value("CREATE TABLE t AS SELECT 1 AS id")
            async with busy_backend(primary) as busy:
                well = await primary.server.why_lost()
                primary.data.rename(elsewhere)
                why = await primary.server.why_lost()
                segment = shared_memory(elsewhere)
                found = find(elsewhere)
                await primary.server.kill()

                assert well == ""
                assert why == f"{primary.data} is gone"
                assert busy in found
                assert segment is not None
                assert find(elsewhere) == []
                assert attached(segment) == 0
                assert primary.server.start_id is None
            elsewhere.rename(primary.data)
            await primary.start(writable=BY_ITSELF)
            assert await primary.value("SELECT count(*) FROM t") == 1

    run(story())


def test_what_an_interrupted_removal_left_goes_aside() -> None:
    """A directory without its control file makes room for a clone; a whole one stays."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            await one.server.set_remains_aside()
            whole = await one.server.why_lost()
            (one.data / "global" / "pg_control").unlink()
            why = await one.server.why_lost()
            await one.server.kill()
            await one.server.set_remains_aside()
            found = await one.server.inspect()

            assert whole == ""
            assert "has lost its global/pg_control" in why
            assert (found.kind, found.old_directory_kept) == ("absent", True)

    run(story())


def test_postgres_outlives_its_keeper_and_is_adopted() -> None:
    """A new keeper on the directory holds the same start, hears its end, and has touched nothing."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            before = primary.server.start_id
            await primary.server.close()
            adopted = await primary.new_handle().adopt()
            async with await primary.connect() as connection:
                await connection.execute("SELECT 1")
            with pytest.raises(PostgresUnavailable, match="runs already"):
                await primary.server.start(SPEC, writable=BY_ITSELF)
            still = primary.server.start_id
            await primary.server.stop("fast", LIMIT_S)

            assert adopted == before == still
            assert primary.server.start_id is None
            assert find(primary.data) == []

    run(story())


def test_a_server_at_another_port_is_not_adopted() -> None:
    """Clients are there: a keeper that reported its own port would send them where nobody listens."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            start_id, port = primary.server.start_id, primary.settings.port
            moved = PostgresServer(replace(primary.settings, port=port + 1), SystemClock())
            with pytest.raises(UnsafeOperation, match=f"runs at port {port}.*--port {port}"):
                await moved.adopt()
            await moved.close()

            assert primary.server.start_id == start_id
            assert await primary.value("SELECT 1") == 1

    run(story())


def test_a_stale_lock_file_is_not_adopted() -> None:
    """The pid in postmaster.pid belongs to somebody else by now."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            await primary.server.kill()
            lock = primary.data / "postmaster.pid"
            rest = lock.read_text().split("\n", 1)[1]
            lock.write_text(f"{os.getpid()}\n{rest}")

            assert await primary.new_handle().adopt() is None

    run(story())


def test_a_fast_stop_that_hangs_is_ended() -> None:
    """When its time is up, whatever is left is killed; a stopped process cannot hold it up."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            async with busy_backend(primary) as busy:
                os.kill(busy, signal.SIGSTOP)
                killed = await primary.server.stop("fast", 0.2)

                assert killed.killed > 0
                assert find(primary.data) == []

    run(story())


def test_a_start_that_fails_says_why() -> None:
    """The end of PostgreSQL's own log is in the error."""

    async def story() -> None:
        async with servers() as group:
            primary = group.make("one")
            (primary.data / "global" / "pg_control").write_bytes(b"torn")
            with pytest.raises(PostgresUnavailable, match=r"ended while it started: .*pg_control"):
                await primary.start(writable=BY_ITSELF)

    run(story())
