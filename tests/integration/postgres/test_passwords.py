"""New passwords for the replication and rewind roles, in the order that docs/operations.md tells."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from common.errors import PostgresUnavailable
from common.model.wal import ZERO
from tests.support.aio import run, until
from tests.support.postgres import SPEC, Server, servers

RECEIVER = "SELECT pid FROM pg_stat_wal_receiver WHERE status = 'streaming'"
REPLICATE, REWIND = "new: it's \\ odd too", "new"


async def restarted(member: Server) -> None:
    """A keeper's next life, which reads its password files anew; PostgreSQL runs on."""
    await member.server.close()
    member.settings = replace(member.settings, replication_password=REPLICATE, rewind_password=REWIND)
    await member.new_handle().adopt()


async def receiver(standby: Server) -> Any:
    return await standby.value(RECEIVER)


async def reconnected(standby: Server) -> int:
    """Cut the stream, and wait for another one."""
    before: int = await receiver(standby)
    os.kill(before, signal.SIGTERM)
    pid: int = await until(lambda: receiver(standby), lambda pid: pid not in {None, before}, "a new stream")
    return pid


async def logs_in(member: Server, password: str) -> bool:
    try:
        await (
            await psycopg.AsyncConnection.connect(
                host="127.0.0.1",
                port=member.settings.port,
                user="pgha_rewind",
                dbname="postgres",
                password=password,
                connect_timeout=10,
            )
        ).close()
    except psycopg.OperationalError:
        return False
    return True


def test_the_primary_first_then_the_standbys_and_no_stream_stalls() -> None:
    """The stream in place goes on; then the standby connects anew, and is cloned, with the new password."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            two = await group.standby(one)
            streaming = await receiver(two)
            old = one.settings.rewind_password
            await restarted(one)
            await one.server.ensure_roles()
            await one.value("CREATE TABLE t AS SELECT generate_series(1, 1000) AS id")
            await one.caught_up(two)
            went_on = await receiver(two) == streaming
            accepted = [await logs_in(one, old), await logs_in(one, REWIND)]
            await restarted(two)
            untouched = await receiver(two) == streaming
            await reconnected(two)
            await one.value("INSERT INTO t VALUES (0)")
            await one.caught_up(two)
            three = group.make("three")
            await one.server.keep_slots({three.name(1): ZERO, two.name(1): ZERO}, drop_others=False)
            source = one.source_for(three, 1)
            ignored: list[int] = []
            with pytest.raises(PostgresUnavailable, match="password authentication failed"):
                await three.server.clone(
                    source, three.life, SPEC, progress=lambda *done: ignored.extend(done), timeout_s=60
                )
            await restarted(three)
            await three.server.clone(
                source, three.life, SPEC, progress=lambda *done: ignored.extend(done), timeout_s=60
            )

            assert (went_on, untouched) == (True, True)
            assert accepted == [False, True]
            assert await two.value("SELECT count(*) FROM t") == 1001

    run(story())
