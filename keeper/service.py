"""The keeper: observes, asks the plan, does the step, reports; for ever.

One loop owns the local state and takes one step at a time. Around it small loops only wake it: the
view changed, the postmaster ended, the upstream's answer changed, long work is done.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from common.errors import (
    InvalidSpec,
    InvariantViolated,
    PostgresUnavailable,
    StoreUnavailable,
    UnsafeOperation,
)
from common.model.keys import Keys
from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.store.mirror import Mirror
from common.store.publisher import Publisher
from common.store.signal import Signal
from keeper import steps
from keeper.actions import Actions
from keeper.documents import Documents
from keeper.duties import SyncDuties
from keeper.evidence import UpstreamProbe, target_of
from keeper.local import Local, what_observers_act_on
from keeper.pauses import Pauses
from keeper.plan import SETTLE_S, plan
from keeper.postgres.port import Postgres
from keeper.upkeep import Positions, Upkeep
from keeper.work import Work

TICK_S = 1.0
"""How often PostgreSQL is looked at when nothing happens."""

_log = structlog.get_logger()


class KeeperService:
    """One keeper. All its parts are given to it; see :mod:`keeper.main` for the real ones."""

    def __init__(
        self,
        *,
        keys: Keys,
        clock: Clock,
        view: Mirror,
        spec: Mirror,
        positions: Positions,
        publisher: Publisher,
        postgres: Postgres,
        local: Local,
        actions: Actions,
        probe: UpstreamProbe,
        api_url: str,
        beat: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._view_mirror = view
        self._spec_mirror = spec
        self._positions = positions
        self._publisher = publisher
        self._postgres = postgres
        self._local = local
        self._actions = actions
        self._probe = probe
        self._api_url = api_url
        self._beat = beat
        self._wake = Signal(clock)
        self._pauses = Pauses()
        self._duties = SyncDuties(postgres, local, clock, self._wake.notify)
        self._upkeep = Upkeep(postgres, local, actions, clock)
        self._work = Work(postgres, local, actions, clock, done=self._work_done, publish=self._publish)
        self._documents = Documents(keys, local.settings.uid)
        self._phase: tuple[int, str] = (0, "")
        self._phase_since = 0.0
        self._said: tuple[str, str] = ("", "")
        self._observed_at = float("-inf")

    async def prepare(self) -> None:
        """Learn what is on disk and take over a PostgreSQL that runs already; touches nothing that runs."""
        await self._actions.learn_data()
        start_id = await self._postgres.adopt()
        if start_id is not None:
            self._local.postgres = "starting"
            self._local.start_id = start_id
            _log.info("adopted", start_id=start_id)
            self._work.await_accepting()

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run, each for ever."""
        return (
            self._run(),
            self._watch_postmaster(),
            self._watch_store(self._view_mirror),
            self._watch_store(self._spec_mirror),
            self._view_mirror.run(),
            self._spec_mirror.run(),
            self._probe.run(self._wake.notify, lambda: None),
        )

    @property
    def view(self) -> ClusterView | None:
        """The view that is obeyed."""
        return self._documents.view

    async def look_now(self) -> None:
        """Bring the figures up to date, for the API; raises PostgresUnavailable."""
        await self._observe()

    @property
    def replay_delay_s(self) -> float | None:
        """How old the last replayed commit is while WAL waits to be replayed; None on a primary."""
        seen = self._local.observation
        return seen.replay_delay_s if seen else None

    def report(self) -> KeeperReport:
        """What this keeper says of itself now."""
        return self._local.report(self._clock.wall(), self._probe, self._api_url)

    # Waking.

    async def _watch_store(self, mirror: Mirror) -> None:
        while True:
            seen = mirror.version
            self._wake.notify()
            await mirror.wait_changed(60.0, since=seen)

    async def _watch_postmaster(self) -> None:
        """Report the end of PostgreSQL within milliseconds: once nothing of it is left."""
        while True:
            held = self._postgres.start_id
            if held is None:
                await self._clock.sleep(0.05)
                continue
            await self._postgres.wait_until_down()
            if self._local.postgres not in {"starting", "running"} or self._local.start_id != held:
                await self._clock.sleep(0.05)
                continue
            was = self._local.postgres
            killed = await self._postgres.kill()
            self._local.forget_start("failed" if was == "starting" else "down")
            self._local.reasons.pop("step", None)
            _log.warning("postgres_down", was=was, killed=killed.killed, silenced=list(killed.silenced))
            self._publish()
            self._wake.notify()

    # The loop.

    async def _run(self) -> None:
        while True:
            self._beat()
            seen = self._wake.version
            acted = await self._pass()
            self._publish()
            if not acted:
                await self._wake.wait(self._until_next_look_s(), since=seen)

    def _until_next_look_s(self) -> float:
        """A tick, or less when what waits for clients to settle is due before."""
        unsettled_s = SETTLE_S - (self._clock.monotonic() - self._phase_since)
        return min(TICK_S, unsettled_s) if unsettled_s > 0 else TICK_S

    async def _pass(self) -> bool:
        """Take one step; return whether something was done, so that the next one follows at once."""
        start_id = self._local.start_id
        try:
            await self._take_documents()
            await self._observe()
            step = plan(self.view, self._facts())
            self._say(step)
            acted = await self._do(step)
        except (PostgresUnavailable, StoreUnavailable, UnsafeOperation, InvalidSpec, OSError) as error:
            if self._local.start_id != start_id:
                return False  # PostgreSQL has ended meanwhile, which is a fact of its own
            self._failed("step", error)
            if isinstance(error, FileNotFoundError) and self._local.start_id is None:
                await self._learn_what_is_left()
            return False
        except InvariantViolated as error:
            _log.critical("invariant_violated", error=str(error))
            raise
        return acted

    async def _learn_what_is_left(self) -> None:
        """Of a directory that somebody has removed nothing may be: it is then cloned as an empty one."""
        try:
            await self._actions.learn_data()
        except (PostgresUnavailable, StoreUnavailable, UnsafeOperation, OSError) as error:
            self._failed("step", error)

    def _facts(self) -> steps.Facts:
        now = self._clock.monotonic()
        return self._local.facts(
            self.view,
            phase_seen_s=now - self._phase_since,
            retry_in_s=self._pauses.left_s(now),
            restart_after_s=self._documents.spec.timings.restart_after_s,
        )

    async def _take_documents(self) -> None:
        items = {**self._view_mirror.items, **self._spec_mirror.items}
        if not self._documents.take(items, self._local.state.generation):
            return
        view = self._documents.view
        if view is None:
            return
        if (view.term, view.phase) != self._phase:
            self._phase, self._phase_since = (view.term, view.phase), self._clock.monotonic()
            self._pauses.clear()
        self._probe.aim(target_of(view, self._local.settings.uid))
        await self._work.give_up_if_moved(view)

    async def _observe(self) -> None:
        """Look at a running PostgreSQL, once a tick, and at once when something was done."""
        local = self._local
        now = self._clock.monotonic()
        if local.postgres != "running" or now - self._observed_at < TICK_S / 2:
            return
        start_id = local.start_id
        observation = await self._postgres.observe()
        if local.postgres == "running" and local.start_id == start_id:
            local.observed(observation)
            self._observed_at = now
            local.reasons.pop("observe", None)

    async def _do(self, step: steps.Step) -> bool:
        view = self.view
        if not isinstance(step, steps.Serve):
            await self._duties.end()
        if view is not None and not isinstance(step, steps.Seal | steps.Promote):
            await self._actions.save(lambda kept: kept.obeying(view))
        self._explain(step)
        if isinstance(step, steps.Wait) or view is None:
            if self._local.role == "standby" and view is not None:
                await self._upkeep.standby(view, self._documents.spec, self._positions)
            return False
        if isinstance(step, steps.Serve):
            self._duties.serve(view)
            settled = self._clock.monotonic() - self._phase_since >= SETTLE_S
            await self._upkeep.primary(view, self._documents.spec, settled=settled)
            return False
        if isinstance(step, steps.Clone | steps.Rewind):
            self._work.new_life(step, view, self._documents.spec, lambda: self.view)
            return False
        await self._act(step, view)
        self._observed_at = self._clock.monotonic()
        if not isinstance(step, steps.StartStandby | steps.StartWritable):
            self._pauses.clear()
            self._local.reasons.pop("step", None)
        return True

    async def _act(self, step: steps.Step, view: ClusterView) -> None:
        """Carry out a step that ends soon; a start goes on in the background once it is spawned."""
        actions, spec = self._actions, self._documents.spec
        match step:
            case steps.Seal():
                await actions.seal(view)
            case steps.Promote(primary=named):
                await actions.promote(view, named, spec.timings.promote_timeout_s)
            case steps.ConfirmPromotion(primary=named):
                await actions.confirm_promotion(view, named)
            case steps.Follow(upstream=upstream):
                await actions.follow(view, upstream)
            case steps.Stop():
                await actions.stop()
            case steps.Initialize(term=term):
                self._local.postgres = "initializing"
                self._publish()
                await actions.initialize(term, spec)
            case steps.StartWritable():
                await actions.start_writable(view, spec)
                self._work.await_accepting()
            case steps.StartStandby(upstream=upstream):
                await actions.start_standby(upstream, spec)
                self._work.await_accepting()

    def _work_done(self, problem: Exception | None) -> None:
        if problem is not None:
            self._failed("step", problem)
        else:
            self._pauses.clear()
            self._local.reasons.pop("step", None)
        self._wake.notify()

    # Saying.

    def _failed(self, what: str, error: Exception) -> None:
        pause_s = self._pauses.failed(self._clock.monotonic())
        _log.warning("failed", what=what, error=str(error), retry_in_s=round(pause_s, 2))
        self._local.reasons[what] = Reason(
            code="keeper_step_failed",
            severity="warning",
            subject=self._local.settings.uid,
            text=f"{self._local.settings.uid}: {error}",
            fix=f"see the logs of the keeper and of PostgreSQL on {self._local.settings.uid}",
        )

    def _explain(self, step: steps.Step) -> None:
        """What the plan waits for is reported when a human should know it."""
        if isinstance(step, steps.Wait) and step.reason.severity != "info":
            self._local.reasons["plan"] = step.reason
        else:
            self._local.reasons.pop("plan", None)

    def _say(self, step: steps.Step) -> None:
        """One line per decision that changed something."""
        said = (type(step).__name__.lower(), step.reason.code if isinstance(step, steps.Wait) else "")
        if said == self._said:
            return
        self._said = said
        view = self.view
        text = step.reason.text if isinstance(step, steps.Wait) else ""
        _log.info(
            "plan",
            step=said[0],
            code=said[1],
            text=text,
            term=view.term if view else 0,
            generation=view.generation if view else 0,
        )

    def _publish(self) -> None:
        for name in ("spec", "view"):
            self._local.reasons.pop(name, None)
        self._local.reasons.update(self._documents.problems)
        report = self.report()
        self._publisher.offer(report.to_bytes(), acts_on=what_observers_act_on(report))
