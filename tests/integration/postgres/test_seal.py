"""Sealing: the old primary can gather no flush of a sealed standby, and the reported position is the end."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from keeper.postgres.port import PromotionOrder
from tests.support.aio import LIMIT_S, run, until
from tests.support.postgres import BY_ITSELF, Server, Servers, servers, sync_of
from tests.support.writers import writers


async def pair(group: Servers) -> tuple[Server, Server]:
    """A primary whose commits wait for its one standby."""
    primary = await group.primary()
    standby = await group.standby(primary)
    await primary.server.apply_sync(sync_of(1, standby), [BY_ITSELF, sync_of(1, standby)], LIMIT_S)
    return primary, standby


async def pause_replay(standby: Server) -> None:
    await standby.value("SELECT pg_wal_replay_pause()")

    async def state() -> str:
        return str(await standby.value("SELECT pg_get_wal_replay_pause_state()"))

    await until(state, lambda seen: seen == "paused", "replay is paused")


async def have_a_conflict(primary: Server, standby: Server) -> psycopg.AsyncConnection[tuple[object, ...]]:
    """A reader on the standby that replay must wait for."""
    await primary.value("CREATE TABLE cleaned AS SELECT generate_series(1, 1000) AS id")
    await primary.caught_up(standby)
    reader = await standby.connect()
    await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await reader.execute("SELECT count(*) FROM cleaned")
    await primary.value("DELETE FROM cleaned")
    await primary.value("VACUUM cleaned")

    async def wait() -> str:
        return str(
            await standby.value("SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'")
        )

    await until(wait, lambda seen: seen.startswith("RecoveryConflict"), "replay is in conflict")
    return reader


@pytest.mark.parametrize("replay", ["running", "paused", "in conflict"])
def test_nothing_is_acknowledged_beyond_the_final_position(replay: str) -> None:
    """Whatever replay does, every acknowledged commit is on the sealed standby, and no more are."""

    async def story() -> None:
        async with servers() as group:
            primary, standby = await pair(group)
            async with writers(primary) as acknowledged:
                await acknowledged.more(20)
                reader = None
                if replay == "paused":
                    await pause_replay(standby)
                if replay == "in conflict":
                    reader = await have_a_conflict(primary, standby)
                await acknowledged.more(20)
                final = await standby.server.seal(LIMIT_S)
                at_the_seal = set(acknowledged.ids)
                await asyncio.sleep(0.3)
                later = acknowledged.ids - at_the_seal
                moved = await standby.replayed()
            if reader is not None:
                await reader.close()
            order = PromotionOrder(2, final.lsn, BY_ITSELF)
            await standby.server.promote(order, LIMIT_S)

            await acknowledged.must_all_be_on(standby)
            assert len(acknowledged.ids) >= 40
            # Flushed before the seal was reported; the client heard of it a moment later.
            assert len(later) <= 3
            assert moved == final.lsn

    run(story())


def test_alter_system_cannot_undo_a_seal() -> None:
    """An upstream that a DBA put into postgresql.auto.conf is taken out again."""

    async def story() -> None:
        async with servers() as group:
            primary, standby = await pair(group)
            upstream = await standby.value("SELECT current_setting('primary_conninfo')")
            async with await standby.connect() as connection:
                await connection.execute(f"ALTER SYSTEM SET primary_conninfo = '{upstream}'")
            final = await standby.server.seal(LIMIT_S)
            await primary.value("CREATE TABLE later (id int)")
            await asyncio.sleep(0.1)

            assert await standby.value("SELECT current_setting('primary_conninfo')") == ""
            assert await standby.replayed() == final.lsn

    run(story())
