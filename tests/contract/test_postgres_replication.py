"""Sync sets, confirmations, slots and clones: whose flush counts, and who gets WAL."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import PostgresUnavailable
from common.model.wal import ZERO, Lsn
from keeper.postgres.port import NOBODY
from tests.contract.postgres_backends import Backend, Group, Member, holds, sync_of
from tests.support.aio import LIMIT_S
from tests.support.postgres import BY_ITSELF, FIRST_LIFE, refuses


async def pair(group: Group) -> tuple[Member, Member]:
    """A primary whose commits wait for its one standby."""
    one = await group.primary()
    two = await group.standby(one)
    await one.postgres.apply_sync(sync_of(1, two), [BY_ITSELF, sync_of(1, two)], LIMIT_S)
    return one, two


def test_a_set_is_applied_once_its_members_have_flushed(postgres_backend: Backend) -> None:
    """The position that it returns is on the standby, and commits are acknowledged with it there."""

    async def story(group: Group) -> None:
        one = await group.primary()
        two = await group.standby(one)
        wanted = sync_of(1, two)
        position = await one.postgres.apply_sync(wanted, [BY_ITSELF, wanted], LIMIT_S)
        seen = await one.postgres.observe()
        outcome = await one.commit(1)
        final = await two.postgres.seal(LIMIT_S)

        assert seen.synchronous_standby_names == f'ANY 1 ("{two.name(1)}")'
        assert [sender.flush >= position for sender in seen.senders] == [True]
        assert outcome == "acknowledged"
        assert final.lsn > position
        assert await two.rows() == {1}

    postgres_backend.run(story)


def test_a_set_is_not_applied_while_too_few_have_flushed(postgres_backend: Backend) -> None:
    """The error says who is lacking; once that one is there it succeeds."""

    async def story(group: Group) -> None:
        one = await group.primary()
        two = await group.standby(one, "two")
        three = group.make("three")
        wanted = sync_of(2, two, three)
        await refuses(
            lambda limit_s: one.postgres.apply_sync(wanted, [BY_ITSELF, wanted], limit_s),
            r"fewer than 2 of .*three.*|neither confirms",
        )
        await one.postgres.keep_slots({three.name(1): ZERO}, drop_others=False)
        await three.start(source=one.source_for(three))
        await one.postgres.apply_sync(wanted, [BY_ITSELF, wanted], LIMIT_S)

        assert await one.commit(1) == "acknowledged"

    postgres_backend.run(story)


def test_commits_wait_and_a_sealed_standby_acknowledges_none(postgres_backend: Backend) -> None:
    """Nor does it confirm anything; killed, the client does not know, and after a start it is visible."""

    async def story(group: Group) -> None:
        one, two = await pair(group)
        assert await one.commit(1) == "acknowledged"
        await two.postgres.seal(LIMIT_S)
        waiting = await one.commit_that_waits(2)
        await asyncio.sleep(0.3)
        held = not waiting.done()
        meanwhile = await one.rows()
        await refuses(lambda limit_s: one.postgres.confirm([sync_of(1, two)], limit_s), "fewer than 1")
        await one.postgres.kill()
        outcome = await waiting
        await one.start(writable=NOBODY)

        assert held
        assert meanwhile == {1}
        assert outcome == "unknown"
        assert await one.rows() == {1, 2}
        assert await two.rows() == {1}

    postgres_backend.run(story)


def test_a_set_without_members_holds_every_commit_but_local_ones(postgres_backend: Backend) -> None:
    """The keeper's own records go through, and are confirmed by sets that ask for nobody."""

    async def story(group: Group) -> None:
        one = await group.primary()
        await one.postgres.kill()
        await one.start(writable=NOBODY)
        waiting = await one.commit_that_waits(1)
        await asyncio.sleep(0.2)
        held = not waiting.done()
        local = await one.commit(2, local=True)
        await one.postgres.confirm([BY_ITSELF], LIMIT_S)
        await refuses(lambda limit_s: one.postgres.confirm([NOBODY], limit_s), "fewer than 1")
        await one.postgres.kill()
        await waiting

        assert held
        assert local == "acknowledged"

    postgres_backend.run(story)


def test_the_name_of_an_older_term_does_not_count(postgres_backend: Backend) -> None:
    """The same standby, streaming all the time, counts only under the name that the set has."""

    async def story(group: Group) -> None:
        one, two = await pair(group)
        await one.postgres.keep_slots({two.name(1): ZERO, two.name(2): ZERO}, drop_others=False)
        newer = sync_of(1, two, term=2)
        await refuses(
            lambda limit_s: one.postgres.apply_sync(newer, [sync_of(1, two), newer], limit_s),
            r"fewer than 1|neither confirms",
        )
        waiting = await one.commit_that_waits(1)
        await asyncio.sleep(0.2)
        held = not waiting.done()
        await two.postgres.seal(LIMIT_S)
        await two.postgres.follow(one.source_for(two, 2), [1], LIMIT_S)
        await one.postgres.apply_sync(newer, [newer], LIMIT_S)

        assert held
        assert await asyncio.wait_for(waiting, LIMIT_S) == "acknowledged"

    postgres_backend.run(story)


def test_a_sender_that_does_not_confirm_is_ended(postgres_backend: Backend) -> None:
    """A standby that hangs might be served with the old setting: first its sender has to go."""

    async def story(group: Group) -> None:
        one = await group.primary()
        two = await group.standby(one, "two")
        three = await group.standby(one, "three")
        before, after = sync_of(1, two, three), sync_of(1, three)
        await one.postgres.apply_sync(before, [BY_ITSELF, before], LIMIT_S)
        await two.freeze_receiver()
        await one.postgres.apply_sync(after, [before, after], LIMIT_S)
        left = {sender.name for sender in (await one.postgres.observe()).senders}

        assert two.name(1) not in left

    postgres_backend.run(story)


def test_a_confirmation_needs_k_different_members_of_each_set(postgres_backend: Backend) -> None:
    """A set that lacks a flush holds it back, whatever the others have."""

    async def story(group: Group) -> None:
        one = await group.primary()
        two = await group.standby(one, "two")
        three = await group.standby(one, "three")
        position = await one.postgres.confirm([sync_of(2, two, three), sync_of(1, two)], LIMIT_S)
        flushed = {sender.name: sender.flush for sender in (await one.postgres.observe()).senders}
        await three.postgres.kill()
        both = [sync_of(1, two), sync_of(2, two, three)]
        await refuses(lambda limit_s: one.postgres.confirm(both, limit_s), "fewer than 2")
        again = await one.postgres.confirm([sync_of(1, two, three)], LIMIT_S)

        assert sorted(flushed) == [three.name(1), two.name(1)]
        assert all(lsn >= position for lsn in flushed.values())
        assert again > position

    postgres_backend.run(story)


def test_a_standby_without_its_slot_gets_nothing(postgres_backend: Backend) -> None:
    """A primary lets in only whom it keeps a slot for; once it does the standby comes by itself."""

    async def story(group: Group) -> None:
        one = await group.primary()
        two = group.make("two")
        await two.start(source=one.source_for(two))
        await one.commit(1)
        await asyncio.sleep(0.3)
        before = await one.postgres.observe()
        await one.postgres.keep_slots({two.name(1): ZERO}, drop_others=False)
        await one.caught_up(two)

        # It knocks each second, and is a sender in state "startup" until it is turned away.
        assert [sender for sender in before.senders if sender.state == "streaming"] == []
        assert before.slots == ()
        assert await two.rows() == {1}

    postgres_backend.run(story)


def test_a_second_walsender_of_one_slot_is_refused(postgres_backend: Backend) -> None:
    """Two servers under one name are counted once: the second gets no WAL."""

    async def story(group: Group) -> None:
        one = await group.primary()
        two = await group.standby(one)
        twin = group.make("two")
        await twin.start(source=one.source_for(twin))
        await one.commit(1)
        await one.caught_up(two)
        await asyncio.sleep(0.3)
        seen = await one.postgres.observe()

        # The second knocks each second, and is a sender in state "startup" until it is turned away.
        assert [sender.name for sender in seen.senders if sender.state == "streaming"] == [two.name(1)]
        assert (await twin.postgres.observe()).receiver is None
        assert (await twin.postgres.observe()).lsn < seen.flush

    postgres_backend.run(story)


def test_slots_are_kept_advanced_copied_and_dropped_by_name(postgres_backend: Backend) -> None:
    """A standby's never pass its own replay; active ones stay; the copy begins where its original was."""

    async def story(group: Group) -> None:
        one = await group.primary()
        two = await group.standby(one)
        other = group.make("three").name(1)
        await two.postgres.keep_slots({other: ZERO}, drop_others=True)
        created = {slot.name: slot.restart_lsn for slot in (await two.postgres.observe()).slots}
        for number in range(20):
            await one.commit(number)
        await one.caught_up(two)
        await two.postgres.keep_slots({other: Lsn(1 << 60)}, drop_others=True)
        advanced = {slot.name: slot.restart_lsn for slot in (await two.postgres.observe()).slots}
        replayed = await two.lsn()
        copied = await two.postgres.copy_slots(4)
        await two.postgres.keep_slots({copied[0]: ZERO}, drop_others=True)
        left = {slot.name: slot.restart_lsn for slot in (await two.postgres.observe()).slots}
        await one.postgres.keep_slots({}, drop_others=True)

        assert [*created] == [other]
        first, second = created[other], advanced[other]
        assert first is not None
        assert second is not None
        assert first < second <= replayed
        assert copied == (other.removesuffix("_1") + "_4",)
        assert left == {copied[0]: second}
        assert [slot.name for slot in (await one.postgres.observe()).slots] == [two.name(1)]

    postgres_backend.run(story)


async def clone_source(one: Member, two: Member) -> None:
    await one.postgres.keep_slots({two.name(1): ZERO}, drop_others=False)


def test_a_clone_replaces_the_directory_and_keeps_the_old_one_until_told(postgres_backend: Backend) -> None:
    """It comes up with all that its source had, in recovery, following nobody until it is told to."""

    async def story(group: Group) -> None:
        one = await group.primary()
        await one.commit(1)
        two = group.make("two")
        two.life = "0000beef"
        await clone_source(one, two)
        progress: list[int] = []
        await two.postgres.clone(
            one.source_for(two),
            two.life,
            two.spec,
            progress=lambda done, _: progress.append(done),
            timeout_s=60,
        )
        found = await two.postgres.inspect()
        await one.commit(2)
        await two.start(source=one.source_for(two))
        await one.caught_up(two)
        seen = await two.postgres.observe()
        await two.postgres.discard_old()
        after = await two.postgres.inspect()

        assert (found.kind, found.marker, found.unfinished) == ("ours", "0000beef", None)
        assert (found.old_directory_kept, after.old_directory_kept) == (True, False)
        assert progress
        assert progress == sorted(progress)
        assert (seen.in_recovery, seen.following) == (True, two.name(1))
        assert seen.synchronous_standby_names == 'ANY 1 ("nobody")'
        assert await two.rows() == {1, 2}

    postgres_backend.run(story)


@pytest.mark.parametrize("empty", [False, True])
def test_a_clone_that_is_given_up_leaves_the_directory_as_it_was(
    postgres_backend: Backend, empty: bool
) -> None:
    """In its old life, or absent; its slot is free again, and another clone succeeds."""

    async def story(group: Group) -> None:
        one = await group.primary()
        await one.commit(1)
        two = group.make("two", empty=empty)
        await clone_source(one, two)
        begun = asyncio.Event()
        cloning = asyncio.ensure_future(
            two.postgres.clone(
                one.source_for(two), "0000dead", two.spec, progress=lambda *_: begun.set(), timeout_s=60
            )
        )
        await begun.wait()
        cloning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cloning
        found = await two.postgres.recover()

        async def slot_is_free() -> bool:
            return not any(slot.active for slot in (await one.postgres.observe()).slots)

        await holds(slot_is_free, "the slot is free")
        await two.postgres.clone(
            one.source_for(two), "0000beef", two.spec, progress=lambda *_: None, timeout_s=60
        )
        await two.start()

        assert found.kind == ("absent" if empty else "ours")
        assert (found.marker, found.unfinished) == (None if empty else FIRST_LIFE, None)
        assert await two.rows() == {1}

    postgres_backend.run(story)


def test_a_clone_needs_its_slot_and_a_source(postgres_backend: Backend) -> None:
    """Without them it fails, and the directory is as it was."""

    async def story(group: Group) -> None:
        one = await group.primary()
        two = group.make("two")
        for _ in range(2):
            with pytest.raises(PostgresUnavailable, match="failed"):
                await two.postgres.clone(
                    one.source_for(two), "0000dead", two.spec, progress=lambda *_: None, timeout_s=60
                )
            await one.postgres.stop("fast", LIMIT_S)
        found = await two.postgres.inspect()

        assert (found.marker, found.unfinished) == (FIRST_LIFE, None)

    postgres_backend.run(story)
