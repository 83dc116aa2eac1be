"""The lease fence on a clock that stands still: what PostgreSQL may run by, and who ends it when."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import DeadmanUnavailable, StoreUnavailable
from keeper.deadman.fuse import Fuse
from keeper.lease_fence import NoDeadman
from tests.support.aio import run
from tests.support.lease_fence import TTL_S, Stage


def test_it_guards_once_the_deadman_has_its_deadline() -> None:
    """A sixth of the lease before its end for the deadman, a third for the keeper."""

    async def main() -> None:
        stage = Stage()
        async with stage.held():
            assert stage.fence.is_guarding
            assert stage.kills_at == TTL_S * 5 / 6
            await stage.clock.advance(TTL_S * 2 / 3 - 0.01)
            assert stage.stopped == []
            await stage.clock.advance(0.02)

            assert stage.stopped[0] == pytest.approx((TTL_S * 2 / 3, TTL_S / 6))
            assert len(stage.stopped) == 1
            assert not stage.fence.is_guarding

    run(main())


def test_each_confirmed_keepalive_moves_both_limits() -> None:
    """By the time at which it was sent."""

    async def main() -> None:
        stage = Stage()
        async with stage.held():
            for _ in range(10):
                await stage.clock.advance(2.0)
                stage.lease.confirm()
                await stage.clock.advance(0.0)

            assert stage.stopped == []
            assert stage.kills_at == 20.0 + TTL_S * 5 / 6

    run(main())


@pytest.mark.parametrize(
    "trouble", ["not published", "another lease", "a shorter one was reported", "no lease"]
)
def test_a_lease_counts_only_once_the_report_stands_under_it(trouble: str) -> None:
    """For it is the end of that key that sentinels see, and the length in the report that they wait."""

    async def main() -> None:
        stage = Stage()
        async with stage.held():
            if trouble == "no lease":
                stage.lease.lease_id = None
            else:
                stage.lease.lease_id = 2
            if trouble == "a shorter one was reported":
                stage.reported_ttl_s = TTL_S - 1
            elif trouble != "no lease":
                stage.published = False
            await stage.clock.advance(1.0)
            stage.lease.confirm()
            await stage.clock.advance(0.5)

            assert stage.kills_at == TTL_S * 5 / 6
            await stage.clock.advance(TTL_S)
            assert [at for at, _ in stage.stopped] == [pytest.approx(TTL_S * 2 / 3)]

    run(main())


def test_a_new_lease_counts_from_its_first_report() -> None:
    """A lease that was lost and taken anew in time ends nothing."""

    async def main() -> None:
        stage = Stage()
        async with stage.held():
            stage.published, stage.lease.lease_id = False, 2
            await stage.clock.advance(1.0)
            stage.lease.confirm()
            await stage.clock.advance(1.0)
            stage.published = True
            await stage.clock.advance(0.5)

            assert stage.kills_at == 1.0 + TTL_S * 5 / 6
            assert stage.stopped == []

    run(main())


def test_a_shorter_lease_is_reported_only_once_the_deadman_has_the_earlier_deadline() -> None:
    """Sentinels wait by what is reported: until then they must wait by the longer one."""

    async def main() -> None:
        stage = Stage()
        async with stage.held():
            stage.published, stage.lease.lease_id, stage.lease.granted_s = False, 2, 3.0
            stage.lease.confirm()
            before = stage.fence.ttl_s
            stage.published = True
            await stage.clock.advance(0.2)

            assert before == TTL_S
            assert stage.fence.ttl_s == 3.0
            assert stage.kills_at == pytest.approx(3.0 * 5 / 6)

    run(main())


def test_what_the_deadman_has_not_acknowledged_does_not_count() -> None:
    """It is gone: the keeper itself stops by the limits that it had, although the lease lives on."""

    async def main() -> None:
        stage = Stage()
        async with stage.held():
            stage.deadman.gone, stage.deadman.is_there = True, False
            for _ in range(6):
                await stage.clock.advance(1.0)
                stage.lease.confirm()
            await stage.clock.advance(0.0)

            assert [at for at, _ in stage.stopped] == [pytest.approx(TTL_S * 2 / 3)]

    run(main())


def test_a_deadman_that_is_gone_is_replaced_at_once() -> None:
    """Another one has the same deadline before anything ends."""

    async def main() -> None:
        stage = Stage()
        async with stage.held():
            stage.deadman.is_there, stage.deadman.fuse = False, Fuse()
            await stage.clock.advance(0.2)

            assert stage.deadman.fuse.state == "armed"
            assert stage.kills_at == TTL_S * 5 / 6
            assert stage.fence.is_guarding

    run(main())


def test_a_deadman_that_hangs_does_not_keep_the_keeper_from_stopping() -> None:
    """It is asked by one loop, and the end is watched by another."""

    async def main() -> None:
        stage = Stage()
        async with stage.held():
            stage.deadman.late_s = 60.0
            await stage.clock.advance(1.0)
            stage.lease.confirm()
            await stage.clock.advance(TTL_S)

            assert [at for at, _ in stage.stopped] == [pytest.approx(TTL_S * 2 / 3)]

    run(main())


def test_a_stop_that_fails_is_tried_again() -> None:
    """Until nothing is left; the deadman comes meanwhile."""

    async def main() -> None:
        stage = Stage(stop_fails=2)
        async with stage.held():
            await stage.clock.advance(TTL_S)

            assert len(stage.stopped) == 3
            assert not stage.fence.is_overdue

    run(main())


def test_without_a_lease_or_a_deadman_nothing_is_guarded() -> None:
    """The caller does not start, promote or apply then."""

    async def main() -> None:
        stage = Stage()
        alone = asyncio.create_task(stage.fence.hold())
        await stage.clock.advance(2.0)
        with pytest.raises(StoreUnavailable, match="need a lease"):
            await alone
        stage.lease.confirm()
        stage.deadman.gone = True
        with pytest.raises(DeadmanUnavailable):
            await stage.fence.hold()

        assert not stage.fence.is_guarding

    run(main())


def test_a_keeper_without_a_deadman_refuses() -> None:
    """As one that was put together for another purpose."""

    async def main() -> None:
        for call in (NoDeadman().ensure(), NoDeadman().arm(1.0, limit_s=2.0), NoDeadman().disarm()):
            with pytest.raises(DeadmanUnavailable):
                await call

    run(main())


def test_it_lets_go_only_when_told() -> None:
    """The deadman forgets its deadline, and the lease may end."""

    async def main() -> None:
        stage = Stage()
        async with stage.held():
            await stage.fence.release()
            await stage.clock.advance(2 * TTL_S)

            assert stage.stopped == []
            assert stage.deadman.fuse.state == "idle"
            assert not stage.fence.may_be_armed

    run(main())


def test_a_deadman_that_still_kills_is_not_let_go() -> None:
    """What starts then would be killed."""

    async def main() -> None:
        stage = Stage()
        async with stage.held():
            stage.deadman.fuse = Fuse("expired", stage.began, empty=False)
            with pytest.raises(DeadmanUnavailable):
                await stage.fence.release()

            assert stage.fence.may_be_armed

    run(main())


def test_what_an_earlier_life_armed_stays_until_this_ones_lease_moves_it() -> None:
    """A healthy primary goes on when the new lease comes in time, and ends when it does not."""

    async def main() -> None:
        for in_time in (True, False):
            stage = Stage()
            stage.deadman.left = True
            stage.deadman.fuse = Fuse("armed", stage.began + 2.0)
            guarded = await stage.fence.take_over()
            tasks = [asyncio.create_task(loop) for loop in stage.fence.loops()]
            await stage.clock.advance(1.0)
            if in_time:
                stage.lease.confirm()
            await stage.clock.advance(2.0)

            assert guarded
            assert (stage.kills_at, bool(stage.stopped)) == ((6.0, False) if in_time else (2.0, True))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run(main())


@pytest.mark.parametrize("fuse", [Fuse(), Fuse("expired", 1.0, empty=True)], ids=["idle", "expired"])
def test_a_deadman_that_was_left_without_a_deadline_guards_nothing(fuse: Fuse) -> None:
    """One that has fired must be told before anything starts in its directory."""

    async def main() -> None:
        stage = Stage()
        stage.deadman.left, stage.deadman.fuse = True, fuse

        assert not await stage.fence.take_over()
        assert stage.fence.may_be_armed == (fuse.state == "expired")
        await stage.fence.release()
        assert stage.deadman.fuse.state == "idle"

    run(main())


def test_where_none_was_left_none_is_started() -> None:
    """Only ``k = 0`` needs one."""

    async def main() -> None:
        stage = Stage()

        assert not await stage.fence.take_over()
        assert not stage.deadman.is_there

    run(main())
