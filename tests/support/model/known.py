"""What a keeper of the model knows, and what it says of it: the facts for the plan, the report."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from common.model.names import parse_standby_name
from common.model.reports import (
    KeeperReport,
    PostgresRole,
    PostgresState,
    SealReport,
    StandbySeen,
    SyncReport,
    UpstreamReport,
)
from common.model.view import ClusterView
from common.model.wal import ZERO, Lsn
from keeper import steps
from keeper.pauses import Pauses
from keeper.state import KeeperState
from tests.support.healthy import NOW, SYSTEM
from tests.support.model.postgres import Server
from tests.support.model.world import World

RESTART_AFTER_S = 2.0
LEASE_S = 3.0
STOP_S, KILL_S = LEASE_S / 3, LEASE_S / 6


@dataclass
class Progress:
    """What one start of a primary has done about the sync sets of a term, and the records it wrote for it."""

    term: int
    applied: int | None = None
    confirmed: set[int] = field(default_factory=set)
    records: dict[tuple[str, int], int] = field(default_factory=dict)


@dataclass
class Known:
    """One keeper. Durable are ``state``, the server's data and the marks of work on them; no more.

    ``act`` is a step that the loop waits for, ``work`` a clone or rewind beside the loop.
    """

    uid: str
    site: str
    world: World
    state: KeeperState
    rewinding: bool = False
    alive: bool = False
    view: ClusterView | None = None
    postgres: PostgresState = "no_data"
    seal: SealReport | None = None
    sync: Progress | None = None
    act: Generator[None] | None = None
    work: Generator[None] | None = None
    work_for: str = ""
    work_source: str = ""
    lease_end: float = 0.0
    held: bool = False
    phase: tuple[int, str] = (0, "")
    phase_since: float = 0.0
    pauses: Pauses = field(default_factory=Pauses)

    @property
    def server(self) -> Server | None:
        return self.world.servers.get(self.uid)

    @property
    def role(self) -> PostgresRole | None:
        if self.server is None or self.postgres != "running":
            return None
        return "standby" if self.server.in_recovery else "primary"

    def facts(self) -> steps.Facts:
        server, state = self.server, self.state
        running = server is not None and self.postgres == "running"
        return steps.Facts(
            uid=self.uid,
            state=self.postgres,
            role=self.role,
            life=state.present_life,
            system_identifier=SYSTEM if server and not self.rewinding else None,
            sealed_term=state.sealed_term,
            seal=self.seal,
            promotion=state.promotion,
            timeline=server.timeline if server and running else 0,
            history=server.history if server and running else (),
            following=server.following if server and running and server.in_recovery else None,
            busy=self.work_for,
            phase_seen_s=self.world.now - self.phase_since,
            retry_in_s=self.pauses.left_s(self.world.now),
            restart_after_s=RESTART_AFTER_S,
            guarded=self.held and self.world.now < self.stop_at,
        )

    @property
    def stop_at(self) -> float:
        """When the keeper itself ends a primary whose commits only the lease protects."""
        return self.world.deadlines.get(self.uid, -1.0) + KILL_S - STOP_S

    def report(self) -> KeeperReport:
        server, state, running = self.server, self.state, self.postgres == "running"
        return KeeperReport(
            uid=self.uid,
            site=self.site,
            keeper_id=self.uid,
            life="1",
            host=self.uid,
            port=5432,
            reported_at=NOW,
            generation=state.generation,
            term=state.term,
            sealed_term=state.sealed_term,
            system_identifier=SYSTEM if server else None,
            incarnation=state.life.incarnation if state.life else None,
            state=self.postgres,
            role=self.role,
            timeline=server.timeline if server and running else 0,
            history=server.history if server and running else (),
            greatest_timeline=server.timeline if server else 0,
            lsn=Lsn(server.end) if server else ZERO,
            lease_ttl_s=LEASE_S,
            ended=state.ended,
            seal=self.seal,
            promotion=state.promotion,
            sync=self._sync(),
            upstream=self._evidence(),
            standbys=self._standbys(),
        )

    def _sync(self) -> SyncReport | None:
        if self.sync is None or self.role != "primary":
            return None
        confirmed = tuple(sorted(self.sync.confirmed))
        return SyncReport(term=self.sync.term, applied=self.sync.applied, confirmed=confirmed)

    def _evidence(self) -> UpstreamReport | None:
        named = (self.view.primary or self.view.old_primary) if self.view else None
        if named is None or named.uid == self.uid or self.role == "primary":
            return None
        following = self.server.following if self.server else None
        name = parse_standby_name(following.name) if following else None
        return UpstreamReport(
            uid=named.uid,
            reachable=self.world.answers(self.uid, named.uid),
            receiving=self.world.upstream_of(self.uid) is not None,
            term=name.term if name else 0,
        )

    def _standbys(self) -> tuple[StandbySeen, ...]:
        if self.role != "primary":
            return ()
        names = [parse_standby_name(text) for text in sorted(self.world.flushed(self.uid))]
        return tuple(
            StandbySeen(
                member=name.member,
                incarnation=name.incarnation,
                term=name.term,
                streaming=True,
                caught_up=True,
            )
            for name in names
            if name is not None
        )
