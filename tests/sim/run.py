"""One run: a cluster comes up, faults befall it, all is healed, and it must be well again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog

from tests.sim.attestations import Attestations
from tests.sim.faults import Faults
from tests.sim.invariants import Violation
from tests.sim.loop import Livelock, SimLoop, Stalled, simulate
from tests.sim.losses import Losses
from tests.sim.process import PROCESS
from tests.sim.promotions import Promotions
from tests.sim.scenario import SHARE_OF_FAULTS, Scenario
from tests.sim.trace import Trace
from tests.sim.world import World

BEGINS_WITHIN_S: Final = 40.0
WELL_WITHIN_S: Final = 90.0
"""How long it may take, once a core is healed, until a commit is acknowledged through each of its proxies."""
HELD_BACK_S: Final = {2: 10.0, 3: 30.0, 4: 120.0}
"""How much longer where the next failover for a primary that is down, or hangs, is held back for so long."""
STAYS_WELL_S: Final = 3.0
SETTLES_WITHIN_S: Final = 15.0
"""How long what is left dead at the end, such as etcd's leader, may still cost a primary its lease."""
SAFE_WITHIN_S: Final = 10.0
"""How long a route is waited for where only safety is asked for."""
LOOKS_EVERY_S: Final = 0.1

Canary = Callable[[], AbstractContextManager[Any]]
"""Plants a bug for the time of a run, by replacing an attribute of a module or class for example."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a run. ``digest`` names everything that happened, if it was followed."""

    scenario: Scenario
    violations: tuple[Violation, ...]
    seconds: float
    handles: int
    acknowledged: int
    attempts: int
    terms: int
    causes: int
    well_after_s: float
    checks: dict[str, int]
    digest: str = ""

    @property
    def is_good(self) -> bool:
        """Whether nothing was violated."""
        return not self.violations


def run(
    scenario: Scenario,
    *,
    canary: Canary | None = None,
    tell: Callable[[float, str], None] | None = None,
    follow: bool = False,
    safety_only: bool = False,
) -> Result:
    """Run a scenario to its end, or to its first violation.

    ``safety_only``: end once all is healed, without asking whether the cluster is well again (I8).
    """
    loop = SimLoop()
    trace = Trace(loop) if follow else None
    with (canary or nullcontext)(), _logs(loop, tell):
        result = simulate(_Run(scenario, loop, tell, safety_only=safety_only).whole(), loop)
    if trace is None:
        return result
    return Result(**{**{name: getattr(result, name) for name in result.__slots__}, "digest": trace.digest})


class _Run:
    def __init__(
        self,
        scenario: Scenario,
        loop: SimLoop,
        tell: Callable[[float, str], None] | None,
        *,
        safety_only: bool,
    ) -> None:
        self._scenario = scenario
        self._loop = loop
        self._tell = tell
        self._safety_only = safety_only
        self._well_after_s = -1.0
        self._world: World
        self._faults: Faults
        self._losses: Losses

    async def whole(self) -> Result:
        self._world = World(self._scenario, self._loop, self._tell)
        self._faults = Faults(self._world)
        self._losses = Losses(self._world)  # before Promotions: what it forgives is not asked for there
        Promotions(self._world)
        Attestations(self._world)
        story = asyncio.create_task(self._story())
        over = self._world.over
        try:
            await asyncio.wait({story, over}, return_when=asyncio.FIRST_COMPLETED)
            if story.done():
                story.result()
        except (Stalled, Livelock) as error:
            self._world.violated("I8", str(error))
        world = self._world
        return Result(
            scenario=self._scenario,
            violations=tuple(world.violations),
            seconds=self._loop.time(),
            handles=self._loop.handles_run,
            acknowledged=len(world.ledger.acknowledged),
            attempts=world.ledger.attempts,
            terms=world.invariants.terms_begun,
            causes=self._world.causes,
            well_after_s=self._well_after_s,
            checks=dict(world.invariants.checks),
        )

    async def _story(self) -> None:
        world, scenario = self._world, self._scenario
        if not await self._until(
            lambda: world.view is not None and world.view.route is not None, BEGINS_WITHIN_S
        ):
            world.violated("I8", f"no route within {BEGINS_WITHIN_S:g} s of the beginning")
            return
        began = self._loop.time()
        world.say("the cluster is up: faults begin")
        self._faults.schedule(scenario.faults)
        await asyncio.sleep(max(0.0, scenario.seconds * SHARE_OF_FAULTS - (self._loop.time() - began)))
        world.say("a core is healed")
        self._faults.end_all()
        proxies = world.heal()
        world.operators.go_on_call()
        if self._safety_only:
            await self._until(lambda: world.view is not None and world.view.route is not None, SAFE_WITHIN_S)
            world.invariants.at_end()
        else:
            await self._well_again(proxies)

    async def _well_again(self, proxies: tuple[str, ...], since: float | None = None) -> None:
        """I8: once a core is well there is a route within a bounded time, and it stays."""
        world, healed = self._world, self._loop.time() if since is None else since
        before = set(world.ledger.told)

        def is_well() -> bool:
            told = world.ledger.told
            through = {
                proxy
                for number, proxy in world.ledger.by_proxy.items()
                if told.get(number) == "acknowledged" and number not in before
            }
            if world.operators.is_called:
                return False
            return world.view is not None and world.view.route is not None and through >= set(proxies)

        limit_s = WELL_WITHIN_S + (HELD_BACK_S.get(world.view.damped, 0.0) if world.view else 0.0)
        if not await self._until(is_well, limit_s):
            view = world.view
            world.violated(
                "I8",
                f"{limit_s:g} s after all was healed no commit goes through each proxy left: "
                f"{view.phase if view else 'no view'}, route {view.route if view else None}",
            )
            return
        self._well_after_s = self._loop.time() - healed
        term = world.view.term if world.view else 0
        await asyncio.sleep(STAYS_WELL_S)
        if world.view is None or world.view.term != term:
            if self._loop.time() - healed > SETTLES_WITHIN_S:
                world.violated("I8", f"term {term} did not last although all was well")
            else:
                await self._well_again(proxies, healed)  # what was left out may have cost this primary
            return
        if world.invariants.terms_begun > self._world.causes:
            world.violated(
                "I8", f"{world.invariants.terms_begun} failovers, but only {self._world.causes} causes"
            )
        world.invariants.at_end()
        self._losses.at_end()

    async def _until(self, holds: Callable[[], bool], limit_s: float) -> bool:
        limit = self._loop.time() + limit_s
        while not holds():
            if self._loop.time() >= limit:
                return False
            await asyncio.sleep(LOOKS_EVERY_S)
        return True


@contextlib.contextmanager
def _logs(loop: SimLoop, tell: Callable[[float, str], None] | None) -> Iterator[None]:
    """Have the services' logs in the trace, or nowhere."""

    def note(_: Any, level: str, event: MutableMapping[str, Any]) -> Any:
        process = PROCESS.get()
        who = f"{process.host}/{process.name}" if process else "world"
        said = event.pop("event", "")
        rest = " ".join(f"{key}={value}" for key, value in event.items() if key != "exc_info")
        if "exc_info" in event:
            rest += f" {event['exc_info']!r}"
        if tell is not None:
            tell(loop.time(), f"{who}: {level} {said} {rest}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[note],
        wrapper_class=structlog.make_filtering_bound_logger(0) if tell else cast("Any", _Silent),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


class _Silent:
    """A logger that costs next to nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def bind(self, **_: Any) -> _Silent:
        return self

    new = bind

    def info(self, *_: Any, **__: Any) -> None:
        pass

    debug = warning = error = critical = exception = info
