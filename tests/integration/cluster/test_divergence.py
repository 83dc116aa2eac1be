"""A site comes back with WAL that nobody acknowledged, after the other one went on without it."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Iterator

import pytest

from common.model.spec import ClusterSpec
from common.status.documents import Documents
from tests.support.aio import until
from tests.support.cluster import SMALL, Cluster, cluster, small_layout

STRICT = ClusterSpec.from_plain(
    {"durability": {"survive": "site", "mode": "strict"}, "postgres": {"parameters": SMALL}}
)
"""Only the other site acknowledges, also while it does not stream."""

COUNT = "SELECT count(*) FROM never_acknowledged"
KNOWN = "SELECT count(*) FROM pg_class WHERE relname = 'never_acknowledged'"


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(small_layout((2, 2)), STRICT) as made:
        yield made


def site_of(running: Cluster, uid: str) -> str:
    return running.demo.layout.keeper(uid).site


def named_after(term: int, seen: Documents) -> bool:
    return seen.view is not None and seen.view.term > term and seen.view.primary is not None


def end_without_a_look_at_what_came(pid: int) -> None:
    """End a stopped WAL receiver: what the network has brought it by now is never written."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)


def test_members_that_are_ahead_of_the_new_primary_give_up_what_nobody_acknowledged(
    running: Cluster,
) -> None:
    """A standby and the old primary hold a row that the other site never got; both come back without it."""

    async def story() -> None:
        term, old = running.view.term, running.primary
        away = [uid for uid in running.standbys if site_of(running, uid) != site_of(running, old)]
        [neighbour] = [uid for uid in running.standbys if uid not in away]
        lives = {uid: running.incarnation(uid) for uid in (old, neighbour)}
        await running.value(old, "CREATE TABLE never_acknowledged (id int)")
        await until(functools.partial(running.value, neighbour, KNOWN), bool, "the neighbour has the table")
        receivers = [await running.value(uid, "SELECT pid FROM pg_stat_wal_receiver") for uid in away]
        async with running.writing():
            await running.more_writes()
            for pid in receivers:
                os.kill(pid, signal.SIGSTOP)
            try:
                await running.value(
                    old, "SET synchronous_commit = local; INSERT INTO never_acknowledged VALUES (1)"
                )
                await until(
                    functools.partial(running.value, neighbour, COUNT), bool, "the neighbour has the row"
                )
                await running.power_cut(old, neighbour)
            finally:
                for pid in receivers:
                    end_without_a_look_at_what_came(pid)
            await running.until(lambda seen: named_after(term, seen), "the other site goes on")
            named = running.primary
            await running.start(old, neighbour)
            await running.until(lambda seen: seen.view and seen.view.route, "a route once one is rebuilt")
            await running.until_well(term=term + 1)

        assert named in away
        for uid, life in lives.items():
            assert running.incarnation(uid) != life
            assert await running.value(uid, COUNT) == 0

    running.run(story())
