"""What befalls the WAL of simulated servers: confirmed late, received and not replayed, never committed."""

from __future__ import annotations

import asyncio
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from tests.sim import host_faults
from tests.sim.postgres import oracle
from tests.sim.postgres.values import Delays
from tests.unit.sim.postgres.stage import World, tell, until, world

if TYPE_CHECKING:
    from tests.sim.world import World as SimWorld


def as_a_cluster(made: World) -> SimWorld:
    """As much of a whole cluster as a fault of one host asks for."""
    return cast("SimWorld", SimpleNamespace(fleet=made.fleet, keeper_hosts=tuple(made.fleet.hosts)))


def test_a_wal_receiver_goes_on_until_it_looks_at_its_signals() -> None:
    """On a busy host that is a while after SIGTERM: the primary still gets what it waits for."""

    async def story(seed: int) -> None:
        delays = Delays(stall_chance=0.0, busy_stall_chance=1.0, stall_s=60.0)
        async with world(seed, delays=delays) as made:
            await made.keepers["three"].kill()
            made.host("two").is_busy = True
            receiver = made.server("two").startup.receiver
            assert receiver is not None
            receiver.terminate()

            assert await made.commit("one", 1) == ["acknowledged"]
            assert not receiver.ended
            await until(lambda: receiver.ended)

    tell(story)


def test_what_a_wal_receiver_confirms_while_it_is_to_end_is_there_after_the_seal() -> None:
    """Whenever it looks at its signals: before it flushes, meanwhile, or after."""
    told: set[bool] = set()

    async def story(seed: int) -> None:
        async with world(seed) as made:
            await made.keepers["three"].kill()
            waiting = await made.begin_commit("one", 1)
            await asyncio.sleep(0.0003 * seed)
            await made.keepers["two"].seal(10)
            taken = oracle.flushed_commit_ids(made.data("two"))
            await asyncio.sleep(1)

            assert oracle.flushed_commit_ids(made.data("two")) == taken
            assert 1 in taken or not waiting.done()
            told.add(waiting.done())
            waiting.cancel()

    tell(story, seeds=20)
    assert told == {True, False}


def test_replay_that_is_paused_keeps_nothing_from_being_confirmed() -> None:
    """A seal resumes it, and what was flushed meanwhile is part of the final position."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            await made.keepers["three"].kill()
            undo = host_faults.pause_replay(as_a_cluster(made), "two", Random(seed))
            assert undo is not None
            assert await made.commit("one", 1) == ["acknowledged"]
            before = made.server("two").replayed
            final = await made.keepers["two"].seal(10)
            undo()

            assert before < final.lsn == made.data("one").wal.end

    tell(story)


def test_replay_of_a_primary_cannot_be_paused() -> None:
    """There is none; nor has a server that does not run any."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            await made.keepers["three"].kill()
            for uid in ("one", "three"):
                assert host_faults.pause_replay(as_a_cluster(made), uid, Random(seed)) is None

    tell(story, seeds=1)


def test_a_bulk_load_leaves_wal_and_no_commit() -> None:
    """Much of it, until it is ended."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            before, commits = made.data("one").wal.end, oracle.commit_ids(made.data("one"))
            undo = host_faults.bulk_load(as_a_cluster(made), "one", Random(seed))
            await asyncio.sleep(1)
            undo()
            wal = made.data("one").wal
            end = wal.end
            await asyncio.sleep(1)

            assert wal.end == wal.flushed == end
            assert end - before >= 10 << host_faults.LOADS_LEAST
            assert oracle.commit_ids(made.data("one")) == commits

    tell(story)
