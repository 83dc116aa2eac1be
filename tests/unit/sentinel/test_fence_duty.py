"""Fence agents beside the leader's decisions: when one begins, begins again, and is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from common.model.reasons import Reason
from common.model.spec import ClusterSpec, FenceSpec
from common.model.view import ClusterView, Fenced
from sentinel.fencing.duty import FenceDuty
from sentinel.fencing.fencer import FenceResult, Outcome
from tests.support.aio import run
from tests.support.builders import SANDUN_1, promoting_view, running_view, sealing_view
from tests.support.clock import ManualClock
from tests.support.healthy import TERM

SPEC = ClusterSpec.from_plain({"members": [{"uid": SANDUN_1, "fence": {"agent": "/usr/sbin/fence_ipmilan"}}]})
WISH = Fenced(SANDUN_1, TERM + 1)


class Agents:
    """Takes three seconds for each run; ``outcomes`` are what comes of them."""

    def __init__(self, clock: ManualClock, *outcomes: Outcome) -> None:
        self.clock = clock
        self.outcomes = list(outcomes)
        self.begun: list[str] = []
        self.ended_early = 0

    async def fence(self, uid: str, spec: FenceSpec | None) -> FenceResult:
        assert spec is not None
        self.begun.append(uid)
        try:
            await self.clock.sleep(3)
        except asyncio.CancelledError:
            self.ended_early += 1
            raise
        outcome = self.outcomes.pop(0)
        code = "fenced" if outcome == "fenced" else "fence_failed"
        return FenceResult(outcome, Reason(code=code, severity="info", subject=uid, text=outcome))


class Leader:
    """Wants what the test says, each half second."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.clock = ManualClock()
        self.agents = Agents(self.clock, *outcomes)
        self.duty = FenceDuty(self.agents, self.clock)
        self.results = 0

    def _changed(self) -> None:
        self.results += 1

    async def goes_on(
        self, seconds: float, wish: Fenced | None, view: ClusterView | None = None, *well: str
    ) -> None:
        for _ in range(int(seconds * 2)):
            self.duty.serve(wish, view or sealing_view(), SPEC, well=well, changed=self._changed)
            await self.clock.advance(0.5)

    @property
    def codes(self) -> list[str]:
        return [reason.code for reason in self.duty.reasons]


def story(
    *outcomes: Outcome,
) -> Callable[[Callable[[Leader], Coroutine[Any, Any, None]]], Callable[[], None]]:
    """Make a test of a coroutine that takes a leader whose agent has these outcomes."""

    def make(tell: Callable[[Leader], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        def test() -> None:
            async def main() -> None:
                await tell(Leader(*outcomes))

            run(main())

        test.__doc__ = tell.__doc__
        return test

    return make


@story("fenced")
async def test_success_is_told_once_and_the_agent_rests(leader: Leader) -> None:
    """However often it is still wanted, until the view has it."""
    await leader.goes_on(2, WISH)
    under_way = leader.codes
    await leader.goes_on(8, WISH)

    assert under_way == ["fencing"]
    assert leader.agents.begun == [SANDUN_1]
    assert leader.duty.done == {WISH}
    assert leader.codes == ["fenced"]
    assert leader.results == 1


@story("failed", "timed out", "fenced")
async def test_a_run_that_failed_is_repeated_after_a_pause(leader: Leader) -> None:
    """While it is still wanted; the reason says what failed."""
    await leader.goes_on(4, WISH)
    failed = leader.codes
    begun = len(leader.agents.begun)
    await leader.goes_on(30, WISH)

    assert failed == ["fence_failed"]
    assert begun == 1
    assert len(leader.agents.begun) == 3
    assert leader.duty.done == {WISH}


@story("failed")
async def test_a_failure_is_told_until_its_member_is_back(leader: Leader) -> None:
    """Then nobody needs to switch it off by hand any more."""
    await leader.goes_on(4, WISH)
    other = promoting_view(term=TERM + 1, primary=running_view().primary.changed(uid="shiqiao-1"))  # type: ignore[union-attr]
    await leader.goes_on(10, None, other)
    before = leader.codes
    await leader.goes_on(1, None, other, SANDUN_1)

    assert before == ["fence_failed"]
    assert leader.codes == []


@story("fenced")
async def test_a_run_goes_on_when_the_failover_was_faster(leader: Leader) -> None:
    """Its result still counts in the term."""
    await leader.goes_on(1, WISH)
    other = promoting_view(term=TERM + 1, primary=running_view().primary.changed(uid="shiqiao-1"))  # type: ignore[union-attr]
    await leader.goes_on(4, None, other)

    assert leader.duty.done == {WISH}


@story("fenced")
async def test_a_member_that_is_primary_again_is_spared(leader: Leader) -> None:
    """The run is ended at once."""
    await leader.goes_on(1, WISH)
    await leader.goes_on(5, None, promoting_view(term=TERM + 1))

    assert leader.agents.ended_early == 1
    assert leader.duty.done == frozenset()
    assert leader.codes == []


@story("fenced")
async def test_a_deposed_leader_ends_its_run(leader: Leader) -> None:
    """Its successor begins one of its own."""
    await leader.goes_on(1, WISH)
    leader.duty.give_up()
    await leader.clock.advance(5)

    assert leader.agents.ended_early == 1
    assert leader.duty.done == frozenset()


@story("fenced", "fenced")
async def test_what_was_done_in_one_term_is_forgotten_in_the_next(leader: Leader) -> None:
    """The host may be on again by then."""
    await leader.goes_on(5, WISH)
    later = sealing_view(term=TERM + 2)
    await leader.goes_on(1, None, later)
    forgotten = leader.duty.done
    await leader.goes_on(5, Fenced(SANDUN_1, TERM + 2), later)

    assert forgotten == frozenset()
    assert len(leader.agents.begun) == 2
    assert leader.duty.done == {Fenced(SANDUN_1, TERM + 2)}
