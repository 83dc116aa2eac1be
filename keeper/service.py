"""The keeper: observes, asks the plan, does the step, reports; for ever.

One loop owns the local state and takes one step at a time. Around it small loops only wake it: the
view changed, the postmaster ended, the upstream's answer changed, long work is done.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from common.errors import InvariantViolated, PostgresUnavailable, StoreUnavailable, UnsafeOperation
from common.model.attestation import Attestation
from common.model.keys import Keys
from common.model.reports import KeeperReport
from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.store.mirror import Mirror
from common.store.publisher import Publisher
from common.store.signal import Signal
from keeper import steps
from keeper.actions import Actions
from keeper.carry_out import carry_out
from keeper.contact import Contact
from keeper.documents import Documents
from keeper.duties import SyncDuties
from keeper.evidence import UpstreamProbe, target_of
from keeper.examiner import Examiner
from keeper.ground import Ground
from keeper.guarding import Guarding
from keeper.hooks.runner import Hooks
from keeper.local import Local
from keeper.pauses import FAILURES, Pauses
from keeper.plan import SETTLE_S, plan
from keeper.postgres.port import Postgres
from keeper.postmaster import PostmasterWatch
from keeper.readiness import Readiness
from keeper.room import RoomWatch
from keeper.sayings import Sayings
from keeper.standing import Standing
from keeper.supersede import Supersede
from keeper.switching import SwitchingDuties, tick_s
from keeper.upkeep import Positions, Upkeep
from keeper.vitals import Vitals
from keeper.work import Work

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
        store: Mirror,
        positions: Positions,
        publisher: Publisher,
        guarding: Guarding,
        postgres: Postgres,
        local: Local,
        actions: Actions,
        probe: UpstreamProbe,
        api_url: str,
        beat: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._standing = Standing(keys, view=view, spec=spec, store=store, local=local, actions=actions)
        self._positions = positions
        self._postgres = postgres
        self._local = local
        self._actions = actions
        self._probe = probe
        self._beat = beat
        self._wake = Signal(clock)
        self._pauses = Pauses()
        self._documents = Documents(keys, local.settings.uid)
        self._guarding = guarding
        self._sayings = Sayings(
            local=local,
            hooks=Hooks(local, clock, keys.cluster),
            clock=clock,
            documents=self._documents,
            pauses=self._pauses,
            probe=probe,
            publisher=publisher,
            api_url=api_url,
            lease_ttl_s=lambda: self._guarding.fence.ttl_s,
        )
        self._duties = SyncDuties(postgres, local, clock, self._wake.notify)
        self._switching = SwitchingDuties(postgres, local, clock, self._wake)
        self._upkeep = Upkeep(postgres, local, actions, clock)
        self._work = Work(
            postgres, local, actions, clock, done=self._work_done, publish=self._sayings.publish
        )
        self._ground = Ground(postgres, local, actions, clock, self._learn_what_is_left)
        self._contact = Contact(
            cluster=keys.cluster,
            postgres=postgres,
            local=local,
            clock=clock,
            view_mirror=view,
            view=lambda: self._documents.view or local.state.view,
            shows_view=lambda: self._standing.shows(self._documents),
        )
        self._vitals = Vitals(
            postgres,
            local,
            clock,
            hang_timeout_s=lambda: self._documents.spec.timings.hang_timeout_s,
            changed=self._tell,
            excuse=beat,
        )
        self._postmaster = PostmasterWatch(postgres, local, clock, ended=self._down_unasked)
        self._supersede = Supersede(
            postgres,
            local,
            clock,
            view=view,
            view_key=keys.view,
            believed=lambda: self._standing.believes,
            ended=self._down_unasked,
        )
        self.readiness = Readiness(local, self._documents, self._contact, self._guarding)
        self.examiner = Examiner(postgres, local, clock)
        self._room = RoomWatch(postgres, local, clock, changed=self._tell)
        self._phase: tuple[int, str] = (0, "")
        self._phase_since = 0.0
        self._observed_at = float("-inf")

    async def prepare(self) -> None:
        """Learn what is on disk and take over a PostgreSQL that runs already; touches nothing that runs."""
        await self._actions.learn_data()
        start_id = await self._postgres.adopt()
        if start_id is not None:
            self._local.postgres, self._local.start_id = "starting", start_id
            self._sayings.adopted(start_id)
        elif self._local.postgres == "down":
            await self._postgres.kill()  # a postmaster that was killed may have left backends behind
        await self._guarding.take_over()
        if self._local.start_id is not None:
            self._work.await_accepting()

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run, each for ever."""
        return (
            self._run(),
            self._postmaster.run(),
            self._ground.run(self._down_unasked),
            self._vitals.run(),
            self._supersede.run(),
            self._room.run(),
            *self._guarding.loops(self._down_unasked),
            *self._standing.loops(self._wake.notify),
            self._probe.run(self._wake.notify, lambda: None),
            *self._contact.loops(),
            *self._sayings.loops(self._tell),
        )

    @property
    def view(self) -> ClusterView | None:
        """The view that is obeyed."""
        return self._documents.view

    @property
    def kept_view(self) -> ClusterView | None:
        """The newest view obeyed, be it in an earlier life of this process."""
        return self._local.state.view

    @property
    def needs_its_lease(self) -> bool:
        """Whether PostgreSQL, which outlives this process, goes on under the lease: it is not given up."""
        return self._guarding.fence.is_guarding

    async def look_now(self) -> None:
        """Bring the figures up to date, for the API; raises PostgresUnavailable."""
        await self._observe()

    async def attestation(self, nonce: str) -> Attestation:
        """Prove that the primary here is still the only one: see :mod:`keeper.contact`."""
        return await self._contact.attestation(nonce)

    @property
    def replay_delay_s(self) -> float | None:
        """How old the last replayed commit is while WAL waits to be replayed; None on a primary."""
        seen = self._local.observation
        return seen.replay_delay_s if seen else None

    def report(self) -> KeeperReport:
        """What this keeper says of itself now."""
        return self._sayings.report()

    def _down_unasked(self) -> None:
        self._local.reasons.pop("step", None)
        self._tell()

    def _tell(self) -> None:
        """Report at once what other loops than the main one have found."""
        self._sayings.publish()
        self._wake.notify()

    # The loop.

    async def _run(self) -> None:
        while True:
            self._beat()
            seen = self._wake.version
            acted = await self._pass()
            self._sayings.publish()
            if not acted:
                await self._wake.wait(self._until_next_look_s(), since=seen)

    def _until_next_look_s(self) -> float:
        """A tick, or less when what waits for clients to settle is due before."""
        every_s = tick_s(self.view, self._local.settings.uid)
        unsettled_s = SETTLE_S - (self._clock.monotonic() - self._phase_since)
        return min(every_s, unsettled_s) if unsettled_s > 0 else every_s

    async def _pass(self) -> bool:
        """Take one step; return whether something was done, so that the next one follows at once."""
        start_id = self._local.start_id
        try:
            await self._take_documents()
            if await self._fenced():
                return True
            await self._observe()
            self._switching.look(self.view)
            step = self._standing.hold_back(plan(self.view, self._facts()))
            self._sayings.decided(step, self.view)
            acted = await self._do(step)
            if not acted:
                self._sayings.nothing_failed()
        except FAILURES as error:
            if self._local.start_id != start_id:
                return False  # PostgreSQL has ended meanwhile, which is a fact of its own
            self._sayings.failed("step", error)
            if isinstance(error, FileNotFoundError) and self._local.start_id is None:
                await self._learn_what_is_left()
            return False
        except InvariantViolated as error:
            _log.critical("invariant_violated", error=str(error))
            raise
        return acted

    async def _fenced(self) -> bool:
        """Stop a primary whose lease ends, or of which nothing proves any more that it is the only one."""
        if self._guarding.fence.is_overdue:
            await self._guarding.fence.stop_now()
            return True
        reason = self._contact.why_fence(self._local.state.fence_after_s)
        if reason is None:
            return False
        await self._duties.end()
        await self._actions.fence()
        self._local.reasons["fence"] = reason
        return True

    async def _learn_what_is_left(self) -> None:
        """Of a directory that somebody has removed nothing may be: it is then cloned as an empty one."""
        try:
            await self._actions.learn_data()
        except (PostgresUnavailable, StoreUnavailable, UnsafeOperation, OSError) as error:
            self._sayings.failed("step", error)

    def _facts(self) -> steps.Facts:
        now = self._clock.monotonic()
        return self._local.facts(
            self.view,
            phase_seen_s=now - self._phase_since,
            retry_in_s=self._pauses.left_s(now),
            restart_after_s=self._documents.spec.timings.restart_after_s,
            guarded=self._guarding.fence.is_guarding,
            sees_store=self._standing.sees_store,
        )

    async def _take_documents(self) -> None:
        is_another_view = await self._standing.take(self._documents)
        view = self._documents.view
        if view is None or not is_another_view:
            return
        if (view.term, view.phase) != self._phase:
            self._phase, self._phase_since = (view.term, view.phase), self._clock.monotonic()
            self._pauses.clear()
        self._probe.aim(target_of(view, self._local.settings.uid))
        await self._work.give_up_if_moved(view)

    async def _observe(self) -> None:
        """Look at a running PostgreSQL, once a tick, and at once when something was done."""
        local, now = self._local, self._clock.monotonic()
        if local.postgres != "running" or now - self._observed_at < tick_s(self.view, local.settings.uid) / 2:
            return
        start_id = local.start_id
        observation = await self._postgres.observe()
        if local.postgres == "running" and local.start_id == start_id:
            local.observed(observation)
            self._observed_at = now
            local.reasons.pop("observe", None)
            local.reasons.pop("fence", None)

    async def _do(self, step: steps.Step) -> bool:
        view = self.view
        if not isinstance(step, steps.Serve | steps.Guard):
            await self._duties.end()
            await self._switching.end()
        obeys = view is not None and self._guarding.may_obey(view, step)
        if view is not None and obeys and not isinstance(step, steps.Seal | steps.Promote):
            digest = self._documents.view_digest
            await self._actions.save(lambda kept: kept.obeying(view, digest))
        self._sayings.explain(step)
        if isinstance(step, steps.Wait) or view is None:
            if self._local.role == "standby" and view is not None:
                await self._upkeep.standby(view, self._documents.spec, self._positions)
            return False
        await self._guarding.see_to(view, step)
        if isinstance(step, steps.Serve):
            self._duties.serve(view)
            await self._switching.serve(view)
            settled = self._clock.monotonic() - self._phase_since >= SETTLE_S
            await self._upkeep.primary(view, self._documents.spec, settled=settled)
            return False
        if isinstance(step, steps.Clone | steps.Rewind):
            self._work.new_life(step, view, self._documents.spec, lambda: self.view)
            return False
        await carry_out(
            step,
            view,
            self._documents.spec,
            actions=self._actions,
            work=self._work,
            publish=self._sayings.publish,
        )
        self._observed_at = self._clock.monotonic()
        if not isinstance(step, steps.StartStandby | steps.StartWritable | steps.ShutDown):
            self._pauses.clear()
            self._local.reasons.pop("step", None)
        return True

    def _work_done(self, problem: Exception | None) -> None:
        if problem is not None:
            self._sayings.failed("step", problem)
        else:
            self._pauses.clear()
            self._local.reasons.pop("step", None)
        self._wake.notify()
