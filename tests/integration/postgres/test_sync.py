"""Sync sets are applied step by step, and a flush counts only where it was really made."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

import psycopg

from keeper.postgres.seal import receivers
from tests.support.aio import LIMIT_S, run
from tests.support.postgres import BY_ITSELF, servers, sync_of


async def attempt(connection: psycopg.AsyncConnection[Any], statement: str) -> None:
    """Run a statement until it returns, or its server ends."""
    with contextlib.suppress(psycopg.OperationalError):
        await connection.execute(statement)


def test_a_sender_that_does_not_confirm_is_ended() -> None:
    """A standby that hangs might be served by a sender with the old setting: that sender goes."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            two = await group.standby(primary, "two")
            three = await group.standby(primary, "three")
            before = sync_of(1, two, three)
            await primary.server.apply_sync(before, [BY_ITSELF, before], LIMIT_S)
            hung = receivers(two.server._instance.running.pid)
            for pid in hung:
                os.kill(pid, signal.SIGSTOP)
            after = sync_of(1, three)
            await primary.server.apply_sync(after, [before, after], LIMIT_S)
            log = (primary.root / "postgres.log").read_text()
            left = {sender.name for sender in (await primary.server.observe()).senders}
            for pid in hung:
                os.kill(pid, signal.SIGCONT)

            assert len(hung) == 1
            assert left == {three.name(1)}
            assert "terminating connection due to administrator command" in log
            assert "replication timeout" not in log  # wal_sender_timeout would have ended it much later

    run(story())
