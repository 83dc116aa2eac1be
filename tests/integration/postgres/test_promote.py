"""Promotion takes exactly the named timeline, from exactly the named point."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import InvariantViolated
from common.model.wal import Lsn, Switch
from keeper.postgres.history import history_file, read_history
from keeper.postgres.port import NOBODY, PromotionOrder, Source
from tests.support.aio import LIMIT_S, run, until
from tests.support.postgres import BY_ITSELF, Server, Servers, servers


async def sealed_standby(group: Servers, uid: str = "two") -> tuple[Server, Lsn]:
    """A standby of a primary that has died, sealed, and its final position."""
    primary = await group.primary()
    standby = await group.standby(primary, uid)
    await primary.value("CREATE TABLE t AS SELECT 1 AS id")
    await primary.caught_up(standby)
    await primary.server.kill()
    return standby, (await standby.server.seal(LIMIT_S)).lsn


def test_two_promotions_from_one_fork_get_different_timelines() -> None:
    """Each named number is taken, so that the two histories can be told apart."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            two = await group.standby(primary, "two")
            three = await group.standby(primary, "three")
            await primary.caught_up(two)
            await primary.caught_up(three)
            await primary.server.stop("fast", LIMIT_S)  # both get all of its WAL
            ends = [(await each.server.seal(LIMIT_S)).lsn for each in (two, three)]
            first = await two.server.promote(PromotionOrder(2, ends[0], NOBODY), LIMIT_S)
            second = await three.server.promote(PromotionOrder(3, ends[1], NOBODY), LIMIT_S)

            assert ends[0] == ends[1] == first.fork == second.fork
            assert (first.timeline, second.timeline) == (2, 3)

    run(story())


def test_a_server_that_came_up_on_another_timeline_is_stopped() -> None:
    """Somebody else promoted it: checking the order kills it and says what was found."""

    async def story() -> None:
        async with servers() as group:
            standby, end = await sealed_standby(group)
            await standby.value("SELECT pg_promote()")
            with pytest.raises(InvariantViolated, match="came up on timeline 2"):
                await standby.server.check_promotion(PromotionOrder(3, end, NOBODY))
            assert standby.server.start_id is None

    run(story())


def test_reserved_numbers_are_archived_where_archiving_is_on() -> None:
    """A restore to the latest timeline finds no gap."""

    async def story() -> None:
        async with servers() as group:
            primary = await group.primary()
            standby = group.make("two")
            standby.spec = standby.spec.model_copy(
                update={
                    "parameters": {**standby.spec.parameters, "archive_mode": "on", "archive_command": "true"}
                }
            )
            await primary.server.keep_slots({standby.name(1): Lsn(0)}, drop_others=False)
            await standby.start(source=primary.source_for(standby, 1))
            await primary.caught_up(standby)
            await primary.server.kill()
            final = await standby.server.seal(LIMIT_S)
            await standby.server.promote(PromotionOrder(4, final.lsn, NOBODY), LIMIT_S)
            status = standby.data / "pg_wal" / "archive_status"

            async def archived() -> set[str]:
                return {path.stem for path in status.glob("0000000?.history.*")}

            await until(
                archived,
                lambda names: {f"0000000{n}.history" for n in (2, 3, 4)} <= names,
                "the reserved numbers have been handed to the archiver",
            )

    run(story())


async def heard_of_an_abandoned_timeline(group: Servers, *, behind: bool) -> tuple[Server, Lsn, Lsn]:
    """A sealed standby with the history of a timeline 2 whose primary died; its end and that fork.

    ``behind``: the new primary had WAL that this standby lacks, so that it stands before the fork.
    """
    primary = await group.primary()
    two = await group.standby(primary, "two")
    three = await group.standby(primary, "three")
    await primary.caught_up(two)
    await primary.caught_up(three)
    if behind:
        await three.server.seal(LIMIT_S)
        await primary.value("CREATE TABLE only_on_two AS SELECT 1 AS id")
        await primary.caught_up(two)
    await primary.server.stop("fast", LIMIT_S)  # whoever is connected gets all of its WAL
    fork = (await two.server.seal(LIMIT_S)).lsn
    end = (await three.server.seal(LIMIT_S)).lsn
    await two.server.promote(PromotionOrder(2, fork, BY_ITSELF), LIMIT_S)
    await two.server.kill()
    history_file(three.data, 2).write_bytes(history_file(two.data, 2).read_bytes())
    history_file(three.data, 2).chmod(0o644)
    # The startup process looks for newer timelines each time it has run dry.
    await three.server.seal(LIMIT_S)
    await until(
        lambda: asyncio.to_thread((three.root / "postgres.log").read_text),
        lambda log: "new target timeline is 2" in log,
        "the standby has set its mind on timeline 2",
    )
    return three, end, fork


@pytest.mark.parametrize("behind", [False, True])
def test_a_standby_that_heard_of_an_abandoned_timeline_is_promoted_from_its_own(behind: bool) -> None:
    """Its history names the timeline it was on, not one on which it never had anything."""

    async def story() -> None:
        async with servers() as group:
            standby, end, fork = await heard_of_an_abandoned_timeline(group, behind=behind)
            promoted = await standby.server.promote(PromotionOrder(3, end, NOBODY), LIMIT_S)

            assert (end < fork) == behind
            assert promoted.history == (Switch(1, end),)
            assert read_history(standby.data, 3) == (Switch(1, end),)

    run(story())


def test_a_standby_leaves_an_abandoned_timeline_to_follow_the_lineage() -> None:
    """PostgreSQL alone would wait for timeline 2 for ever; it is restarted without having heard of it."""

    async def story() -> None:
        async with servers() as group:
            standby, end, _ = await heard_of_an_abandoned_timeline(group, behind=False)
            other = group.made[0]  # the first primary, which has everything up to the fork and no more
            await other.start()
            await other.server.seal(LIMIT_S)
            final = await other.server.seal(LIMIT_S)
            assert final.lsn == end
            await other.server.promote(PromotionOrder(3, end, BY_ITSELF), LIMIT_S)
            await other.server.keep_slots({standby.name(3): Lsn(0)}, drop_others=False)
            before = standby.server.start_id
            source = Source("127.0.0.1", other.settings.port, standby.name(3))
            await standby.server.follow(source, [1, 3], LIMIT_S)
            await other.value("CREATE TABLE t AS SELECT 1 AS id")
            await other.caught_up(standby)

            assert standby.server.start_id != before
            assert (await standby.server.observe()).timeline == 3

    run(story())
