"""One exercise after the other: traffic, a fault, repair, full health, and the account of it all."""

from __future__ import annotations

import contextlib
from typing import Final

from common.errors import PghaError
from common.model.requests import Request, Restart
from common.runtime.clock import Clock
from common.status.documents import Documents
from pgha.demo.accounting import Outcome, lost_rows, named_at_s, phases, traffic
from pgha.demo.cluster import DemoCluster
from pgha.demo.faults import FAULTS, Fault
from pgha.demo.health import why_not_healthy
from pgha.demo.history import HistoryFile
from pgha.demo.straggler import Straggler
from pgha.demo.workload import Workload

LOAD: Final = 16
"""Writers beside the ordinary ones, where an exercise is about what clients notice of an orderly change."""
BEFORE_S: Final = 2.0
"""Traffic before the fault."""
AFTER_S: Final = 1.0
"""Traffic after everything is well again."""
QUIET_S: Final = 6.0
"""Where no failover may follow, it is given this long to follow all the same: two leases."""
HEALTH_LIMIT_S: Final = 120.0


class NotWell(PghaError):
    """The cluster did not become entirely well again in time."""


class Exercises:
    """Runs exercises on a demo cluster that is well."""

    def __init__(
        self, cluster: DemoCluster, workload: Workload, clock: Clock, history: HistoryFile | None = None
    ) -> None:
        self._cluster = cluster
        self._workload = workload
        self._clock = clock
        self._history = history
        self._reported_lost: set[int] = set()

    async def run(self, name: str) -> Outcome:
        """Run one exercise.

        Raises NotWell when the cluster does not recover entirely, or does not do what it is asked for.
        """
        documents = self._cluster.documents
        before, term_before = _primary_and_term(documents)
        fault = FAULTS[name](documents, self._cluster.layout)
        straggler = self._straggler(fault)
        load = LOAD if fault.asks is not None else 0
        starts, took_s = _starts(documents), None
        async with self._workload.running(load) as statements, contextlib.AsyncExitStack() as beside:
            if straggler is not None:
                await beside.enter_async_context(straggler.running())
            await self._clock.sleep(BEFORE_S)
            if straggler is not None and not straggler.acked_s:
                raise NotWell(f"{before} acknowledged nothing to a client of its own address")
            self._cluster.tell(f"{name}: {fault.text}")
            if fault.asks is not None:
                fault_s = self._clock.monotonic()
                await self._until_done(await self._cluster.ask(fault.asks))
                took_s = self._clock.monotonic() - fault_s
            else:
                fault_s = await self._cluster.strike(fault)
                await self._repair(fault)
            await self._until_well(fault, fault_s, term_before)
            await self._clock.sleep(AFTER_S)
        if self._history is not None:
            self._history.wrote([*statements, *(straggler.statements if straggler else ())])
        margin_s = self._cluster.margin_s(before) if fault.deadman else None
        if fault.deadman and margin_s is None:
            raise NotWell(f"the deadman of {before} killed nothing")
        if isinstance(fault.asks, Restart):
            same = _starts(self._cluster.documents).items() & starts.items()
            if same:
                raise NotWell(f"not restarted: {', '.join(sorted(uid for uid, _ in same))}")
        after, term = _primary_and_term(self._cluster.documents)
        milestones = self._cluster.observer.milestones
        acked_s = [each.ended_s for each in statements if each.result == "ok" and each.row is not None]
        return Outcome(
            exercise=name,
            traffic=traffic(statements, fault_s, fault.sites),
            lost=await self.newly_lost(),
            phases=phases(fault_s, milestones, acked_s),
            old_primary=before,
            new_primary=after,
            term=term,
            failovers=term - term_before,
            victim=fault.victim,
            back_s=self._back_s(fault, fault_s),
            acks_from_old=straggler.acks_after(named_at_s(fault_s, milestones)) if straggler else None,
            margin_s=margin_s,
            took_s=took_s,
        )

    def _straggler(self, fault: Fault) -> Straggler | None:
        """The client that goes on at the address of the server that is hurt, if the fault has one."""
        if fault.straggler is None:
            return None
        return self._workload.straggler(self._cluster.layout.keeper(fault.straggler).port)

    async def newly_lost(self) -> tuple[int, ...]:
        """Acknowledged rows that the primary lacks and that no exercise before has named."""
        primary, _ = _primary_and_term(self._cluster.documents)
        began_s = self._clock.monotonic()
        present = await self._workload.present(self._cluster.layout.keeper(primary).port)
        if self._history is not None:
            self._history.saw(present, began_s=began_s, ended_s=self._clock.monotonic())
        missing = set(lost_rows(self._workload.acked, present)) - self._reported_lost
        self._reported_lost |= missing
        return tuple(sorted(missing))

    async def _repair(self, fault: Fault) -> None:
        await self._clock.sleep(fault.back_after_s)
        if fault.frozen:
            self._cluster.wake()
            self._cluster.tell(f"everything on the host of {fault.victim} goes on")
        elif fault.services:
            await self._cluster.start_services(fault.services)
            self._cluster.tell(f"started again: {', '.join(fault.services)}")

    async def _until_done(self, request: Request) -> None:
        """Wait for the end of what was asked for; raises NotWell unless it is done."""

        def now(documents: Documents) -> Request:
            found = (each.request for each in documents.requests if each.request.id == request.id)
            return next(found, request)

        ended = await self._cluster.observer.wait_for(lambda seen: not now(seen).is_open, HEALTH_LIMIT_S)
        last = now(self._cluster.documents)
        if not ended or last.state != "done":
            how = last.result if ended else f"not ended within {HEALTH_LIMIT_S:.0f} s"
            raise NotWell(f"{request.kind} {request.id} is {last.state}: {how}")

    async def _until_well(self, fault: Fault, fault_s: float, term_before: int) -> None:
        if not fault.failover:
            await self._clock.sleep(max(0.0, fault_s + QUIET_S - self._clock.monotonic()))

        def well(documents: Documents) -> bool:
            _, term = _primary_and_term(documents)
            happened = term > term_before or not fault.failover
            return happened and not why_not_healthy(documents, self._cluster.layout)

        if not await self._cluster.observer.wait_for(well, HEALTH_LIMIT_S):
            why = why_not_healthy(self._cluster.documents, self._cluster.layout)
            raise NotWell(
                f"the cluster was not well again within {HEALTH_LIMIT_S:.0f} s: {why or 'no failover began'}"
            )

    def _back_s(self, fault: Fault, fault_s: float) -> float | None:
        """How long after the fault the victim streamed again."""
        since_s = self._cluster.observer.streaming_since_s.get(fault.victim or "")
        return since_s - fault_s if since_s is not None and since_s > fault_s else None


def _starts(documents: Documents) -> dict[str, str | None]:
    """In which start PostgreSQL of each member is."""
    return {uid: report.start_id for uid, report in documents.keepers.items()}


def _primary_and_term(documents: Documents) -> tuple[str, int]:
    view = documents.view
    if view is None:
        return "", 0
    return (view.primary.uid if view.primary else ""), view.term
