"""Promotions, clones and rewinds of simulated servers that are interrupted, and what comes after."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import PostgresUnavailable
from common.model.wal import ZERO, Switch
from keeper.postgres.port import PromotionOrder, Source
from tests.sim.clock import SimClock
from tests.sim.postgres import oracle
from tests.sim.postgres.port import SimPostgres
from tests.sim.postgres.values import Delays
from tests.sim.process import Process
from tests.unit.sim.postgres.stage import BY_ITSELF, SPEC, name, tell, until, world


@pytest.mark.parametrize("after", ["the signal file went", "the history was written"])
def test_a_promotion_that_was_interrupted_comes_up_on_the_old_number_where_it_is_let(after: str) -> None:
    """Started without standby.signal it would write on the old timeline: hence every start is with it."""

    async def story(seed: int) -> None:
        async with world(seed, delays=Delays(promotion_s=0.2)) as made:
            await made.commit("one", 1)
            await asyncio.sleep(1)
            await made.keepers["one"].stop("fast", 10)
            final = await made.keepers["two"].seal(10)
            order = PromotionOrder(4, final.lsn, BY_ITSELF)
            promoting = asyncio.create_task(made.keepers["two"].promote(order, 10))
            data = made.data("two")
            await until(lambda: not data.standby_signal)
            if after == "the history was written":
                await until(lambda: bool(data.histories.get(4)))
            made.host("two").crash()
            made.host("two").boot()
            with pytest.raises(PostgresUnavailable):
                await promoting
            has_history = bool(data.histories.get(4))
            copy = data.copied()
            await made.start("two", writable=BY_ITSELF)
            writable_on = made.server("two").timeline
            await made.keepers["two"].kill()
            made.host("two").data = copy
            await made.start("two")
            again = await made.keepers["two"].seal(10)
            promoted = await made.keepers["two"].promote(PromotionOrder(5, again.lsn, BY_ITSELF), 10)

            assert has_history == (after == "the history was written")
            assert writable_on == 1
            assert (again.lsn, again.timeline) == (final.lsn, 1)
            assert promoted.history == (Switch(1, final.lsn),)

    tell(story, seeds=5)


def test_a_keeper_killed_amid_a_clone_leaves_a_program_that_its_successor_ends() -> None:
    """The directory is as it was, in its old life; the slot is free again."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            keeper = Process("two", "keeper")
            await made.keepers["two"].stop("fast", 10)
            first = SimPostgres(made.host("two"), SimClock(asyncio.get_running_loop()))
            begun = asyncio.Event()
            source = Source("one", 5432, name("two"))
            keeper.spawn(first.clone(source, "0000dead", SPEC, progress=lambda *_: begun.set(), timeout_s=60))
            await begun.wait()
            keeper.kill()
            running = len(made.host("two").programs)
            active = made.server("one").is_active(name("two"))
            before = await made.keepers["two"].inspect()
            after = await made.keepers["two"].recover()

            assert (running, active) == (1, True)
            assert (before.unfinished, after.unfinished) == ("clone", None)
            assert made.host("two").programs == []
            assert made.host("two").new is None
            assert not made.server("one").is_active(name("two"))

    tell(story)


def test_a_keeper_killed_at_any_moment_of_a_clone_leaves_one_whole_life() -> None:
    """After recover() the directory is either the old one or the new one, never neither and never torn."""
    markers = set()

    async def story(seed: int) -> None:
        async with world(seed, delays=Delays(clone_s=0.02, disk_s=0.01)) as made:
            await made.keepers["two"].stop("fast", 10)
            await made.keepers["two"].mark("0000aaaa")
            first = SimPostgres(made.host("two"), SimClock(asyncio.get_running_loop()))
            keeper = Process("two", "keeper")
            source = Source("one", 5432, name("two"))
            keeper.spawn(first.clone(source, "0000beef", SPEC, progress=lambda *_: None, timeout_s=60))
            await asyncio.sleep(0.003 * seed)
            keeper.kill()
            found = await made.keepers["two"].recover()
            await made.start("two")
            markers.add(found.marker)

            assert found.unfinished is None
            assert found.kind == "ours"

    tell(story, seeds=60)

    assert markers == {"0000aaaa", "0000beef"}


def test_a_keeper_killed_amid_a_rewind_leaves_only_a_clone() -> None:
    """The directory is marked as unusable until a clone takes its place."""

    async def story(seed: int) -> None:
        async with world(seed, k=0) as made:
            await made.commit("one", 1)
            await asyncio.sleep(1)
            final = await made.keepers["two"].seal(10)
            await made.commit("one", 2)
            await made.keepers["one"].stop("fast", 10)
            await made.keepers["two"].promote(PromotionOrder(2, final.lsn, BY_ITSELF), 10)
            await made.keepers["two"].checkpoint(10)
            await made.keepers["two"].keep_slots({name("one", 2): ZERO}, drop_others=True)
            first = SimPostgres(made.host("one"), SimClock(asyncio.get_running_loop()))
            keeper = Process("one", "keeper")
            source = Source("two", 5432, name("one", 2))
            keeper.spawn(first.rewind(source, "0000f00d", SPEC, timeline=2, timeout_s=60))
            await until(lambda: made.data("one").torn)
            keeper.kill()
            found = await made.keepers["one"].recover()
            with pytest.raises(PostgresUnavailable, match="half done by a rewind"):
                await made.keepers["one"].start(SPEC)
            await made.keepers["one"].clone(source, "0000beef", SPEC, progress=lambda *_: None, timeout_s=60)
            await made.start("one")

            assert (found.unfinished, found.control) == ("rewind", None)
            assert oracle.commits(made.data("one")) == [(1, 1)]

    tell(story)
