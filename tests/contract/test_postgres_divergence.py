"""Servers with WAL, or only with news, of a history that is not to go on."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import PostgresUnavailable
from common.model.wal import ZERO, Lsn, Switch
from keeper.postgres.port import NOBODY, FinalPosition, PromotionOrder
from tests.contract.postgres_backends import Backend, Group, Member, holds
from tests.support.aio import LIMIT_S
from tests.support.postgres import BY_ITSELF, refuses


async def diverged(group: Group, *, timeline: int = 2) -> tuple[Member, Member, Switch]:
    """A new primary with a commit of its own, and the old one with another, killed."""
    old = await group.primary("one")
    new = await group.standby(old, "two")
    await old.commit(1)
    await old.caught_up(new)
    final = await new.postgres.seal(LIMIT_S)
    await old.commit(2)
    await old.postgres.kill()
    await new.postgres.promote(PromotionOrder(timeline, final.lsn, BY_ITSELF), LIMIT_S)
    await new.postgres.ensure_roles()
    await new.commit(3)
    return new, old, Switch(1, final.lsn)


def test_a_diverged_server_cannot_follow(postgres_backend: Backend) -> None:
    """It keeps what the new history lacks, gets nothing of it, and stays on its timeline."""

    async def story(group: Group) -> None:
        new, old, _ = await diverged(group)
        await new.postgres.keep_slots({old.name(2): ZERO}, drop_others=True)
        await old.start()
        before = await old.postgres.seal(LIMIT_S)
        await old.postgres.follow(new.source_for(old, 2), [1, 2], LIMIT_S)
        await new.commit(4)
        await asyncio.sleep(0.5)
        seen = await old.postgres.observe()

        assert (seen.timeline, seen.lsn) == (1, before.lsn)
        assert await old.rows() == {1, 2}

    postgres_backend.run(story)


def test_a_diverged_server_is_rewound_and_follows(postgres_backend: Backend) -> None:
    """It loses what the new history lacks, gets what it has, and is another life with nobody to count."""

    async def story(group: Group) -> None:
        new, old, fork = await diverged(group)
        await old.start()
        await old.postgres.seal(LIMIT_S)
        await old.postgres.stop("fast", LIMIT_S)
        old.life = "0000f00d"
        await new.postgres.keep_slots({old.name(2): ZERO}, drop_others=True)
        source = new.source_for(old, 2)
        await refuses(
            lambda limit_s: old.postgres.rewind(source, old.life, old.spec, timeline=9, timeout_s=limit_s),
            "not 9",
        )
        untouched = await old.postgres.inspect()
        rewinding = asyncio.ensure_future(
            old.postgres.rewind(source, old.life, old.spec, timeline=2, timeout_s=LIMIT_S)
        )
        await new.postgres.checkpoint(LIMIT_S)
        await rewinding
        found = await old.postgres.inspect()
        await old.start(source=source)
        await new.commit(4)
        await new.caught_up(old)
        seen = await old.postgres.observe()

        assert (untouched.marker, untouched.unfinished) == ("00000001", None)
        assert (found.marker, found.unfinished) == ("0000f00d", None)
        assert (seen.timeline, seen.history) == (2, (fork,))
        assert seen.synchronous_standby_names == 'ANY 1 ("nobody")'
        assert seen.following == old.name(2)
        assert await old.rows() == {1, 3, 4}

    postgres_backend.run(story)


def test_an_unclean_directory_is_not_rewound(postgres_backend: Backend) -> None:
    """A crashed server is recovered first."""

    async def story(group: Group) -> None:
        new, old, _ = await diverged(group)
        source = new.source_for(old, 2)
        with pytest.raises(PostgresUnavailable, match="stopped cleanly first"):
            await old.postgres.rewind(source, "0000f00d", old.spec, timeline=2, timeout_s=LIMIT_S)

        assert (await old.postgres.inspect()).unfinished is None

    postgres_backend.run(story)


def test_two_histories_under_one_number_cannot_be_told_apart(postgres_backend: Backend) -> None:
    """This is why numbers are ordered: of two promotions to one number a rewind sees no difference."""

    async def story(group: Group) -> None:
        new, old, _ = await diverged(group)
        await new.postgres.checkpoint(LIMIT_S)
        await old.start()
        end = (await old.postgres.seal(LIMIT_S)).lsn
        await old.postgres.promote(PromotionOrder(2, end, BY_ITSELF), LIMIT_S)
        await old.commit(5)
        await old.postgres.checkpoint(LIMIT_S)
        await old.postgres.stop("fast", LIMIT_S)
        await old.postgres.rewind(new.source_for(old, 2), "0000f00d", old.spec, timeline=2, timeout_s=LIMIT_S)
        await old.start()

        assert await old.rows() == {1, 2, 5}

    postgres_backend.run(story)


async def heard_of_an_abandoned_timeline(
    group: Group, *, behind: bool
) -> tuple[Member, Member, FinalPosition]:
    """The stopped first primary, and a sealed standby that has set its mind on a timeline 2 of nobody."""
    one = await group.primary("one")
    two = await group.standby(one, "two")
    await one.commit(1)
    await one.postgres.stop("fast", LIMIT_S)
    final = await two.postgres.seal(LIMIT_S)
    fork = Lsn(final.lsn + 4096) if behind else final.lsn
    two.put_history(2, (Switch(1, fork),))
    # The startup process looks for newer timelines each time it has run dry.
    for _ in range(3):
        await two.postgres.seal(LIMIT_S)
        await asyncio.sleep(0.1)
    return one, two, final


@pytest.mark.parametrize("behind", [False, True])
def test_a_standby_is_promoted_from_its_own_timeline(postgres_backend: Backend, behind: bool) -> None:
    """Not from an abandoned one that it has only heard of."""

    async def story(group: Group) -> None:
        _, two, final = await heard_of_an_abandoned_timeline(group, behind=behind)
        promoted = await two.postgres.promote(PromotionOrder(3, final.lsn, NOBODY), LIMIT_S)

        assert promoted.history == (Switch(1, final.lsn),)
        assert (await two.postgres.observe()).history == (Switch(1, final.lsn),)

    postgres_backend.run(story)


def test_a_standby_leaves_an_abandoned_timeline_to_follow_the_lineage(postgres_backend: Backend) -> None:
    """It is restarted without having heard of it: PostgreSQL alone would wait for it for ever."""

    async def story(group: Group) -> None:
        one, two, final = await heard_of_an_abandoned_timeline(group, behind=False)
        await one.start()
        assert await one.postgres.seal(LIMIT_S) == final
        await one.postgres.promote(PromotionOrder(3, final.lsn, BY_ITSELF), LIMIT_S)
        await one.postgres.keep_slots({two.name(3): ZERO}, drop_others=False)
        before = two.postgres.start_id
        await two.postgres.follow(one.source_for(two, 3), [1, 3], LIMIT_S)
        await one.commit(2)
        await one.caught_up(two)

        async def on_three() -> bool:
            return (await two.postgres.observe()).timeline == 3

        await holds(on_three, "the standby is on timeline 3")

        assert two.postgres.start_id != before
        assert await two.rows() == {1, 2}

    postgres_backend.run(story)
