"""One failover after the other, every member coming back each time: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
from random import Random

from common.errors import PostgresUnavailable
from common.model.wal import ZERO, Lsn
from keeper.postgres.port import FinalPosition, PromotionOrder, Source, SyncSetting
from tests.sim.postgres import oracle
from tests.unit.sim.postgres.stage import BY_ITSELF, SPEC, World, name, tell, world

MEMBERS = ("one", "two", "three")
ROUNDS = 5


class Story:
    """A cluster that changes its primary again and again."""

    def __init__(self, made: World, chance: Random) -> None:
        self.made = made
        self.chance = chance
        self.primary = "one"
        self.term = 1
        self.timelines = [1]
        self.forks: dict[int, Lsn] = {}
        self.acknowledged: set[int] = set()
        self.rewound = 0
        self._number = 0

    async def write(self) -> None:
        """A client that writes until its server is gone."""
        try:
            session = await self.made.client(self.primary)
        except ConnectionError:
            return
        while not session.is_closed:
            self._number += 1
            number = self._number
            if await session.commit(number) == "acknowledged":
                self.acknowledged.add(number)

    def strike(self) -> None:
        host = self.made.host(self.primary)
        match self.chance.randrange(4):
            case 0:
                host.kill()
            case 1:
                host.kill_postmaster()
            case 2:
                host.crash()
                host.boot()
            case _:
                pass  # it goes on, and does not know that it is replaced

    async def fail_over(self) -> None:
        """Seal the standbys, promote the better one, have the others follow, the old primary at the last."""
        made, old = self.made, self.primary
        standbys = [uid for uid in MEMBERS if uid != old]
        finals = {uid: await made.keepers[uid].seal(10) for uid in standbys}
        new = max(standbys, key=lambda uid: finals[uid].lsn)
        self.term += 1
        timeline = self.timelines[-1] + self.chance.randint(1, 3)
        self.forks[timeline] = finals[new].lsn
        self.timelines.append(timeline)
        others = [uid for uid in MEMBERS if uid != new]
        members = SyncSetting(1, frozenset(name(uid, self.term) for uid in others))
        await made.keepers[new].keep_slots({name(uid, self.term): ZERO for uid in others}, drop_others=True)
        await made.keepers[new].promote(PromotionOrder(timeline, finals[new].lsn, members), 10)
        self.primary = new
        for uid in others:
            if uid != old:
                await made.keepers[uid].follow(self.source(uid), self.timelines, 10)
        await made.keepers[new].checkpoint(10)
        await made.keepers[old].stop("fast", 1)
        await made.start(old)
        await self.rejoin(old, await made.keepers[old].seal(10))

    def source(self, uid: str) -> Source:
        return Source(self.primary, 5432, name(uid, self.term))

    async def rejoin(self, uid: str, final: FinalPosition) -> None:
        """Follow, or be rewound first when there is WAL that the new history lacks."""
        keeper = self.made.keepers[uid]
        if final.lsn > self.forks[self.timelines[-1]]:
            self.rewound += 1
            await keeper.stop("fast", 10)
            await keeper.rewind(self.source(uid), "0000f00d", SPEC, timeline=self.timelines[-1], timeout_s=30)
            await self.made.start(uid, source=self.source(uid))
        else:
            await keeper.follow(self.source(uid), self.timelines, 10)

    async def has_settled(self) -> None:
        """All three hold the same, down to the records."""
        made = self.made
        end = await made.keepers[self.primary].confirm(
            [SyncSetting(2, frozenset(name(uid, self.term) for uid in MEMBERS if uid != self.primary))], 30
        )
        for uid in MEMBERS:
            assert oracle.common_prefix(made.data(self.primary), made.data(uid)) >= end, uid


def test_members_come_back_from_every_failover() -> None:
    """Followed or rewound, over gaps of timelines; each time all three end with the same records."""
    rewound = []

    async def story(seed: int) -> None:
        async with world(seed) as made:
            chance = Random(seed)
            told = Story(made, chance)
            for _ in range(ROUNDS):
                writers = [asyncio.create_task(told.write()) for _ in range(3)]
                await asyncio.sleep(0.2 * chance.random())
                told.strike()
                await asyncio.sleep(chance.choice((0.0, 0.5)))
                await told.fail_over()
                for task in writers:
                    task.cancel()

                assert told.acknowledged <= oracle.commit_ids(made.data(told.primary))

                await told.has_settled()
            rewound.append(told.rewound)

    tell(story, seeds=20)

    assert any(rewound)
    assert not all(count == ROUNDS for count in rewound)


def test_a_new_primary_without_its_standbys_acknowledges_nothing() -> None:
    """Promoted with a set of members that have not come back, it holds every commit until one has."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            told = Story(made, Random(seed))
            await made.keepers["one"].stop("fast", 10)
            await told.fail_over()
            for uid in MEMBERS:
                if uid != told.primary:
                    await made.keepers[uid].kill()
            waiting = await made.begin_commit(told.primary, 1)
            await asyncio.sleep(1)
            held = not waiting.done()
            back = next(uid for uid in MEMBERS if uid != told.primary)
            await made.start(back, source=told.source(back))

            assert held
            assert await asyncio.wait_for(waiting, 10) == "acknowledged"
            assert 1 in oracle.flushed_commit_ids(made.data(back))

    tell(story)


def test_a_start_that_fails_says_why_and_a_slow_one_takes_its_time() -> None:
    """As a keeper hears it: an error with the end of the log, or none yet."""

    async def story(seed: int) -> None:
        async with world(seed) as made:
            await made.keepers["one"].kill()
            made.host("one").start_fails = True
            message = ""
            try:
                await made.start("one", writable=BY_ITSELF)
            except PostgresUnavailable as error:
                message = str(error)
            made.host("one").start_fails = False
            made.host("one").start_takes_s = 30.0
            await made.keepers["one"].start(SPEC, writable=BY_ITSELF)
            slow = ""
            try:
                await made.keepers["one"].wait_until_accepting(5)
            except PostgresUnavailable as error:
                slow = str(error)
            await made.keepers["one"].wait_until_accepting(60)

            assert "ended while it started: FATAL" in message
            assert "takes no connection after 5 s" in slow

    tell(story, seeds=3)
