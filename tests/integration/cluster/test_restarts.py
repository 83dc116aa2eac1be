"""Restarts that an operator asks for: one member at a time, each once, without the loss of a row."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.asking import asked
from tests.support.cluster import Cluster, cluster, small_layout

LOAD = 4
"""Writers beside the ordinary ones; every fourth of them connects anew for each statement."""


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(small_layout((2, 2))) as made:
        yield made


def test_standbys_restart_one_after_the_other_and_each_once(running: Cluster) -> None:
    """Though the leading sentinel dies half-way."""

    async def story() -> None:
        uids, leader = running.standbys, running.documents.leader
        assert leader is not None
        starts = {uid: running.start_id(uid) for uid in uids}
        async with running.writing():
            await running.more_writes()
            for uid in uids[:2]:
                code, made = await running.pgha("restart", uid, "--yes", "--no-wait", "-o", "json")
                assert code == 0, made
            await running.until(
                lambda seen: seen.view and any(member.restart for member in seen.view.members), "one begins"
            )
            await running.kill_service(leader)
            await running.until(
                lambda seen: seen.requests and all(not each.request.is_open for each in seen.requests),
                "all is done",
            )
            await running.start(leader)
            await running.until_well()
        now = {uid: running.start_id(uid) for uid in uids}
        events = [event for event in await running.history() if event.kind == "restart"]

        assert [now[uid] != starts[uid] for uid in uids] == [True, True, False]
        assert len(events) == 2

    running.run(story())


def test_the_whole_cluster_restarts_without_the_loss_of_a_row(running: Cluster) -> None:
    """The standbys one after the other, then the primary by a switchover, though the leader dies then.

    New clients wait; none is refused.
    """

    async def story() -> None:
        term, old, leader = running.view.term, running.primary, running.documents.leader
        assert leader is not None
        standbys = running.standbys
        starts = {uid: running.start_id(uid) for uid in (*standbys, old)}
        before = running.view.generation
        async with running.writing(LOAD) as statements:
            await running.more_writes()
            rolling = asyncio.create_task(asked(running, "restart", "--all"))
            await running.until(
                lambda seen: any(each.request.parent for each in seen.requests), "the primary's turn has come"
            )
            restarted = {uid for uid in starts if running.start_id(uid) != starts[uid]}
            await running.kill_service(leader)
            said = await rolling
            await running.more_writes()
            await running.start(leader)
            await running.until_well(term=term + 1)
        now = {uid: running.start_id(uid) for uid in starts}
        begun = [
            event.kind
            for event in await running.history()
            if event.generation > before and event.kind in {"restart", "switchover_begun"}
        ]

        assert restarted == set(standbys)
        assert begun == ["restart"] * len(standbys) + ["switchover_begun"]
        assert running.primary != old
        assert running.view.term == term + 1
        assert all(now[uid] != starts[uid] for uid in starts)
        assert all(uid in said for uid in starts)
        assert [each for each in statements if not each.connected] == []

    running.run(story())


def test_only_who_waits_for_a_restart_is_restarted(running: Cluster) -> None:
    """Nobody does here."""

    async def story() -> None:
        _, said = await running.pgha("restart", running.standbys[0], "--pending", "--yes")

        assert "nothing to do: no parameter waits for a restart" in said

    running.run(story())
