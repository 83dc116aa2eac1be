"""A failover as the protocol asks for loses nothing; each step that is left out loses a commit."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Literal

import pytest

from common.model.wal import ZERO
from keeper.postgres.port import PromotionOrder, Source, SyncSetting
from tests.sim.network import Link
from tests.sim.postgres import oracle
from tests.sim.postgres.directory import Settings
from tests.sim.postgres.values import Delays
from tests.unit.sim.postgres.stage import BY_ITSELF, World, name, tell, until, world

Fault = Literal["none", "kill", "crash", "cut", "pause", "kill the postmaster"]


class Writers:
    """Clients that write to the first primary for as long as it lets them; what they were told of."""

    def __init__(self, made: World, count: int = 3) -> None:
        self._made = made
        self.acknowledged: set[int] = set()
        self._tasks = [asyncio.create_task(self._write(1000 * each)) for each in range(1, count + 1)]

    async def _write(self, number: int) -> None:
        session = await self._made.client("one")
        while not session.is_closed:
            number += 1
            if await session.commit(number) == "acknowledged":
                self.acknowledged.add(number)

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()


def strike(made: World, fault: Fault) -> None:
    """Let something befall the primary; with ``none`` it goes on, and does not know that it is replaced."""
    host = made.host("one")
    match fault:
        case "kill":
            host.kill()
        case "crash":
            host.crash()
            made.network.power_off("one")
        case "pause":
            host.pause()
        case "kill the postmaster":
            host.kill_postmaster()
        case "cut":
            for uid in ("two", "three"):
                made.network.cut("one", uid)
        case "none":
            pass


FAULTS: tuple[Fault, ...] = ("none", "kill", "crash", "cut", "pause", "kill the postmaster")


async def fail_over(made: World, fault: Fault, chance: Random, *, seal_both: bool = True) -> set[int]:
    """Replace the primary under load; returns the acknowledged commits that the new one lacks."""
    writers = Writers(made)
    await asyncio.sleep(0.1 + 0.05 * chance.random())
    strike(made, fault)
    await asyncio.sleep(chance.choice((0.0, 0.01, 3.0)))
    finals = {"two": await made.keepers["two"].seal(10)}
    if seal_both:
        finals["three"] = await made.keepers["three"].seal(10)
    best = max(finals, key=lambda uid: finals[uid].lsn)
    order = PromotionOrder(2, finals[best].lsn, BY_ITSELF)
    await made.keepers[best].promote(order, 10)
    made.host("one").resume()
    made.network.heal_all()
    await asyncio.sleep(2)
    writers.end()
    return writers.acknowledged - oracle.commit_ids(made.data(best))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failover_with_enough_seals_loses_nothing(fault: Fault) -> None:
    """With both standbys sealed the old primary, whatever became of it, acknowledges nothing any more."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            assert await fail_over(made, fault, Random(seed)) == set()

    tell(story, seeds=12)


def test_a_failover_with_too_few_seals_loses_commits() -> None:
    """One of two is not enough where one acknowledges: the other one still does, for the old primary."""
    lost: set[int] = set()

    async def story(seed: int) -> None:
        async with world(seed) as made:
            lost.update(await fail_over(made, "none", Random(seed), seal_both=False))

    tell(story)

    assert lost


@pytest.mark.parametrize("is_applied", [True, False])
def test_a_set_protects_nothing_before_it_is_applied(is_applied: bool) -> None:
    """That a new connection shows it is too early: its members may lack what the old set acknowledged."""
    lost: set[int] = set()

    async def story(seed: int) -> None:
        async with world(seed, delays=Delays(stall_chance=0.5)) as made:
            made.network.set_link("one", "three", Link(0.03))
            writers = Writers(made)
            await asyncio.sleep(0.1)
            before = SyncSetting(1, frozenset({name("two"), name("three")}))
            after = SyncSetting(1, frozenset({name("three")}))
            if is_applied:
                await made.keepers["one"].apply_sync(after, [before, after], 10)
            else:
                made.data("one").settings = Settings(None, after)
                made.server("one").reload()
                await until(lambda: made.server("one").running.sync == after)
            final = await made.keepers["three"].seal(10)
            await made.keepers["three"].promote(PromotionOrder(2, final.lsn, BY_ITSELF), 10)
            await asyncio.sleep(2)
            writers.end()
            lost.update(writers.acknowledged - oracle.commit_ids(made.data("three")))

    tell(story)

    assert bool(lost) == (not is_applied)


@pytest.mark.parametrize("name_of_another_term", [True, False])
def test_a_diverged_server_is_counted_unless_its_name_is_another(name_of_another_term: bool) -> None:
    """An old primary that connects begins by confirming what it has replayed, of whichever history."""
    counted = []

    async def story(seed: int) -> None:
        async with world(seed) as made:
            await made.commit("one", 1)
            await asyncio.sleep(0.5)
            finals = [await made.keepers[uid].seal(10) for uid in ("two", "three")]
            waiting = [await made.begin_commit("one", number) for number in range(2, 20)]
            await asyncio.sleep(0.2)
            await made.keepers["one"].kill()
            assert [await each for each in waiting] == ["unknown"] * 18
            only_old = SyncSetting(1, frozenset({name("one", 2)}))
            slots = {name("one", 2): ZERO, name("one", 3): ZERO}
            await made.keepers["two"].keep_slots(slots, drop_others=True)
            await made.keepers["two"].promote(PromotionOrder(2, finals[0].lsn, only_old), 10)
            await made.start("one")
            await made.keepers["one"].seal(10)
            told = await made.begin_commit("two", 100)
            term = 3 if name_of_another_term else 2
            await made.keepers["one"].follow(Source("two", 5432, name("one", term)), [1, 2], 10)
            await asyncio.sleep(4)
            counted.append(told.done())
            if told.done():
                assert 100 not in oracle.commit_ids(made.data("one"))
            told.cancel()

    tell(story)

    assert any(counted) == (not name_of_another_term)
