"""What befalls simulated servers, and what is left afterwards: the facts that the protocol is built on."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import PostgresUnavailable
from common.model.spec import PostgresSpec
from keeper.postgres.port import PromotionOrder, Source, SyncSetting
from tests.sim.loop import SimLoop, simulate
from tests.sim.postgres import oracle
from tests.sim.postgres.clients import answers
from tests.sim.postgres.values import Delays, Sizes
from tests.unit.sim.postgres.stage import BY_ITSELF, SPEC, name, tell, until, world


def test_a_lost_host_takes_only_what_nobody_was_told_of() -> None:
    """Everything acknowledged is flushed by a standby; the primary itself may come back with less or more."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            assert set(await made.commit("one", *range(10))) == {"acknowledged"}
            pending = [await made.begin_commit("one", number) for number in range(10, 15)]
            await asyncio.sleep(0.0005 * seed)
            made.host("one").crash()
            made.network.power_off("one")
            await asyncio.sleep(5)
            finals = [await made.keepers[uid].seal(10) for uid in ("two", "three")]
            told = {
                10 + index for index, each in enumerate(pending) if each.done() and each.result() != "unknown"
            }
            best = max(("two", "three"), key=lambda uid: finals[("two", "three").index(uid)].lsn)

            assert set(range(10)) | told <= oracle.flushed_commit_ids(made.data(best))
            assert set(range(10)) <= oracle.commit_ids(made.data("one"))
            assert oracle.same_history(made.data("one"), made.data(best))
            assert oracle.common_prefix(made.data("two"), made.data("three")) == min(
                each.lsn for each in finals
            )
            for each in pending:
                each.cancel()

    tell(story)


def test_a_standby_that_has_not_flushed_loses_what_it_had_written() -> None:
    """With a disk that hangs it acknowledges nothing, and its host's end leaves nothing of it."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            await made.commit("one", 1)
            await made.keepers["three"].kill()
            made.host("two").hang_disk()
            waiting = await made.begin_commit("one", 2)
            await asyncio.sleep(1)
            written = oracle.commit_ids(made.data("two"))
            flushed = oracle.flushed_commit_ids(made.data("two"))
            done = waiting.done()
            made.host("two").heal_disk()

            assert 2 in written
            assert 2 not in flushed
            assert not done
            assert await asyncio.wait_for(waiting, 5) == "acknowledged"

    tell(story)


def test_backends_outlive_their_postmaster_and_may_still_acknowledge() -> None:
    """A busy one commits seconds after the postmaster's death, until it is killed too."""
    outcomes = []

    async def story(seed: int) -> None:
        async with world(seed, delays=Delays(linger_chance=1.0, linger_s=0.6)) as made:
            busy = await made.begin_commit("one", 1, work_s=0.5)
            await asyncio.sleep(0.1)
            made.host("one").kill_postmaster()
            down = made.keepers["one"].start_id is None
            could = [each.host for each in oracle.acknowledgers(made.fleet)]
            outcomes.append(await asyncio.wait_for(busy, 60))
            await made.keepers["one"].kill()

            assert down
            assert could == ["one"]
            assert made.host("one").running == []
            assert oracle.acknowledgers(made.fleet) == []
            if outcomes[-1] == "acknowledged":
                assert 1 in oracle.flushed_commit_ids(made.data("two")) | oracle.flushed_commit_ids(
                    made.data("three")
                )

    tell(story)

    assert set(outcomes) == {"acknowledged", "unknown"}


def test_a_killed_start_never_acknowledges() -> None:
    """Once kill has returned, whoever was busy then has ended without an answer."""

    async def story(seed: int) -> None:
        async with world(seed, delays=Delays(linger_chance=1.0, linger_s=20.0)) as made:
            busy = await made.begin_commit("one", 1, work_s=0.5)
            await asyncio.sleep(0.1)
            made.host("one").kill_postmaster()
            killed = await made.keepers["one"].kill()

            assert killed.killed > 0
            assert await asyncio.wait_for(busy, 5) == "unknown"
            assert 1 not in oracle.commit_ids(made.data("one"))

    tell(story)


def test_a_stopped_server_says_nothing_and_goes_on_where_it_was() -> None:
    """Its kernel takes connections, nobody answers; a commit that was under way ends when it continues."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            session = await made.client("one")
            made.host("one").pause()
            waiting = asyncio.create_task(session.commit(1))
            with pytest.raises(PostgresUnavailable, match=r"within 0\.3 s"):
                await made.keepers["one"].probe(0.3)
            reachable = await answers(made.fleet, "client", "one", 5432, 0.3)
            done = waiting.done()
            made.host("one").resume()

            assert not reachable
            assert not done
            assert await asyncio.wait_for(waiting, 10) == "acknowledged"
            assert await answers(made.fleet, "client", "one", 5432)

    tell(story)


def test_a_hanging_disk_silences_what_it_holds() -> None:
    """Killed processes cannot end but do nothing any more; no start before the disk answers."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            made.host("one").hang_disk()
            waiting = await made.begin_commit("one", 1)
            await asyncio.sleep(0.2)
            killed = await made.keepers["one"].kill()
            with pytest.raises(PostgresUnavailable, match="do not end"):
                await made.keepers["one"].start(SPEC)
            made.host("one").heal_disk()
            await made.start("one")

            assert killed.silenced
            assert await waiting == "unknown"

    tell(story)


def test_a_full_disk_ends_a_primary_and_a_standbys_receiver() -> None:
    """The primary dies at its next write; a standby goes on without its WAL receiver."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            made.host("two").disk_full = True
            assert await made.commit("one", 1) == ["acknowledged"]
            await asyncio.sleep(0.5)
            made.host("one").disk_full = True
            outcome = await made.commit("one", 2)
            with pytest.raises(OSError, match="No space left"):
                await made.keepers["one"].start(SPEC)

            assert outcome == ["unknown"]
            assert made.keepers["one"].start_id is None
            assert oracle.commit_ids(made.data("two")) == set()
            assert oracle.commit_ids(made.data("three")) == {1}
            assert made.keepers["two"].start_id is not None

    tell(story)


def test_wal_may_arrive_where_no_confirmation_comes_back() -> None:
    """Cut one way only, the standbys have a commit that nobody was told of."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            await made.commit("one", 1)
            for uid in ("two", "three"):
                made.network.cut(uid, "one", "replication")
            waiting = await made.begin_commit("one", 2)
            await asyncio.sleep(1)
            held = not waiting.done()
            has_it = oracle.flushed_commit_ids(made.data("two"))
            made.network.heal_all()

            assert held
            assert has_it == {1, 2}
            assert await asyncio.wait_for(waiting, 20) == "acknowledged"

    tell(story)


def test_a_cut_link_is_noticed_by_both_ends_and_heals_by_itself() -> None:
    """Receiver and sender give up after their timeouts; once there is a path the standby is back."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            made.network.cut("one", "two")
            made.network.cut("two", "one")
            await asyncio.sleep(8)
            gone = await made.keepers["two"].observe()
            senders = [each.name for each in (await made.keepers["one"].observe()).senders]
            await made.commit("one", 1)
            made.network.heal_all()
            await asyncio.sleep(8)

            assert gone.receiver is None
            assert senders == [name("three")]
            assert oracle.commit_ids(made.data("two")) == {1}

    tell(story)


def test_a_sender_counts_by_its_own_copy_until_it_has_handled_the_reload() -> None:
    """A new connection shows a stricter set, and yet a commit of before is let go by the old one."""
    outcomes = []

    async def story(seed: int) -> None:
        async with world(seed) as made:
            primary = made.server("one")
            made.network.cut("three", "one")
            waiting = await made.begin_commit("one", 1)
            await until(lambda: 1 in oracle.commit_ids(made.data("two")))
            for sender in primary.senders.values():
                sender._busy_until = asyncio.get_running_loop().time() + 0.5
            stricter = SyncSetting(1, frozenset({name("three")}))
            made.data("one").settings = type(made.data("one").settings)(None, stricter)
            primary.reload()
            await until(lambda: primary.running.sync == stricter)
            await asyncio.sleep(0.2)
            outcomes.append(waiting.done())
            waiting.cancel()
            made.network.heal_all()
            later = await made.begin_commit("one", 2)
            await asyncio.sleep(0.01)
            assert not later.done()
            assert await asyncio.wait_for(later, 20) == "acknowledged"
            assert 2 in oracle.flushed_commit_ids(made.data("three"))

    tell(story)

    assert True in outcomes


def test_a_slot_that_holds_back_too_much_is_lost() -> None:
    """A member that was away for too long gets no WAL any more: only a clone helps."""

    async def story(seed: int) -> None:
        sizes = Sizes(commit_bytes=1 << 20, wal_keep_bytes=4 << 20)
        async with world(seed, k=0, sizes=sizes) as made:
            spec = PostgresSpec.model_validate({"max_slot_wal_keep_size": "16MB"})
            await made.keepers["one"].configure(spec)
            await made.keepers["two"].stop("fast", 10)
            await made.commit("one", *range(40))
            await made.keepers["one"].checkpoint(10)
            slots = {slot.name: slot.wal_status for slot in (await made.keepers["one"].observe()).slots}
            await made.start("two", source=Source("one", 5432, name("two")))
            await asyncio.sleep(3)

            assert slots == {name("two"): "lost", name("three"): "reserved"}
            assert oracle.commit_ids(made.data("two")) == set()
            assert any("already been removed" in line for line in made.server("two").log)

    tell(story)


def test_a_cancelled_wait_makes_a_commit_visible_that_nobody_was_told_of() -> None:
    """So does a restart; neither counts as acknowledged."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            for uid in ("two", "three"):
                await made.keepers[uid].kill()
            session, reader = await made.client("one"), await made.client("one")
            waiting = asyncio.create_task(session.commit(1))
            await asyncio.sleep(0.2)
            before = await reader.read()
            session.cancel()
            outcome = await asyncio.wait_for(waiting, 5)

            assert before == ()
            assert outcome == "unknown"
            assert await reader.read() == (1,)

    tell(story)


def test_the_same_seed_gives_the_same_run() -> None:
    """Every position, time and outcome is the same again, and another seed's are not."""

    async def story(seed: int, trace: list[object]) -> None:
        async with world(seed) as made:
            trace += await made.commit("one", *range(20))
            made.host("one").kill_postmaster()
            await made.keepers["one"].kill()
            final = await made.keepers["two"].seal(10)
            await made.keepers["two"].promote(PromotionOrder(3, final.lsn, BY_ITSELF), 10)
            trace += [final, asyncio.get_running_loop().time(), made.server("two").log]

    traces: list[list[object]] = [[], [], []]
    for seed, trace in zip((1, 1, 2), traces, strict=True):
        simulate(story(seed, trace), SimLoop())

    assert traces[0] == traces[1] != traces[2]


def test_a_minute_of_commits_costs_few_events() -> None:
    """Servers that have nothing to do cause next to none: a run must stay cheap."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, SimLoop)
            await asyncio.sleep(60)
            idle = loop.handles_run
            session = await made.client("one")
            for number in range(1000):
                await session.commit(number)

            assert idle < 60 * 40
            assert (loop.handles_run - idle) / 1000 < 25

    tell(story, seeds=1)
