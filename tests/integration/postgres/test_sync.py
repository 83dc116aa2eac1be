"""Sync sets are applied step by step, and a flush counts only where it was really made."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from time import perf_counter
from typing import Any

import psycopg
import pytest

from common.errors import PostgresUnavailable
from keeper.postgres.port import NOBODY, SyncSetting
from keeper.postgres.seal import receivers
from tests.support.aio import run
from tests.support.postgres import BY_ITSELF, servers, sync_of


async def attempt(connection: psycopg.AsyncConnection[Any], statement: str) -> None:
    """Run a statement until it returns, or its server ends."""
    with contextlib.suppress(psycopg.OperationalError):
        await connection.execute(statement)


def test_a_set_is_applied_once_its_members_have_flushed() -> None:
    """A new connection shows it, commits wait for it, and the position it returns is on the standby."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            standby = await group.standby(primary)
            wanted = sync_of(1, standby)
            position = await primary.server.apply_sync(wanted, [BY_ITSELF, wanted], 10)
            seen = await primary.server.observe()
            state = await primary.value("SELECT sync_state FROM pg_stat_replication")

            assert seen.synchronous_standby_names == f'ANY 1 ("{standby.name(1)}")'
            assert [sender.flush >= position for sender in seen.senders] == [True]
            assert state == "quorum"

    run(story())


def test_a_set_is_not_applied_while_too_few_have_flushed() -> None:
    """Nothing is reported before the deadline, and the error says who lacks what; afterwards it succeeds."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            two = await group.standby(primary, "two")
            three = group.make("three")
            wanted = sync_of(2, two, three)
            with pytest.raises(PostgresUnavailable, match=r"fewer than 2 of .*three.* have flushed"):
                await primary.server.apply_sync(wanted, [BY_ITSELF, wanted], 0.4)
            await primary.server.keep_slots({three.name(1): await primary.lsn()}, drop_others=False)
            await three.start(source=primary.source_for(three, 1))
            await primary.server.apply_sync(wanted, [BY_ITSELF, wanted], 10)

    run(story())


def test_a_sender_that_does_not_confirm_is_ended() -> None:
    """A standby that hangs might be served by a sender with the old setting: that sender goes."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            two = await group.standby(primary, "two")
            three = await group.standby(primary, "three")
            before = sync_of(1, two, three)
            await primary.server.apply_sync(before, [BY_ITSELF, before], 10)
            hung = receivers(two.server._instance.running.pid)
            for pid in hung:
                os.kill(pid, signal.SIGSTOP)
            after = sync_of(1, three)
            began = perf_counter()
            await primary.server.apply_sync(after, [before, after], 10)
            took_s = perf_counter() - began
            left = {sender.name for sender in (await primary.server.observe()).senders}
            for pid in hung:
                os.kill(pid, signal.SIGCONT)

            assert len(hung) == 1
            assert left == {three.name(1)}
            assert took_s < 3  # long before wal_sender_timeout would have ended it

    run(story())


def test_commits_wait_for_nobody_that_is_there_when_the_set_is_empty() -> None:
    """A set without members holds every commit back; the keeper's own records go through."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary(sync=NOBODY)
            async with await primary.connect() as connection:
                waiting = asyncio.create_task(attempt(connection, "CREATE TABLE held (id int)"))
                await asyncio.sleep(0.2)
                held = not waiting.done()
                await primary.server.confirm([BY_ITSELF], 5)
                with pytest.raises(PostgresUnavailable, match="fewer than 1"):
                    await primary.server.confirm([NOBODY], 0.1)
                await primary.server.kill()
                await waiting

            assert held

    run(story())


def test_a_confirmation_needs_k_different_members_of_each_set() -> None:
    """A set that lacks a flush holds the confirmation back, whatever the others have."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            two = await group.standby(primary, "two")
            three = await group.standby(primary, "three")
            position = await primary.server.confirm([sync_of(2, two, three), sync_of(1, two)], 10)
            flushed = {sender.name: sender.flush for sender in (await primary.server.observe()).senders}
            await three.server.kill()
            with pytest.raises(PostgresUnavailable, match="fewer than 2"):
                await primary.server.confirm([sync_of(1, two), sync_of(2, two, three)], 0.3)
            again = await primary.server.confirm([sync_of(1, two, three)], 10)

            assert all(lsn >= position for lsn in flushed.values())
            assert again > position

    run(story())


def test_a_sealed_standby_confirms_nothing() -> None:
    """After its seal the old primary waits in vain, whatever it asks for."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            standby = await group.standby(primary)
            wanted = SyncSetting(1, frozenset({standby.name(1)}))
            await primary.server.apply_sync(wanted, [wanted], 10)
            await standby.server.seal(10)
            with pytest.raises(PostgresUnavailable, match="fewer than 1"):
                await primary.server.confirm([wanted], 0.5)

    run(story())
