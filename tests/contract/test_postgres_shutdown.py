"""The fast stop of a primary for a switchover: what counts is its record, not the end of its processes."""

from __future__ import annotations

import asyncio

from tests.contract.postgres_backends import Backend, Group, Member, holds


async def replicated(group: Group) -> tuple[Member, Member, Member]:
    """A primary and two standbys that stay connected until somebody ends them, however slow a test is.

    A sender that gives up on its standby ends the stop that waits for it; a receiver that gives up while its
    primary stops is not let in again.
    """
    one = await group.primary()
    await one.never_hang_up()
    two, three = await group.standby(one, "two"), await group.standby(one, "three")
    for standby in (two, three):
        await standby.never_hang_up()
    await one.streams_to(two, three)
    return one, two, three


def test_the_shutdown_record_is_the_last_one_and_every_standby_gets_it(postgres_backend: Backend) -> None:
    """Both standbys end where the stopped one ends, behind the place that was said."""

    async def story(group: Group) -> None:
        one, two, three = await replicated(group)
        for number in range(5):
            await one.commit(number)
        record = await one.postgres.shut_down(20)
        assert record is not None

        async def has_it() -> bool:
            return min(await two.lsn(), await three.lsn()) > record

        await holds(has_it, "both standbys have replayed the shutdown record")
        await one.postgres.kill()
        ends = {(await each.postgres.seal(10)).lsn for each in (two, three)}
        await one.start()
        ends.add((await one.postgres.seal(10)).lsn)

        assert len(ends) == 1
        assert await two.rows() == set(range(5))

    postgres_backend.run(story)


def test_a_standby_that_is_stuck_does_not_hold_it_up(postgres_backend: Backend) -> None:
    """The record is there, and the other standby has it, while a WAL sender still waits; kill ends that."""

    async def story(group: Group) -> None:
        one, two, stuck = await replicated(group)
        await stuck.freeze_receiver()
        await one.streams_to(two, stuck)
        await one.commit(1)
        record = await one.postgres.shut_down(20)
        assert record is not None

        async def has_it() -> bool:
            return await two.lsn() > record

        await holds(has_it, "the other standby has replayed the shutdown record")
        lives = one.postgres.start_id is not None
        await one.postgres.kill()
        found = await one.postgres.inspect()

        assert lives
        assert one.postgres.start_id is None
        assert found.control is not None
        assert (found.control.state, found.control.checkpoint_lsn) == ("shut down", record)
        assert await two.rows() == {1}

    postgres_backend.run(story)


def test_what_was_not_shut_down_in_order_has_no_record(postgres_backend: Backend) -> None:
    """A server that is killed while it stops, or does not run at all after a kill, gives none."""

    async def story(group: Group) -> None:
        one = await group.primary()
        await one.postgres.kill()
        none = await one.postgres.shut_down(5)
        await one.start()
        in_recovery = await one.postgres.shut_down(5)

        assert (none, in_recovery) == (None, None)

    postgres_backend.run(story)


def test_a_second_look_finds_the_same_record(postgres_backend: Backend) -> None:
    """So it may be called again, and by a keeper that finds the server stopped."""

    async def story(group: Group) -> None:
        one = await group.primary()
        first = await one.postgres.shut_down(20)
        await asyncio.wait_for(one.postgres.wait_until_down(), 10)
        await one.postgres.kill()
        again = await one.new_keeper().shut_down(5)

        assert first is not None
        assert again == first

    postgres_backend.run(story)
