"""What a keeper says: its report in the store, the reasons in it, and one log line per decision."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.store.publisher import Publisher
from keeper import steps
from keeper.documents import Documents
from keeper.evidence import UpstreamProbe
from keeper.hooks.runner import Hooks
from keeper.local import Local, what_observers_act_on
from keeper.pauses import Pauses

LSN_STEPS: Final = 4
"""Reports for each ``max_lag_on_failover`` of WAL; PostgreSQL is looked at once a second at most."""

_log = structlog.get_logger()


class Sayings:
    """Speaks for one keeper; what it says is what the others know of :class:`keeper.local.Local`."""

    def __init__(
        self,
        *,
        local: Local,
        hooks: Hooks,
        clock: Clock,
        documents: Documents,
        pauses: Pauses,
        probe: UpstreamProbe,
        publisher: Publisher,
        api_url: str,
        lease_ttl_s: Callable[[], float],
    ) -> None:
        self._local = local
        self._hooks = hooks
        self._clock = clock
        self._documents = documents
        self._pauses = pauses
        self._probe = probe
        self._publisher = publisher
        self._api_url = api_url
        self._lease_ttl_s = lease_ttl_s
        self._said: tuple[str, str] = ("", "")

    def loops(self, changed: Callable[[], None]) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run for ever; ``changed`` is called when hooks have given other reasons."""
        return self._hooks.loops(changed)

    def adopted(self, start_id: str) -> None:
        """A PostgreSQL that ran before this life of the keeper was taken over."""
        self._hooks.adopted(start_id)
        _log.info("adopted", start_id=start_id)

    def report(self) -> KeeperReport:
        """What this keeper says of itself now."""
        return self._local.report(self._clock.wall(), self._probe, self._api_url)

    def publish(self) -> None:
        """Put the report into the store, at once when others act on what changed, and tell hooks of it."""
        self._hooks.look(self._documents.view)
        for name in ("spec", "view"):
            self._local.reasons.pop(name, None)
        self._local.reasons.update(self._documents.problems)
        self._local.lease_ttl_s = self._lease_ttl_s()
        report = self.report()
        acts_on = what_observers_act_on(report, lsn_step_bytes=self._lsn_step_bytes())
        self._publisher.offer(report.to_bytes(), acts_on=acts_on)

    def _lsn_step_bytes(self) -> int:
        """How far a primary's WAL may go before that is reported: a failover under ``k = 0`` goes by it."""
        view = self._documents.view
        if view is None or not view.sync.lease_protects:
            return 0
        return max(1, self._documents.spec.durability.max_lag_on_failover // LSN_STEPS)

    def failed(self, what: str, error: Exception) -> None:
        """Something failed: it is tried again after a pause, and the report says so."""
        pause_s = self._pauses.failed(self._clock.monotonic())
        _log.warning("failed", what=what, error=str(error), retry_in_s=round(pause_s, 2))
        self._local.reasons[what] = Reason(
            code="keeper_step_failed",
            severity="warning",
            subject=self._local.settings.uid,
            text=f"{self._local.settings.uid}: {error}",
            fix=f"see the logs of the keeper and of PostgreSQL on {self._local.settings.uid}",
        )

    def nothing_failed(self) -> None:
        """A look found nothing to do: what had failed before is over, unless it is about to be tried again.

        What failed may have been the look itself, without the store for example: no later step says that it
        is over. While PostgreSQL starts or its data are made anew that is seen by how it ends.
        """
        local = self._local
        if (
            local.postgres == "running"
            and not local.busy
            and not self._pauses.left_s(self._clock.monotonic())
        ):
            local.reasons.pop("step", None)

    def explain(self, step: steps.Step) -> None:
        """What the plan waits for is reported when a human should know it."""
        if isinstance(step, steps.Wait) and step.reason.severity != "info":
            self._local.reasons["plan"] = step.reason
        else:
            self._local.reasons.pop("plan", None)

    def decided(self, step: steps.Step, view: ClusterView | None) -> None:
        """One line per decision that changed something."""
        reason = step.reason if isinstance(step, steps.Wait) else None
        said = (type(step).__name__.lower(), reason.code if reason else "")
        if said == self._said:
            return
        self._said = said
        _log.info(
            "plan",
            step=said[0],
            code=said[1],
            text=reason.text if reason else "",
            term=view.term if view else 0,
            generation=view.generation if view else 0,
        )
