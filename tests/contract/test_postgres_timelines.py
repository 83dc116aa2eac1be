"""Seal, promotion, following over a promotion: which history a server goes on with."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import InvariantViolated, PostgresUnavailable
from common.model.wal import ZERO, Lsn, Switch
from keeper.postgres.port import NOBODY, FinalPosition, PromotionOrder
from tests.contract.postgres_backends import Backend, Group, Member, holds
from tests.support.aio import LIMIT_S
from tests.support.postgres import BY_ITSELF


async def sealed(group: Group) -> tuple[Member, FinalPosition]:
    """A standby of a primary that has died, and where it sealed."""
    one = await group.primary()
    two = await group.standby(one)
    await one.commit(1)
    await one.caught_up(two)
    await one.postgres.kill()
    return two, await two.postgres.seal(LIMIT_S)


def test_a_seal_is_final(postgres_backend: Backend) -> None:
    """No WAL comes any more, whatever the primary writes; a second seal says the same; no restart."""

    async def story(group: Group) -> None:
        one = await group.primary()
        two = await group.standby(one)
        start_id = two.postgres.start_id
        first = await two.postgres.seal(LIMIT_S)
        await one.commit(1)
        await two.postgres.reload()
        await asyncio.sleep(0.2)
        second = await two.postgres.seal(LIMIT_S)
        seen = await two.at_the_end_of_its_wal()

        async def has_let_go() -> bool:
            return (await one.postgres.observe()).senders == ()

        await holds(has_let_go, "the primary has noticed that the standby left")
        primary = await one.postgres.observe()

        assert first == second
        assert (first.timeline, first.history) == (1, ())
        assert first.lsn == seen.lsn < primary.flush
        assert first.system_identifier == primary.system_identifier
        assert (seen.following, seen.receiver) == ("", None)
        assert two.postgres.start_id == start_id
        assert await two.rows() == set()

    postgres_backend.run(story)


def test_a_primary_cannot_seal(postgres_backend: Backend) -> None:
    """It is refused and goes on."""

    async def story(group: Group) -> None:
        one = await group.primary()
        with pytest.raises(PostgresUnavailable, match="a primary cannot seal"):
            await one.postgres.seal(LIMIT_S)

        assert await one.commit(1) == "acknowledged"

    postgres_backend.run(story)


@pytest.mark.parametrize("timeline", [2, 7])
def test_a_promotion_takes_exactly_the_named_timeline(postgres_backend: Backend, timeline: int) -> None:
    """With and without a gap, from where it was sealed; asked for again it is only checked."""

    async def story(group: Group) -> None:
        two, final = await sealed(group)
        order = PromotionOrder(timeline, final.lsn, BY_ITSELF)
        promoted = await two.postgres.promote(order, LIMIT_S)
        seen = await two.postgres.observe()
        checked = await two.postgres.check_promotion(order)
        again = await two.postgres.promote(order, LIMIT_S)
        outcome = await two.commit(2)

        assert (promoted.timeline, promoted.fork) == (timeline, final.lsn)
        assert promoted.history == (Switch(1, final.lsn),)
        assert (seen.in_recovery, seen.timeline, seen.history) == (False, timeline, promoted.history)
        assert promoted == checked == again
        assert outcome == "acknowledged"
        assert two.histories() == set(range(2, timeline + 1))
        assert await two.rows() == {1, 2}

    postgres_backend.run(story)


def test_a_promoted_server_waits_for_the_ordered_set_from_its_first_commit(postgres_backend: Backend) -> None:
    """Ordered to count nobody, it acknowledges nothing; killed, the client never learns."""

    async def story(group: Group) -> None:
        two, final = await sealed(group)
        await two.postgres.promote(PromotionOrder(2, final.lsn, NOBODY), LIMIT_S)
        waiting = await two.commit_that_waits(2)
        await asyncio.sleep(0.3)
        held = not waiting.done()
        await two.postgres.kill()

        assert held
        assert await waiting == "unknown"

    postgres_backend.run(story)


def test_a_standby_at_another_point_is_not_promoted(postgres_backend: Backend) -> None:
    """Nor is one whose number is taken; recovery goes on."""

    async def story(group: Group) -> None:
        two, final = await sealed(group)
        with pytest.raises(PostgresUnavailable, match="replay stands at"):
            await two.postgres.promote(PromotionOrder(2, Lsn(final.lsn + 8), NOBODY), LIMIT_S)
        with pytest.raises(InvariantViolated, match="cannot be the next"):
            await two.postgres.promote(PromotionOrder(1, final.lsn, NOBODY), LIMIT_S)
        with pytest.raises(PostgresUnavailable, match="has not ended"):
            await two.postgres.check_promotion(PromotionOrder(2, final.lsn, NOBODY))

        assert (await two.postgres.observe()).in_recovery

    postgres_backend.run(story)


def test_a_server_on_another_timeline_than_ordered_is_killed(postgres_backend: Backend) -> None:
    """To check says what was found."""

    async def story(group: Group) -> None:
        two, final = await sealed(group)
        await two.postgres.promote(PromotionOrder(2, final.lsn, NOBODY), LIMIT_S)
        with pytest.raises(InvariantViolated, match="came up on timeline 2"):
            await two.postgres.check_promotion(PromotionOrder(3, final.lsn, NOBODY))

        assert two.postgres.start_id is None

    postgres_backend.run(story)


def test_a_finished_promotion_survives_a_crash(postgres_backend: Backend) -> None:
    """Started again, writable or in recovery, it is on the timeline that it was promoted to."""

    async def story(group: Group) -> None:
        two, final = await sealed(group)
        await two.postgres.promote(PromotionOrder(4, final.lsn, BY_ITSELF), LIMIT_S)
        await two.commit(2)
        await two.postgres.kill()
        on_disk = await two.postgres.inspect()
        await two.start(writable=BY_ITSELF)
        writable = await two.postgres.observe()
        await two.commit(3)
        await two.postgres.kill()
        await two.start()
        recovered = await two.postgres.seal(LIMIT_S)

        assert on_disk.greatest_timeline == 4
        assert (writable.timeline, writable.history) == (4, (Switch(1, final.lsn),))
        assert (recovered.timeline, recovered.history) == (4, (Switch(1, final.lsn),))
        assert await two.rows() == {1, 2, 3}

    postgres_backend.run(story)


def test_reserved_numbers_go_before_a_start_and_the_next_order_is_met(postgres_backend: Backend) -> None:
    """Empty history files would make a server in recovery wait for ever."""

    async def story(group: Group) -> None:
        two, final = await sealed(group)
        for timeline in (2, 3, 4):
            two.put_history(timeline, ())
        await two.postgres.kill()
        await two.start()
        left = two.histories()
        again = await two.postgres.seal(LIMIT_S)
        promoted = await two.postgres.promote(PromotionOrder(6, final.lsn, NOBODY), LIMIT_S)

        assert left == set()
        assert again == final
        assert promoted.timeline == 6

    postgres_backend.run(story)


def test_a_standby_follows_over_a_promotion(postgres_backend: Backend) -> None:
    """It follows before the promotion has ended, crosses a gap of timelines, and is not restarted."""

    async def story(group: Group) -> None:
        one = await group.primary()
        two = await group.standby(one, "two")
        three = await group.standby(one, "three")
        await two.postgres.keep_slots({three.name(1): ZERO}, drop_others=False)
        await one.commit(1)
        await one.caught_up(two)
        await one.caught_up(three)
        await one.postgres.kill()
        final = await two.postgres.seal(LIMIT_S)
        assert await three.postgres.seal(LIMIT_S) == final
        copied = await two.postgres.copy_slots(2)
        start_id = three.postgres.start_id
        await three.postgres.follow(two.source_for(three, 2), [1, 6], LIMIT_S)
        following = await three.postgres.observe()
        await two.postgres.promote(PromotionOrder(6, final.lsn, BY_ITSELF), LIMIT_S)
        await two.commit(2)
        await two.caught_up(three)
        seen = await three.postgres.observe()

        assert copied == (three.name(2),)
        assert following.following == three.name(2)
        assert (seen.timeline, seen.history) == (6, (Switch(1, final.lsn),))
        assert seen.receiver is not None
        assert seen.receiver.slot == three.name(2)
        assert three.postgres.start_id == start_id
        assert await three.rows() == {1, 2}

    postgres_backend.run(story)
