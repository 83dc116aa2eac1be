"""The proxy: obeys the view, and says what it serves.

It reads two keys, the view and the spec. The order of effects when the view changes: what may not stay is
cut and where clients go is changed in one step, without waiting for anything; the report follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, Generic, Protocol, TypeVar

import structlog

from common.errors import InvalidDocument
from common.model.base import Document
from common.model.identity import Verdict, digest_of
from common.model.keys import Keys
from common.model.reasons import Reason, worst_first
from common.model.reports import ProxyReport
from common.model.spec import ClusterSpec, Timings
from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.store.guard import StoreGuard
from common.store.mirror import Mirror
from common.store.port import KeyValue
from common.store.publisher import KeyHeld, Publisher
from common.store.signal import Signal
from proxy.admission import ParkLimits
from proxy.kept import KeptView
from proxy.listener import Figures
from proxy.proof import Attestor, RouteProof
from proxy.route import Decision, Seen, decide

LOOK_EVERY_S: Final = 1.0
"""How often figures and reasons of the data path are looked at."""

AT_REST_EVERY_S: Final = 30.0
"""How often a report in which nothing has changed is put again, so that its age tells something."""

UID_TAKEN_PAUSE_S: Final = 1.0

GUARD_PAUSE_S: Final = 0.05
"""How exactly the end of the last proof is met."""

WAIT_S: Final = 60.0
"""Nothing is late when nothing changes: a wait ends with the change that it waits for."""

D = TypeVar("D", bound=Document)

_log = structlog.get_logger()


class Traffic(Protocol):
    """The data path, as the service sees it; see :class:`proxy.listener.Listener`."""

    def apply(self, decision: Decision) -> None:
        """Obey a decision, at once."""

    def set_limits(self, limits: ParkLimits) -> None:
        """Park by other limits."""

    def settle(self) -> None:
        """Forget troubles that are over; called once a second."""

    @property
    def figures(self) -> Figures:
        """The numbers of this moment."""

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What keeps clients from the server of the route."""


class ProxyService:
    """One proxy. All its parts are given to it; see :mod:`proxy.main` for the real ones."""

    def __init__(
        self,
        *,
        identity: ProxyReport,
        keys: Keys,
        clock: Clock,
        view: Mirror,
        spec: Mirror,
        store: Mirror,
        publisher: Publisher,
        traffic: Traffic,
        attestor: Attestor,
        new_nonce: Callable[[], str],
        kept: KeptView,
        beat: Callable[[], None],
    ) -> None:
        """Put together; ``identity`` is a report with what never changes."""
        self._identity = identity
        self._keys = keys
        self._clock = clock
        self._view = view
        self._spec = spec
        self._guard = StoreGuard(keys, view=view, store=store)
        self._publisher = publisher
        self._traffic = traffic
        self._beat = beat
        self._wake = Signal(clock)
        self._read_view = Reader(ClusterView).read
        self._read_spec = Reader(ClusterSpec).read
        self._uid_taken = False
        self._reported: ProxyReport | None = None
        self._reported_at = 0.0
        self._kept = kept
        self._timeout_s = Timings().proxy_timeout_s
        self._shown: tuple[ClusterView | None, float] = (None, -math.inf)
        self._proof = RouteProof(
            cluster=keys.cluster,
            clock=clock,
            attestor=attestor,
            new_nonce=new_nonce,
            store_proof=self._store_proof,
            route=lambda: self.decision.obeyed.route if self.decision.obeyed else None,
            changed=self._obey,
        )
        self.decision = decide(kept.view, Seen(unproven_s=math.inf, limit_s=self._timeout_s))

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run, each for ever."""
        return (
            self._view.run(),
            self._spec.run(),
            *self._guard.loops(),
            self._follow_view(),
            self._follow_store(),
            self._follow_spec(),
            self._look(),
            self._publish(),
            self._let_go_in_time(),
            *self._proof.loops(),
            *self._kept.loops(),
        )

    def _store_proof(self) -> float:
        """The last moment as of which the store showed the view that is obeyed."""
        obeyed = self.decision.obeyed
        shown, _ = self._read_view(self._view.items.get(self._keys.view))
        verdict = self._guard.look(self._kept.memory)
        if obeyed is not None and shown == obeyed and verdict is not None and not verdict.problems:
            self._shown = (obeyed, self._view.fresh_since())
        proven, since = self._shown
        return since if proven is obeyed else -math.inf

    async def _let_go_in_time(self) -> None:
        """Serve nothing once the last proof is older than ``proxy_timeout`` (I5)."""
        while True:
            left_s = self._timeout_s - self._proof.unproven_s
            if left_s < 0 and not self.decision.cuts_all and self.decision.obeyed is not None:
                self._obey()
            await self._clock.sleep(
                min(max(left_s, GUARD_PAUSE_S), LOOK_EVERY_S) if left_s >= 0 else LOOK_EVERY_S
            )

    async def _follow_view(self) -> None:
        while True:
            seen = self._view.version
            self._obey()
            await self._view.wait_changed(WAIT_S, since=seen)

    async def _follow_store(self) -> None:
        while True:
            seen = self._guard.version
            self._obey()
            await self._guard.wait_changed(WAIT_S, since=seen)

    def _seen(self, verdict: Verdict | None) -> Seen:
        """What the store shows; nothing as long as it is not known which store it is."""
        if verdict is None:
            return Seen(uid=self._identity.uid, suspended=self._kept.memory.suspended)
        view, malformed = self._read_view(self._view.items.get(self._keys.view))
        return Seen(
            view=view,
            in_contact=self._view.synced,
            malformed=malformed,
            uid=self._identity.uid,
            suspended=verdict.problems,
            accepted=verdict.accepted,
        )

    def _obey(self) -> None:
        """Decide from what the store shows now, and carry it out."""
        verdict = self._guard.look(self._kept.memory)
        seen = self._seen(verdict)
        before = self.decision
        self.decision = decide(before.obeyed, seen)
        if (unproven_s := self._proof.unproven_s) > self._timeout_s:  # of the view that is obeyed by now
            self.decision = decide(
                before.obeyed, replace(seen, unproven_s=unproven_s, limit_s=self._timeout_s)
            )
        self._traffic.apply(self.decision)
        self._keep(verdict)
        self._log_change(before)
        self._wake.notify()

    def _keep(self, verdict: Verdict | None) -> None:
        """Remember which store this is, and the view if that is the one obeyed."""
        memory, obeyed = verdict.memory if verdict else self._kept.memory, self.decision.obeyed
        item = self._view.items.get(self._keys.view)
        if verdict is not None and not verdict.problems and obeyed is not None and item is not None:
            shown, _ = self._read_view(item)
            if shown == obeyed and memory.generation != obeyed.generation:
                memory = memory.obeyed(obeyed.generation, obeyed.term, digest_of(item.value))
        self._kept.offer(obeyed, memory)

    def _log_change(self, before: Decision) -> None:
        decision = self.decision
        if (decision.target, decision.parked_because) != (before.target, before.parked_because):
            _log.info(
                "serves" if decision.target else "parks",
                route=str(decision.target or ""),
                because=decision.parked_because,
                term=decision.term,
                generation=decision.generation,
            )
        for reason in set(decision.reasons) - set(before.reasons):
            _log.warning("reason", code=reason.code, severity=reason.severity, text=reason.text)

    async def _follow_spec(self) -> None:
        while True:
            seen = self._spec.version
            spec, _ = self._read_spec(self._spec.items.get(self._keys.spec))
            if spec is not None:
                self._timeout_s = spec.timings.proxy_timeout_s
                self._traffic.set_limits(ParkLimits(spec.timings.park_limit, spec.timings.park_timeout_s))
            await self._spec.wait_changed(WAIT_S, since=seen)

    async def _look(self) -> None:
        """Look at the data path now and then, and report."""
        while True:
            self._beat()
            seen = self._wake.version
            self._offer(self.report())
            await self._wake.wait(LOOK_EVERY_S, since=seen)
            self._traffic.settle()

    def report(self) -> ProxyReport:
        """What this proxy serves now."""
        decision, figures = self.decision, self._traffic.figures
        return self._identity.changed(
            reported_at=self._clock.wall(),
            generation=decision.generation,
            term=decision.target.term if decision.target else 0,
            route=decision.target.uid if decision.target else "",
            sessions=figures.sessions,
            parked=figures.parked,
            store=self._kept.memory,
            reasons=worst_first((*decision.reasons, *self._traffic.reasons)),
        )

    def status(self) -> dict[str, Any]:
        """What the API says: the report as it is now, and what stands in no report."""
        figures = self._traffic.figures
        return {
            **self.report().model_dump(mode="json"),
            "parked_because": self.decision.parked_because,
            "refused": figures.refused,
            "failed_dials": figures.failed_dials,
            "store": {
                "in_contact": self._view.synced,
                "fresh_s": self._age_s(self._view.fresh_since()),
                "proven_s": self._age_s(self._proof.since),
                "published": self._publisher.is_published,
                "uid_taken": self._uid_taken and not self._publisher.is_published,
            },
        }

    def _age_s(self, since: float) -> float | None:
        return round(self._clock.monotonic() - since, 3) if math.isfinite(since) else None

    def _offer(self, report: ProxyReport) -> None:
        """Offer a report that says something new, or that is due."""
        last, now = self._reported, self._clock.monotonic()
        says_nothing_new = last is not None and report.changed(reported_at=last.reported_at) == last
        if says_nothing_new and now - self._reported_at < AT_REST_EVERY_S:
            return
        self._reported, self._reported_at = report, now
        codes = frozenset((reason.code, reason.subject) for reason in report.reasons)
        self._publisher.offer(
            report.to_bytes(),
            acts_on=(report.route, report.term, report.generation, self._kept.memory.suspended, codes),
        )

    async def _publish(self) -> None:
        """Publish for ever; clients are served also while another process has the uid.

        It may be this proxy's earlier life, which is gone when its lease ends.
        """
        while True:
            try:
                await self._publisher.run()
            except KeyHeld as error:
                if not self._uid_taken:
                    _log.warning("uid_taken", error=str(error))
                self._uid_taken = True
                await self._clock.sleep(UID_TAKEN_PAUSE_S)


class Reader(Generic[D]):
    """Reads one document, anew only when it was written anew."""

    def __init__(self, kind: type[D]) -> None:
        self._kind = kind
        self._revision = 0
        self._found: tuple[D | None, str] = (None, "")

    def read(self, item: KeyValue | None) -> tuple[D | None, str]:
        """Return the document, or None and what is wrong with it, empty for an absent one."""
        if item is None:
            self._revision, self._found = 0, (None, "")
        elif item.mod_revision != self._revision:
            self._revision = item.mod_revision
            try:
                self._found = (self._kind.from_bytes(item.value), "")
            except InvalidDocument as error:
                self._found = (None, str(error))
        return self._found
