"""The keeper's own knowledge: what is durable, what was observed, what was done in this start.

The service owns one :class:`Local` and is the only one to change it. From it come the facts for the
plan and the report for the store.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from common.model.names import parse_standby_name
from common.model.reasons import Reason
from common.model.reports import (
    KeeperReport,
    PostgresRole,
    PostgresState,
    SealReport,
    StandbySeen,
    SwitchingReport,
    SyncReport,
    UpstreamReport,
)
from common.model.view import ClusterView, Switching
from common.model.wal import ZERO, Lsn
from keeper.evidence import HEARD_WITHIN_S, UpstreamProbe
from keeper.postgres.port import Observation, WalSender
from keeper.settings import KeeperSettings
from keeper.state import KeeperState, LifeRecord
from keeper.steps import Facts, Upstream

CAUGHT_UP_BYTES = 16 << 20
"""A standby so close behind may enter the sync set; it stays in while it streams.

A commit waits until it has this much too: a fraction of a second on any network that carries the WAL.
"""


RUN_DRY = frozenset({"RecoveryRetrieveRetryInterval", "RecoveryWalStream"})
"""Wait events of a startup process that has replayed all there is."""


@dataclass
class SyncProgress:
    """What this start of PostgreSQL has done about the sync sets of one term."""

    term: int
    applied: int | None = None
    confirmed: frozenset[int] = frozenset()


@dataclass
class Local:
    """Everything that one keeper knows of its host. ``observation`` belongs to the present start.

    ``unclaimed`` says why the directory is in another life than is remembered. Until it is claimed the
    remembered life is not there, and what lies there is nobody's.
    """

    settings: KeeperSettings
    state: KeeperState
    life_id: str
    version: str
    postgres: PostgresState = "no_data"
    data_problem: str = ""
    unclaimed: str = ""
    greatest_timeline: int = 0
    system_identifier: str | None = None
    start_id: str | None = None
    observation: Observation | None = None
    seal: SealReport | None = None
    following: Upstream | None = None
    sync: SyncProgress | None = None
    switching: SwitchingReport | None = None
    shutting_down: bool = False
    oldest_wal: Lsn = ZERO
    caught_up: frozenset[str] = frozenset()
    hanging: str = ""
    room_again: bool = False
    lease_ttl_s: float | None = None
    busy: str = ""
    progress: str = ""
    failed_rewinds: int = 0
    reloaded: str = ""
    reasons: dict[str, Reason] = field(default_factory=dict)

    @property
    def life(self) -> LifeRecord | None:
        """The life that is remembered, as long as the directory is in it."""
        return None if self.unclaimed else self.state.life

    @property
    def role(self) -> PostgresRole | None:
        """What PostgreSQL is, as far as it runs."""
        if self.observation is None or self.postgres != "running":
            return None
        return "standby" if self.observation.in_recovery else "primary"

    def forget_start(self, state: PostgresState) -> None:
        """PostgreSQL does not run any more: what belonged to that start is void."""
        self.postgres = state
        self.start_id = None
        self.observation = None
        self.seal = None
        self.following = None
        self.sync = None
        self.oldest_wal = ZERO
        self.caught_up = frozenset()
        self.hanging = ""

    def observed(self, observation: Observation) -> None:
        """Take what the running server says."""
        self.observation = observation
        self.system_identifier = observation.system_identifier
        self.greatest_timeline = max(self.greatest_timeline, observation.timeline)
        self.caught_up = frozenset(
            sender.name
            for sender in observation.senders
            if sender.state == "streaming"
            and (sender.name in self.caught_up or observation.lsn - sender.flush <= CAUGHT_UP_BYTES)
        )

    def settled(self, **seen: Any) -> None:
        """Take what an action has made sure of, without another look while a failover waits for it."""
        if self.observation is not None:
            self.observed(replace(self.observation, **seen))

    def note_target(self, attempt: Switching) -> None:
        """Of a switchover's target: where the data end, once nobody sends WAL and all of it is replayed."""
        seen, life = self.observation, self.life
        if life is None or attempt.target != (self.settings.uid, life.incarnation):
            return
        complete = seen is not None and seen.receiver is None and seen.startup_waits_for in RUN_DRY
        if self.role == "standby" and seen is not None and complete:
            self.switching = SwitchingReport(id=attempt.id, holds=seen.lsn)
        else:
            self.switching = None

    def facts(
        self,
        view: ClusterView | None,
        *,
        phase_seen_s: float,
        retry_in_s: float,
        restart_after_s: float,
        guarded: bool = False,
        sees_store: bool = True,
    ) -> Facts:
        """The values that the plan is made from."""
        seen = self.observation
        return Facts(
            uid=self.settings.uid,
            state=self.postgres,
            role=self.role,
            start_id=self.start_id,
            life=None if self.unclaimed else self.state.present_life,
            unclaimed=self.unclaimed,
            system_identifier=self.system_identifier,
            sealed_term=self.state.sealed_term,
            seal=self.seal,
            promotion=self.state.promotion,
            timeline=seen.timeline if seen else 0,
            history=seen.history if seen else (),
            following=self._followed(view),
            busy=self.data_problem or self.busy,
            hanging=bool(self.hanging),
            phase_seen_s=phase_seen_s,
            retry_in_s=retry_in_s,
            failed_rewinds=self.failed_rewinds,
            restart_after_s=restart_after_s,
            guarded=guarded,
            switching=self.switching,
            shutting_down=self.shutting_down,
            clients=seen.clients if seen else 0,
            sees_store=sees_store,
        )

    def _followed(self, view: ClusterView | None) -> Upstream | None:
        """What PostgreSQL follows; of one that was adopted only slot and receiver tell."""
        seen = self.observation
        if seen is None or not seen.in_recovery or not seen.following:
            return None
        if self.following is not None and self.following.name == seen.following:
            return self.following
        name = parse_standby_name(seen.following)
        host, port = (seen.receiver.host, seen.receiver.port) if seen.receiver else ("", 0)
        target = view.upstream if view else None
        uid = target.uid if target and (target.host, target.port) == (host, port) else ""
        return Upstream(uid, host, port, seen.following, name.term if name else 0)

    def report(self, now: datetime, probe: UpstreamProbe, api_url: str) -> KeeperReport:
        """Say what is true on this host."""
        settings, state, seen = self.settings, self.state, self.observation
        return KeeperReport(
            uid=settings.uid,
            site=settings.site,
            keeper_id=state.keeper_id,
            life=self.life_id,
            host=settings.host,
            port=settings.port,
            api_url=api_url,
            version=self.version,
            reported_at=now,
            generation=state.generation,
            term=state.term,
            sealed_term=state.sealed_term,
            system_identifier=self.system_identifier,
            incarnation=self.life.incarnation if self.life else None,
            state=self.postgres,
            role=self.role,
            postgres_version=seen.version if seen else 0,
            lease_ttl_s=self.lease_ttl_s,
            ended=state.ended,
            start_id=self.start_id,
            timeline=seen.timeline if seen else 0,
            history=seen.history if seen else (),
            greatest_timeline=self.greatest_timeline,
            lsn=seen.lsn if seen else ZERO,
            oldest_wal=self.oldest_wal,
            run_dry=seen is not None and seen.startup_waits_for in RUN_DRY,
            seal=self.seal,
            promotion=state.promotion,
            sync=self._sync_report(),
            upstream=self._upstream_report(probe),
            standbys=self._standbys(),
            switching=self.switching,
            progress=self.progress,
            store=state.memory,
            hanging=self.hanging,
            pending_restart=seen.pending_restart if seen else (),
            reloaded=self.reloaded,
            room_again=self.room_again,
            reasons=(*self._data_reasons(), *(self.reasons[code] for code in sorted(self.reasons))),
        )

    def _data_reasons(self) -> tuple[Reason, ...]:
        if not self.data_problem:
            return ()
        uid = self.settings.uid
        return (
            Reason(
                code="unusable_directory",
                severity="critical",
                subject=uid,
                text=f"{uid}: {self.data_problem}",
                fix=f"give {uid} another --root, or an empty data directory, and start its keeper again",
            ),
        )

    def _sync_report(self) -> SyncReport | None:
        if self.sync is None or self.role != "primary":
            return None
        return SyncReport(
            term=self.sync.term,
            applied=self.sync.applied,
            confirmed=tuple(sorted(self.sync.confirmed)),
        )

    def _upstream_report(self, probe: UpstreamProbe) -> UpstreamReport | None:
        if self.role == "primary":
            return None
        receiver = self.observation.receiver if self.observation else None
        name = parse_standby_name(receiver.slot) if receiver else None
        receiving = (
            receiver is not None and receiver.status == "streaming" and receiver.silent_s <= HEARD_WITHIN_S
        )
        return probe.report(receiving=receiving, term=name.term if name else 0)

    def _standbys(self) -> tuple[StandbySeen, ...]:
        if self.observation is None or self.role != "primary":
            return ()
        found = [seen for sender in self.observation.senders if (seen := self._seen(sender))]
        return tuple(sorted(found, key=lambda seen: (seen.member, seen.incarnation, seen.term)))

    def _seen(self, sender: WalSender) -> StandbySeen | None:
        name = parse_standby_name(sender.name)
        if name is None:
            return None
        return StandbySeen(
            member=name.member,
            incarnation=name.incarnation,
            term=name.term,
            streaming=sender.state == "streaming",
            caught_up=sender.name in self.caught_up,
        )


def what_observers_act_on(report: KeeperReport, *, lsn_step_bytes: int = 0) -> bytes:
    """The report without the figures that may be slow: two that are equal need no new write.

    Which view a keeper has seen matters of a running primary alone: it may be named again only
    by what it said after it saw the sealing view. Where its position matters too, it is taken in whole
    steps of ``lsn_step_bytes``; 0 where it does not.
    """
    step = lsn_step_bytes if report.writable else 0
    seen: dict[str, object] = {}
    if not report.writable:
        known = report.store and report.store.changed(generation=0, term=0, view_digest="")
        seen = {"generation": 0, "term": 0, "store": known}
    at = datetime.min.replace(tzinfo=report.reported_at.tzinfo)
    slow = {
        "reported_at": at,
        "lsn": Lsn(report.lsn // step * step) if step else ZERO,
        "oldest_wal": ZERO,
        "run_dry": False,
        "progress": "",
    }
    return report.model_copy(update={**slow, **seen}).to_bytes()
