"""Since when it is proven that this primary is still the only one (protocol, section 7).

Two things prove it. A linearizable read of the store, as of the moment it was sent, if the view that it
returned names this life primary, or has given its term up and names nobody yet. Or an attestation: a record,
written by this primary, that ``k`` members of every sync set in force have flushed; those members had not
sealed when it was begun, so no failover can have completed by then. A set that this keeper has not seen yet
changes nothing: it can only be one more pending set, since ``current`` changes only after the primary's
own report, so that a failover needs a quorum of a set known here too. Hence the last view obeyed, kept on
disk, is enough to attest by, over a restart of the keeper as well.

With ``k = 0`` in force no standby need ever have sealed: there is no attestation.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import structlog

from common.errors import PostgresUnavailable, UnsafeOperation
from common.model.attestation import Attestation
from common.model.reasons import Reason
from common.model.reports import PostgresRole
from common.model.spec import ATTESTATION_PERIOD_S
from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.store.mirror import Mirror
from keeper.duties import setting_of
from keeper.local import Local
from keeper.postgres.port import Postgres

ATTEST_TIMEOUT_S: Final = 0.9
"""Less than a period, so that a proxy that asks once a second hears of a failure, too."""

REUSED_FOR_S: Final = 0.25
"""Many proxies ask at the same time; one record answers them all. Its age is told, so nothing is hidden."""

FRESH_FOR_S: Final = 2 * ATTESTATION_PERIOD_S
"""While the store was read so lately, nothing is attested unasked."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proven: this life is the only primary in ``term``, at the time ``since`` at least."""

    term: int
    incarnation: str
    since: float


def _is_last(view: ClusterView, incarnation: str) -> bool:
    """Whether a life is the last that was named: its term may be over, but then nobody has the next one."""
    last = view.primary or view.old_primary
    return last is not None and last.incarnation == incarnation


def why_not_attest(view: ClusterView | None, uid: str, incarnation: str | None, role: str | None) -> str:
    """Why this keeper cannot attest, in words; empty when it can try."""
    if view is None:
        return f"{uid} knows no view"
    named = view.primary
    if named is None or named.uid != uid or named.incarnation is None or named.incarnation != incarnation:
        return f"{uid} is not the primary of term {view.term}"
    if role != "primary":
        return f"PostgreSQL of {uid} does not run as a primary"
    if any(each.k == 0 for each in view.sync.in_force):
        return "commits wait for no standby: only the lease says who is primary"
    return ""


def why_fence(
    uid: str, role: PostgresRole | None, *, unproven_s: float, fence_after_s: float
) -> Reason | None:
    """Why this primary must stop itself now; None when it may go on, or is none.

    ``unproven_s``: for how long nothing has proven that it is the only one, in seconds.
    """
    if role != "primary" or unproven_s <= fence_after_s:
        return None
    return Reason(
        code="fenced_itself",
        severity="critical",
        subject=uid,
        text=f"{uid} stopped its PostgreSQL: for {unproven_s:.1f} s neither the store nor enough standbys "
        "have confirmed that it is still the primary",
        fix="bring the store back, or the standbys of its sync set; it then comes back by itself",
    )


class Contact:
    """Keeps the newest proof; start :meth:`run` as a task."""

    def __init__(
        self,
        *,
        cluster: str,
        postgres: Postgres,
        local: Local,
        clock: Clock,
        view_mirror: Mirror,
        view: Callable[[], ClusterView | None],
        shows_view: Callable[[], bool],
    ) -> None:
        """``view``: the one obeyed. ``shows_view``: whether the store shows just that one."""
        self._cluster = cluster
        self._postgres = postgres
        self._local = local
        self._clock = clock
        self._mirror = view_mirror
        self._view = view
        self._shows_view = shows_view
        self._one_at_a_time = asyncio.Lock()
        self._shown: Proof | None = None
        self._attested: Proof | None = None
        self._failed: tuple[float, PostgresUnavailable] | None = None
        self._began = clock.monotonic()
        self._said = ""

    @property
    def unproven_s(self) -> float:
        """For how long nothing has proven it, in seconds; a new process counts from its own start."""
        return self._clock.monotonic() - max(self._began, self._store_proof(), self._counts(self._attested))

    @property
    def proof_age_s(self) -> float:
        """How old the newest proof is, in seconds; infinite where there is none of this term and life."""
        return self._clock.monotonic() - max(self._store_proof(), self._counts(self._attested))

    def why_fence(self, fence_after_s: float) -> Reason | None:
        """Why this primary must stop itself now; see :func:`why_fence`."""
        local = self._local
        reason = why_fence(
            local.settings.uid, local.role, unproven_s=self.unproven_s, fence_after_s=fence_after_s
        )
        if reason is not None:
            _log.critical("fenced_itself", text=reason.text)
        return reason

    def _store_proof(self) -> float:
        """The last moment as of which the store showed a view that has nobody but this life as primary."""
        view, life = self._view(), self._local.state.life
        if view is not None and life is not None and self._shows_view() and _is_last(view, life.incarnation):
            self._shown = Proof(view.term, life.incarnation, self._mirror.fresh_since())
        return self._counts(self._shown)

    def _counts(self, proof: Proof | None) -> float:
        """Since when a proof holds, if it is of the present term and life."""
        view, life = self._view(), self._local.state.life
        if proof is None or view is None or life is None:
            return -math.inf
        return proof.since if (proof.term, proof.incarnation) == (view.term, life.incarnation) else -math.inf

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run, for ever."""
        return (self._run(),)

    async def _run(self) -> None:
        """Attest once a period while the store is out of reach."""
        while True:
            await self._clock.sleep(ATTESTATION_PERIOD_S)
            if self._local.role != "primary" or self._clock.monotonic() - self._store_proof() <= FRESH_FOR_S:
                continue
            try:
                await self._attest()
            except (PostgresUnavailable, UnsafeOperation) as error:
                self._say("cannot_attest", str(error))
            else:
                self._say("attests", "")

    def _say(self, event: str, error: str) -> None:
        if event != self._said:
            self._said = event
            _log.warning(event, error=error)

    async def attestation(self, nonce: str) -> Attestation:
        """Attest for somebody who asks.

        Raises UnsafeOperation when this keeper cannot by the protocol, PostgresUnavailable when too few
        standbys flushed the record in time.
        """
        proof = await self._attest()
        return Attestation(
            nonce=nonce,
            cluster=self._cluster,
            uid=self._local.settings.uid,
            incarnation=proof.incarnation,
            term=proof.term,
            age_s=self._clock.monotonic() - proof.since,
        )

    async def _attest(self) -> Proof:
        """Have a record flushed by ``k`` members of every set in force; the proof counts from before it.

        Who asks meanwhile waits, and takes a failure that began later as his own: nobody queues for long.
        """
        asked = self._clock.monotonic()
        async with self._one_at_a_time:
            view, life = self._view(), self._local.state.life
            why_not = why_not_attest(
                view, self._local.settings.uid, life.incarnation if life else None, self._local.role
            )
            if why_not or view is None or life is None:
                raise UnsafeOperation(why_not)
            last = self._attested
            same = last is not None and (last.term, last.incarnation) == (view.term, life.incarnation)
            if last is not None and same and last.since >= asked - REUSED_FOR_S:
                return last
            if self._failed is not None and self._failed[0] >= asked:
                raise self._failed[1]
            since = self._clock.monotonic()
            sets = [setting_of(each, view.term) for each in view.sync.in_force]
            try:
                await self._postgres.confirm(sets, ATTEST_TIMEOUT_S)
            except PostgresUnavailable as error:
                self._failed = since, error
                raise
            self._attested = Proof(view.term, life.incarnation, since)
            return self._attested
