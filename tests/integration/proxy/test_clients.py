"""Real clients, and where it matters a real server, through the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import psycopg
import pytest

from tests.integration.proxy.stage import HOST, Stage, run, stage
from tests.support.aio import LIMIT_S, until
from tests.support.postgres import servers

ROW = b"0123456789abcdef" * 64 + b"\n"
ROWS = 8 * 1024


@contextlib.asynccontextmanager
async def in_front_of_postgres() -> AsyncIterator[tuple[Stage, str]]:
    """A stage whose route leads to a real primary, and how a client of it connects."""
    async with servers() as group, stage() as proxy:
        primary = await group.primary()
        await primary.value("CREATE ROLE app LOGIN PASSWORD 'secret'")
        await primary.value("CREATE DATABASE app OWNER app")
        proxy.route(1, primary.settings.port)
        yield proxy, f"host={HOST} port={proxy.port} user=app password=secret dbname=app"


async def psql(dsn: str, command: str) -> tuple[int, str]:
    """Run psql; its exit status and all that it said."""
    process = await asyncio.create_subprocess_exec(
        "psql",
        "-XAt",
        dsn,
        "-c",
        command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C"},
    )
    said, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
    return process.returncode or 0, said.decode()


async def sleepers(dsn: str) -> int:
    """How many sessions of this user wait for pg_sleep."""
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute("SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        return cursor.rowcount


def test_copy_in_and_out_pass_through_unchanged() -> None:
    """Eight megabytes each way, with scram-sha-256 in front."""

    async def story() -> None:
        async with (
            in_front_of_postgres() as (_, dsn),
            await psycopg.AsyncConnection.connect(dsn) as connection,
        ):
            await connection.execute("CREATE TABLE lines (line text)")
            async with connection.cursor() as cursor:
                async with cursor.copy("COPY lines FROM STDIN") as into:
                    for _ in range(ROWS):
                        await into.write(ROW)
                async with cursor.copy("COPY lines TO STDOUT") as out:
                    received = [bytes(part) async for part in out]

            assert b"".join(received) == ROW * ROWS

    run(story())


def test_a_query_can_be_cancelled_through_the_proxy() -> None:
    """The request comes on a connection of its own."""

    async def story() -> None:
        async with (
            in_front_of_postgres() as (_, dsn),
            await psycopg.AsyncConnection.connect(dsn) as connection,
        ):
            sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(600)"))
            await until(lambda: sleepers(dsn), lambda count: count == 1, "the query runs")
            await connection.cancel_safe(timeout=LIMIT_S)
            with pytest.raises(psycopg.errors.QueryCanceled):
                await sleeping

    run(story())


def test_psql_and_pools_of_sessions_work_and_a_cut_is_seen_at_once() -> None:
    """An idle client learns of the cut with its next statement, without waiting for anything."""

    async def story() -> None:
        async with in_front_of_postgres() as (proxy, dsn):
            status, said = await psql(dsn, "SELECT 6 * 7")
            idle = [await psycopg.AsyncConnection.connect(dsn) for _ in range(10)]
            open_before = proxy.listener.figures.sessions
            proxy.route(2, None)
            for connection in idle:
                with pytest.raises(psycopg.OperationalError):
                    await asyncio.wait_for(connection.execute("SELECT 1"), LIMIT_S)
                await connection.close()

            assert (status, said.strip()) == (0, "42")
            assert open_before == 10

    run(story())


@pytest.mark.parametrize("sslmode", ["disable", "allow", "prefer"])
def test_psql_shows_why_it_was_refused(sslmode: str) -> None:
    """Whether it asks for encryption first or not."""

    async def story() -> None:
        async with stage(park_timeout_s=0.1) as proxy:
            proxy.route(5, None)
            dsn = f"host={HOST} port={proxy.port} user=app dbname=app sslmode={sslmode}"
            status, said = await psql(dsn, "SELECT 1")

            assert status == 2
            assert "FATAL:  pgha: no primary for 0.1 s: sealing term 5" in said

    run(story())


def test_psql_that_insists_on_encryption_fails_with_its_own_words() -> None:
    """There is nobody to encrypt with, so it is told as much and no more."""

    async def story() -> None:
        async with stage(park_timeout_s=0.1) as proxy:
            dsn = f"host={HOST} port={proxy.port} user=app dbname=app sslmode=require"
            status, said = await psql(dsn, "SELECT 1")

            assert status == 2
            assert "server does not support SSL" in said

    run(story())


def test_psycopg_shows_why_it_was_refused() -> None:
    """As every client of libpq does."""

    async def story() -> None:
        async with stage(park_timeout_s=0.1) as proxy:
            proxy.route(5, None)
            with pytest.raises(psycopg.OperationalError, match="sealing term 5"):
                await psycopg.AsyncConnection.connect(f"host={HOST} port={proxy.port} user=app dbname=app")

    run(story())
