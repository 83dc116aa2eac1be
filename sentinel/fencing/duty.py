"""The leader's fence agents at work, beside its decisions: begun when wanted, repeated while they fail.

What a decision learns of it is a value: whom an agent has switched off, in which term. Nobody is switched off
on behalf of a leader that has been deposed, nor once the view names that very member primary again: the run
is ended then, and what it may have done already is found out like any other failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final, Protocol

import structlog

from common.model.reasons import Reason
from common.model.spec import ClusterSpec, FenceSpec
from common.model.view import ClusterView, Fenced
from common.runtime.clock import Clock
from sentinel.fencing.fencer import FenceResult

RETRY_AFTER_S: Final = 5.0
"""Between the end of a run that failed and the next one, while it is still wanted."""

_log = structlog.get_logger()


class Agents(Protocol):
    """What can switch a member off; :class:`sentinel.fencing.fencer.Fencer` does it with real agents."""

    async def fence(self, uid: str, spec: FenceSpec | None) -> FenceResult:
        """Switch it off within the spec's time limit; never raises for what an agent does."""


class FenceDuty:
    """At most one run at a time: there is one old primary."""

    def __init__(self, agents: Agents, clock: Clock) -> None:
        self._agents = agents
        self._clock = clock
        self._run: asyncio.Task[None] | None = None
        self._for: Fenced | None = None
        self._not_before = float("-inf")
        self.done: frozenset[Fenced] = frozenset()
        self.reasons: tuple[Reason, ...] = ()

    def serve(
        self,
        wish: Fenced | None,
        view: ClusterView | None,
        spec: ClusterSpec,
        *,
        well: Collection[str],
        changed: Callable[[], None],
    ) -> None:
        """Have the run that is wanted now; ``changed`` is called when there is a result.

        ``well`` are the members whose keepers live: what came of switching them off matters no more.
        """
        self._forget_older(view.term if view else 0)
        if wish is None and self._for is not None and self._for.uid in well and not self._is_running():
            self.reasons = ()
        named = view.primary if view is not None else None
        if self._for is not None and named is not None and named.uid == self._for.uid:
            self.give_up()
        if wish is None or wish in self.done or self._is_running():
            return
        if self._for == wish and self._clock.monotonic() < self._not_before:
            return
        self._for = wish
        self.reasons = (_under_way(wish.uid),)
        fence = spec.member(wish.uid).fence
        self._run = asyncio.create_task(self._fence(wish, fence, changed), name=f"fence {wish.uid}")

    def give_up(self) -> None:
        """End what runs: this sentinel does not lead any more, or the member is primary again."""
        if self._is_running() and self._run is not None:
            self._run.cancel()
            _log.warning("fencing_given_up", member=self._for.uid if self._for else "")
        self._run = self._for = None
        self.reasons = ()

    def _is_running(self) -> bool:
        return self._run is not None and not self._run.done()

    def _forget_older(self, term: int) -> None:
        self.done = frozenset(each for each in self.done if each.term == term)
        if self._for is not None and self._for.term != term and not self._is_running():
            self._for, self.reasons = None, ()

    async def _fence(self, wish: Fenced, spec: FenceSpec | None, changed: Callable[[], None]) -> None:
        result = await self._agents.fence(wish.uid, spec)
        self.reasons = (result.reason,)
        if result.outcome == "fenced":
            self.done |= {wish}
        else:
            self._not_before = self._clock.monotonic() + RETRY_AFTER_S
        changed()


def _under_way(uid: str) -> Reason:
    return Reason(
        code="fencing", severity="warning", subject=uid, text=f"the fence agent of {uid} is switching it off"
    )
