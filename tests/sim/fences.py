"""Simulated fence agents: a board that cuts a host's power, sometimes late, sometimes with an error.

As with a real one the power may go although nobody waits for the answer any more: the order was on its way.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Final

from common.model.reasons import Reason
from common.model.spec import FenceSpec
from sentinel.fencing.fencer import FenceResult, Outcome

if TYPE_CHECKING:
    from tests.sim.world import World

AGENT: Final = "/usr/sbin/fence_sim"
FAILS: Final = 0.25
SLOWEST_S: Final = 3.0
OFF_FOR_S: Final = (3.0, 8.0)
"""How long until somebody has given the host its power back."""


class SimAgents:
    """The agents that one sentinel runs."""

    def __init__(self, world: World, chance: Random) -> None:
        self._world = world
        self._chance = chance

    async def fence(self, uid: str, spec: FenceSpec | None) -> FenceResult:
        """Switch a host off; success is said of one that has no power at that moment."""
        chance = self._chance
        if spec is None:
            return _result(uid, "not configured", "no agent is configured")
        acts_s, answers_s = sorted((SLOWEST_S * chance.random(), SLOWEST_S * chance.random()))
        fails = chance.random() < FAILS
        if not fails or chance.random() < 0.5:
            self._world.loop.world_after(acts_s, self._switch_off, uid)
        await asyncio.sleep(answers_s)
        if fails:
            return _result(uid, "failed", "the board answered with an error")
        if self._world.network.is_up(uid):
            return _result(uid, "failed", "it is on again")
        return _result(uid, "fenced", "its agent switched the host off and shows it off")

    def _switch_off(self, uid: str) -> None:
        world = self._world
        world.say(f"FENCED {uid}")
        if world.network.is_up(uid):
            world.causes += 1  # it may have become somebody whom it costs a term to lose
        world.crash_host(uid)
        least_s, most_s = OFF_FOR_S
        world.loop.world_after(least_s + (most_s - least_s) * self._chance.random(), world.boot_host, uid)


def _result(uid: str, outcome: Outcome, text: str) -> FenceResult:
    severity = "warning" if outcome == "failed" else "info"
    reason = Reason(code=f"fence_{outcome.replace(' ', '_')}", severity=severity, subject=uid, text=text)
    return FenceResult(outcome, reason, confirmed=outcome == "fenced")
