"""A data directory and its starts: created once, started, stopped, killed, adopted, looked at."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import PostgresUnavailable, UnsafeOperation
from common.model.wal import ZERO
from keeper.postgres.port import NOBODY
from keeper.postgres.values import Observation
from tests.contract.postgres_backends import Backend, Group, Member, sync_of
from tests.support.aio import LIMIT_S, until
from tests.support.postgres import BY_ITSELF, FIRST_LIFE, SPEC


def test_a_new_cluster_is_created_once(postgres_backend: Backend) -> None:
    """It has its marker and an identifier, stopped cleanly; a second time is refused."""

    async def story(group: Group) -> None:
        one = group.make("one", empty=True)
        absent = await one.postgres.inspect()
        identifier = await one.postgres.initialize("0000abcd", SPEC)
        found = await one.postgres.inspect()
        with pytest.raises(UnsafeOperation, match="is not empty"):
            await one.postgres.initialize("0000abce", SPEC)
        await one.start(writable=BY_ITSELF)
        seen = await one.postgres.observe()

        assert (absent.kind, absent.marker, absent.control) == ("absent", None, None)
        assert (found.kind, found.marker, found.unfinished) == ("ours", "0000abcd", None)
        assert found.control is not None
        assert found.control.system_identifier == identifier == seen.system_identifier
        assert found.control.cleanly_stopped
        assert (found.greatest_timeline, seen.timeline, seen.history) == (1, 1, ())
        assert not found.old_directory_kept

    postgres_backend.run(story)


def test_each_start_has_an_id_of_its_own(postgres_backend: Backend) -> None:
    """It is gone with its postmaster; a second start beside it is refused."""

    async def story(group: Group) -> None:
        one = group.make("one")
        before = one.postgres.start_id
        first = await one.start(writable=BY_ITSELF)
        held = one.postgres.start_id
        with pytest.raises(PostgresUnavailable, match="runs already"):
            await one.postgres.start(SPEC, writable=BY_ITSELF)
        await one.postgres.stop("fast", LIMIT_S)
        after = one.postgres.start_id
        second = await one.start(writable=BY_ITSELF)

        assert (before, after) == (None, None)
        assert held == first != second
        assert (await one.postgres.observe()).start_id == second

    postgres_backend.run(story)


def test_only_a_stop_leaves_a_clean_directory(postgres_backend: Backend) -> None:
    """The control data tell a fast stop, of a primary and of a standby, from a kill."""

    async def story(group: Group) -> None:
        one = await group.primary()
        two = await group.standby(one)
        states = []
        for member in (two, one):
            await member.postgres.stop("fast", LIMIT_S)
            found = await member.postgres.inspect()
            assert found.control is not None
            states.append((found.control.state, found.control.cleanly_stopped))
        await one.start(writable=BY_ITSELF)
        await one.postgres.kill()
        killed = await one.postgres.inspect()

        assert states == [("shut down in recovery", True), ("shut down", True)]
        assert killed.control is not None
        assert killed.control.state == "in production"
        assert not killed.control.cleanly_stopped

    postgres_backend.run(story)


def test_a_fast_stop_gives_its_standbys_everything(postgres_backend: Backend) -> None:
    """Both directories end at the same point: the stopped one can follow the other without a rewind."""

    async def story(group: Group) -> None:
        one = await group.primary()
        two = await group.standby(one)
        for number in range(5):
            await one.commit(number)
        await one.postgres.stop("fast", LIMIT_S)
        final = await two.postgres.seal(LIMIT_S)
        await one.start()
        also = await one.postgres.seal(LIMIT_S)

        assert final == also
        assert await two.rows() == set(range(5))

    postgres_backend.run(story)


def test_the_end_of_the_postmaster_is_heard(postgres_backend: Backend) -> None:
    """``wait_until_down`` returns, the start is over, and nothing answers; kill ends what is left."""

    async def story(group: Group) -> None:
        one = await group.primary()
        waiting = asyncio.ensure_future(one.postgres.wait_until_down())
        await asyncio.sleep(0.05)
        still_waiting = not waiting.done()
        await one.kill_postmaster()
        await asyncio.wait_for(waiting, LIMIT_S)
        over = one.postgres.start_id
        with pytest.raises(PostgresUnavailable):
            await one.postgres.observe()
        with pytest.raises(PostgresUnavailable):
            await one.postgres.probe(1)
        killed = await one.postgres.kill()
        await one.start()

        assert still_waiting
        assert over is None
        assert killed.silenced == ()

    postgres_backend.run(story)


def test_postgres_outlives_its_keeper_and_is_adopted(postgres_backend: Backend) -> None:
    """A new keeper holds the same start; of a dead one it finds nothing."""

    async def story(group: Group) -> None:
        one = await group.primary()
        before = one.postgres.start_id
        await one.postgres.close()
        forgotten = one.postgres.start_id
        adopted = await one.new_keeper().adopt()
        seen = await one.postgres.observe()
        await one.postgres.kill()
        after = await one.new_keeper().adopt()

        assert forgotten is None
        assert adopted == before == seen.start_id
        assert after is None

    postgres_backend.run(story)


def test_nothing_is_asked_of_a_server_that_does_not_run(postgres_backend: Backend) -> None:
    """Every such call says so, and may be made again later."""

    async def story(group: Group) -> None:
        one = group.make("one")
        for call in (
            one.postgres.observe(),
            one.postgres.probe(1),
            one.postgres.seal(1),
            one.postgres.confirm([BY_ITSELF], 1),
            one.postgres.apply_sync(BY_ITSELF, [BY_ITSELF], 1),
            one.postgres.keep_slots({}, drop_others=True),
            one.postgres.copy_slots(2),
            one.postgres.checkpoint(1),
            one.postgres.reload(),
        ):
            with pytest.raises(PostgresUnavailable):
                await call
        await one.postgres.stop("fast", 1)
        killed = await one.postgres.kill()

        assert killed.killed == 0

    postgres_backend.run(story)


async def at_rest(one: Member, two: Member) -> tuple[Observation, Observation]:
    """A primary and its standby as they are seen while no WAL is under way between them.

    A primary writes some by itself now and then; only looks between which it did not show one position.
    """

    async def look() -> tuple[Observation, Observation]:
        return await one.postgres.observe(), await two.postgres.observe()

    def agree(seen: tuple[Observation, Observation]) -> bool:
        first, second = seen
        positions = {first.flush, second.lsn, second.flush, *(sender.flush for sender in first.senders)}
        return len(positions) == 1 and second.startup_waits_for == "RecoveryWalStream"

    return await until(look, agree, "the standby has replayed and confirmed everything, and waits for more")


def test_a_primary_and_its_standby_are_seen_as_they_are(postgres_backend: Backend) -> None:
    """Roles, positions, receiver, senders and slots agree with each other."""

    async def story(group: Group) -> None:
        one = await group.primary()
        two = await group.standby(one)
        await one.commit(1)
        await one.caught_up(two)

        first, second = await at_rest(one, two)
        host, port = one.address

        assert not first.in_recovery
        assert (first.receiver, first.following, first.startup_waits_for) == (None, "", "")
        assert first.replay_delay_s is None
        assert [(sender.name, sender.state) for sender in first.senders] == [(two.name(1), "streaming")]
        assert [(slot.name, slot.active, slot.wal_status) for slot in first.slots] == [
            (two.name(1), True, "reserved")
        ]
        assert first.slots[0].restart_lsn is not None
        assert first.flush <= first.lsn
        assert first.synchronous_standby_names == ""
        assert second.in_recovery
        assert (second.timeline, second.history, second.system_identifier) == (1, (), first.system_identifier)
        assert (second.following, second.senders, second.slots) == (two.name(1), (), ())
        assert second.receiver is not None
        assert (second.receiver.slot, second.receiver.host, second.receiver.port) == (two.name(1), host, port)
        assert second.receiver.status == "streaming"
        assert second.receiver.silent_s < 5
        assert second.synchronous_standby_names == 'ANY 1 ("nobody")'
        assert not second.replay_paused
        assert (second.undone, second.pending_restart) == ((), ())

    postgres_backend.run(story)


def test_every_start_but_a_writable_one_is_in_recovery(postgres_backend: Backend) -> None:
    """It follows nobody and counts nobody, and takes no commit; a writable one begins with its sync set."""

    async def story(group: Group) -> None:
        one = await group.primary()
        await one.commit(1)
        await one.postgres.kill()
        await one.start()
        seen = await one.at_the_end_of_its_wal()
        refused = await one.commit(2)
        await one.postgres.kill()
        await one.start(writable=NOBODY)
        again = await one.postgres.observe()

        assert seen.in_recovery
        assert (seen.following, seen.flush) == ("", ZERO)
        assert seen.synchronous_standby_names == 'ANY 1 ("nobody")'
        assert refused == "failed"
        assert not again.in_recovery
        assert again.synchronous_standby_names == 'ANY 1 ("nobody")'
        assert again.timeline == 1
        assert await one.rows() == {1}

    postgres_backend.run(story)


def test_the_marker_says_which_life_it_is(postgres_backend: Backend) -> None:
    """It is replaced as a whole; to clear up where nothing was left changes nothing."""

    async def story(group: Group) -> None:
        one = group.make("one")
        first = await one.postgres.recover()
        await one.postgres.mark("0000beef")
        second = await one.postgres.recover()

        assert (first.marker, second.marker) == (FIRST_LIFE, "0000beef")
        assert (second.kind, second.unfinished, second.old_directory_kept) == ("ours", None, False)

    postgres_backend.run(story)


def test_a_killed_primary_has_every_commit_that_it_acknowledged(postgres_backend: Backend) -> None:
    """In recovery it ends where it had flushed, and seals there."""

    async def story(group: Group) -> None:
        one = await group.primary()
        for number in range(5):
            assert await one.commit(number) == "acknowledged"
        flushed = (await one.postgres.observe()).flush
        await one.postgres.kill()
        await one.start()
        final = await one.postgres.seal(LIMIT_S)

        assert final.lsn >= flushed
        assert await one.rows() == set(range(5))

    postgres_backend.run(story)


def test_a_sync_set_is_kept_over_a_new_spec(postgres_backend: Backend) -> None:
    """Nor does a new spec bring back what a seal took away."""

    async def story(group: Group) -> None:
        one = await group.primary()
        two = await group.standby(one)
        wanted = sync_of(1, two)
        await one.postgres.apply_sync(wanted, [BY_ITSELF, wanted], LIMIT_S)
        changed = SPEC.model_copy(update={"parameters": {**SPEC.parameters, "work_mem": "7MB"}})
        await one.postgres.configure(changed)
        await two.postgres.seal(LIMIT_S)
        await two.postgres.configure(changed)

        assert two.name(1) in (await one.postgres.observe()).synchronous_standby_names
        assert (await two.postgres.observe()).following == ""

    postgres_backend.run(story)


def test_a_server_that_has_lost_its_directory_is_noticed(postgres_backend: Backend) -> None:
    """It goes on running on nothing; killed, there is nothing to start."""

    async def story(group: Group) -> None:
        one = group.make("one")
        not_running = await one.postgres.why_lost()
        await one.start(writable=BY_ITSELF)
        well = await one.postgres.why_lost()
        one.remove_data()
        lost = await one.postgres.why_lost()
        runs = one.postgres.start_id is not None
        await one.postgres.kill()
        found = await one.postgres.inspect()
        with pytest.raises(FileNotFoundError):
            await one.postgres.start(SPEC)

        assert (not_running, well) == ("", "")
        assert "is gone" in lost
        assert runs
        assert found.kind == "absent"

    postgres_backend.run(story)


def test_what_an_interrupted_removal_left_is_set_aside(postgres_backend: Backend) -> None:
    """Without its control file a directory is worth nothing; one that has it stays where it is."""

    async def story(group: Group) -> None:
        one = group.make("one")
        await one.postgres.set_remains_aside()
        whole = await one.postgres.inspect()
        one.remove_control_file()
        with pytest.raises(PostgresUnavailable):
            await one.postgres.inspect()
        await one.postgres.set_remains_aside()
        found = await one.postgres.inspect()

        assert (whole.kind, whole.old_directory_kept) == ("ours", False)
        assert (found.kind, found.old_directory_kept) == ("absent", True)

    postgres_backend.run(story)
