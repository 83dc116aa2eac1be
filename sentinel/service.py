"""The sentinel: keeps an image of the cluster, and, while it leads, writes the one next view.

Followers do all of it but the writing, so that the evidence (probes, since when a condition holds)
is there at the moment they take over.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import structlog

from common.errors import Conflict, InvariantViolated, LeaseExpired, StoreUnavailable, UnknownOutcome
from common.model.keys import Keys
from common.model.reasons import ReasonsDocument, worst_first
from common.model.reports import SentinelReport
from common.model.requests import RequestUpdate
from common.model.spec import ClusterSpec
from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.runtime.probe import PROBE_PERIOD_S
from common.status.documents import DocumentReader, Documents
from common.store.mirror import Mirror
from common.store.publisher import Publisher
from common.store.session import Session
from common.store.signal import Signal
from sentinel.decide.conditions import current_conditions, outlasts_gaps
from sentinel.decide.core import decide
from sentinel.decide.lease import remember_primary
from sentinel.decide.observed import Change, Decision, Observed, PrimarySeen
from sentinel.fencing.duty import FenceDuty
from sentinel.leadership import Leadership, LeaderWriter, read_leadership
from sentinel.prober import PrimaryProbe
from sentinel.services import around_postgresql, can_be_decided
from sentinel.standing import Standing
from sentinel.stopwatch import Holding, PhaseTimes

TICK_S = 0.5
"""How often a leader looks at durations while it counts one, or has just written."""

REST_TICK_S = 1.0
"""How often a leader looks when nothing happens and nothing is counted: only a change can matter then."""

RESTS_AFTER_S = 2.0
"""How long a leader must have written nothing before it rests."""

FOLLOWER_TICK_S = 1.0
"""How often a follower looks at all: often enough to know since when conditions hold."""

CAUGHT_UP_LIMIT_S = 2.0
"""How long a leader waits until its image contains its own last write."""

REASONS_AFTER_S = 0.5
"""How long nothing must have been written before reasons are."""

_log = structlog.get_logger()


class SentinelService:
    """One sentinel. All its parts are given to it; see :mod:`sentinel.main` for the real ones."""

    def __init__(
        self,
        *,
        uid: str,
        site: str,
        version: str,
        api_url: str,
        keys: Keys,
        clock: Clock,
        mirror: Mirror,
        session: Session,
        publisher: Publisher,
        writer: LeaderWriter,
        probe: PrimaryProbe,
        store_id: str,
        beat: Callable[[], None],
        fencing: FenceDuty | None = None,
        standing: Standing | None = None,
    ) -> None:
        self._uid = uid
        self._site = site
        self._version = version
        self._api_url = api_url
        self._keys = keys
        self._clock = clock
        self._mirror = mirror
        self._standing = standing or Standing(uid, keys, mirror, clock)
        self._session = session
        self._publisher = publisher
        self._writer = writer
        self._probe = probe
        self._store_id = store_id
        self._beat = beat
        self._fencing = fencing
        self._reader = DocumentReader(keys)
        self._holding = Holding(outlasts_gaps)
        self._phases = PhaseTimes()
        self._last_seen: PrimarySeen | None = None
        self._wake = Signal(clock)
        self._led = False
        self._said: ReasonsDocument | None = None
        self._last_written = 0
        self._refused: tuple[int, int] | None = None
        self._quiet_since = float("-inf")

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run, each for ever."""
        probing = self._probe.run(self._wake.notify)
        return (self._run(), self._watch_store(), probing, *self._standing.loops())

    async def _watch_store(self) -> None:
        while True:
            seen = self._mirror.version
            if not self._mirror.synced:
                self._holding.lose_sight()
            self._wake.notify()
            await self._mirror.wait_changed(60.0, since=seen)

    async def _run(self) -> None:
        while True:
            self._beat()
            seen = self._wake.version
            wrote = False
            try:
                if self._mirror.synced:
                    wrote = await self._pass()
            except Conflict as error:
                _log.info("write_refused", error=str(error))
                self._note_refused()
            except UnknownOutcome as error:
                _log.warning("write_outcome_unknown", error=str(error))
                await self._clock.sleep(PROBE_PERIOD_S)
            except StoreUnavailable as error:
                _log.warning("store_unreachable", error=str(error))
            if not wrote:
                await self._wait(seen)

    def _note_refused(self) -> None:
        """Doubt the image when a write is refused again, and the image knows no reason.

        A store that was restored while this sentinel was cut off may hold another past than its image.
        """
        tried = (self.leadership().token, self.documents().view_revision)
        if tried == self._refused:
            self._mirror.doubt()
        self._refused = tried

    async def _wait(self, seen: int) -> None:
        """A leader looks at every change; a follower only now and then, and when nobody leads any more."""
        limit = self._clock.monotonic() + self._tick_s()
        while (left_s := limit - self._clock.monotonic()) > 0:
            await self._wake.wait(left_s, since=seen)
            seen = self._wake.version
            leadership = self.leadership()
            if leadership.is_ours or not leadership.leader_uid:
                return

    def _tick_s(self) -> float:
        if not self._led:
            return FOLLOWER_TICK_S
        rests = self._clock.monotonic() - self._quiet_since > RESTS_AFTER_S
        return REST_TICK_S if rests and not self._holding.counts else TICK_S

    async def _pass(self) -> bool:
        """Look, decide, and write one change if this sentinel leads; return whether it wrote."""
        leadership = self.leadership()
        documents = self._reader.read(self._mirror.items)
        self._probe.aim(documents.view)
        self._publish(documents, leadership)
        if not leadership.leader_uid and self._session.lease_id is not None:
            await self._campaign(self._session.lease_id)
            return False
        self._note_leadership(leadership)
        if self._mirror.went_backwards:
            self._last_written = 0  # what was written last is not there any more
        if self._mirror.revision < self._last_written:
            return False
        decision = self._decide(documents)
        if not leadership.is_ours:
            return False
        self._fence(decision, documents)
        await self._write_reasons(decision, documents, leadership)
        if decision.change is not None:
            await self._write(decision.change, documents, leadership)
        elif decision.updates:
            await self._write_requests(decision.updates, documents, leadership)
        return decision.change is not None or bool(decision.updates)

    def _fence(self, decision: Decision, documents: Documents) -> None:
        """Have the fence agent at work that the decision asks for, beside the decisions to come."""
        if self._fencing is not None and documents.spec is not None:
            well = {uid for uid, report in documents.keepers.items() if not report.hanging}
            self._fencing.serve(
                decision.fence, documents.view, documents.spec, well=well, changed=self._wake.notify
            )

    def leadership(self) -> Leadership:
        """Who leads, by this sentinel's image."""
        return read_leadership(self._mirror.items, self._keys, uid=self._uid, lease_id=self._session.lease_id)

    def documents(self) -> Documents:
        """The cluster's documents, by this sentinel's image."""
        return self._reader.read(self._mirror.items)

    async def _campaign(self, lease_id: int) -> None:
        try:
            won = await self._writer.campaign(lease_id)
        except LeaseExpired:
            self._session.report_expired(lease_id)
            return
        if won:
            await self._writer.write_store_id(self._store_id)

    def _note_leadership(self, leadership: Leadership) -> None:
        if leadership.is_ours != self._led:
            self._led = leadership.is_ours
            self._said = None
            if self._fencing is not None and not self._led:
                self._fencing.give_up()
            _log.info(
                "leads" if self._led else "follows", leader=leadership.leader_uid, token=leadership.token
            )

    def _observe(self, documents: Documents, spec: ClusterSpec) -> Observed:
        """The cluster as one value, and for how long its conditions have held."""
        now = Observed(
            cluster=self._keys.cluster,
            spec=spec,
            view=documents.view,
            keepers=documents.keepers,
            reaches_primary=self._probe.reaches,
            fenced=self._fencing.done if self._fencing is not None else frozenset(),
            requests=documents.requests,
            now=self._clock.wall(),
        )
        self._last_seen = remember_primary(self._last_seen, now)
        held_s = self._holding.observe(current_conditions(now), self._clock.monotonic())
        return replace(now, held_s=held_s, last_seen=self._last_seen)

    def _decide(self, documents: Documents) -> Decision:
        """What to do, and every reason; nothing while what it must be decided from cannot be read."""
        around = around_postgresql(documents)
        instead = self._standing.judge(documents)
        if instead is not None:
            self._holding.lose_sight()
            return replace(instead, reasons=worst_first((*instead.reasons, *around)))
        if documents.spec is None or not can_be_decided(documents):
            self._holding.lose_sight()
            return Decision(None, worst_first(around))
        decision = decide(self._observe(documents, documents.spec))
        change, view = decision.change, documents.view
        if change is not None and view is not None:
            _check_growth(view, change.view)
        fencing = self._fencing.reasons if self._fencing is not None else ()
        return replace(decision, reasons=worst_first((*decision.reasons, *around, *fencing)))

    async def _write(self, change: Change, documents: Documents, leadership: Leadership) -> None:
        phases = self._phases.phases_ms(change.kind, self._clock.monotonic())
        self._last_written = await self._writer.write(
            change,
            token=leadership.token,
            view_revision=documents.view_revision,
            at=self._clock.wall(),
            phases_ms=phases,
        )
        self._standing.wrote(change.view)
        self._phases.mark(change.kind, self._clock.monotonic())
        _log.info(
            change.kind,
            generation=change.view.generation,
            term=change.view.term,
            text=change.text,
            reason=change.reason,
            **phases,
        )
        await self._until_image_has(self._last_written)

    async def _write_requests(
        self, updates: Sequence[RequestUpdate], documents: Documents, leadership: Leadership
    ) -> None:
        self._last_written = await self._writer.write_requests(
            updates, token=leadership.token, view_revision=documents.view_revision
        )
        for each in updates:
            if each.request is not None:
                request = each.request
                _log.info("request", id=each.id, kind=request.kind, state=request.state, text=request.result)
        await self._until_image_has(self._last_written)

    async def _until_image_has(self, revision: int) -> None:
        """Decide again only from an image that contains what was just written."""
        limit = self._clock.monotonic() + CAUGHT_UP_LIMIT_S
        while self._mirror.revision < revision and self._clock.monotonic() < limit:
            await self._mirror.wait_changed(0.1)

    async def _write_reasons(self, decision: Decision, documents: Documents, leadership: Leadership) -> None:
        """Reasons stand apart from the view, so that they make no generation.

        They are for people: written when they differ, but never in the way of the next step of a
        failover, so only once nothing has been written for a moment.
        """
        document = ReasonsDocument(
            term=documents.view.term if documents.view else 0, reasons=decision.reasons
        )
        now = self._clock.monotonic()
        if decision.change is not None:
            self._quiet_since = now
        if document == (self._said or documents.reasons) or now - self._quiet_since < REASONS_AFTER_S:
            return
        await self._writer.write_reasons(document, token=leadership.token)
        self._said, self._quiet_since = document, now
        for reason in document.reasons:
            _log.info("reason", code=reason.code, severity=reason.severity, text=reason.text)

    def report(self, documents: Documents, leadership: Leadership) -> SentinelReport:
        """What this sentinel says of itself now."""
        return SentinelReport(
            uid=self._uid,
            site=self._site,
            api_url=self._api_url,
            version=self._version,
            reported_at=self._clock.wall(),
            leader=leadership.is_ours,
            generation=documents.view.generation if documents.view else 0,
            reaches_primary=self._probe.reaches,
            store=self._standing.memory,
        )

    def _publish(self, documents: Documents, leadership: Leadership) -> None:
        report = self.report(documents, leadership)
        suspended = self._standing.memory.suspended
        acts_on = (report.leader, report.reaches_primary, report.api_url, suspended)
        self._publisher.offer(report.to_bytes(), acts_on=acts_on)


def _check_growth(view: ClusterView, following: ClusterView) -> None:
    """I1: generations grow by one, terms never fall."""
    if following.generation != view.generation + 1 or following.term < view.term:
        raise InvariantViolated(
            f"I1: generation {view.generation} term {view.term} would become "
            f"generation {following.generation} term {following.term}"
        )
