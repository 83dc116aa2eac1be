"""How each step of the plan is carried out; the order of effects stands in each docstring.

Every action may be interrupted anywhere, by a crash of this process too: the plan begins again from
what is true then. A promise is durable before anything is done that relies on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog

from common.errors import PostgresUnavailable
from common.model.names import standby_name
from common.model.reports import PostgresState, PromotionReport, SealReport, SwitchingReport
from common.model.spec import ClusterSpec
from common.model.view import ClusterView, Primary
from common.model.wal import Lsn
from common.runtime.disk import Disk
from keeper.duties import setting_of, wanted_slots
from keeper.local import Local, SyncProgress
from keeper.postgres.data import why_another_life
from keeper.postgres.port import DataState, Postgres, Promoted, PromotionOrder, Source
from keeper.state import KeeperState
from keeper.steps import Upstream

STATE = "keeper"
SEAL_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
FOLLOW_TIMEOUT_S = 10.0
SHUT_DOWN_TIMEOUT_S = 30.0

_log = structlog.get_logger()


class Actions:
    """Carries out steps on one PostgreSQL and remembers what must be remembered."""

    def __init__(
        self, postgres: Postgres, disk: Disk, local: Local, new_id: Callable[[], str], clone_timeout_s: float
    ) -> None:
        self._postgres = postgres
        self._disk = disk
        self._local = local
        self._new_id = new_id
        self._clone_timeout_s = clone_timeout_s
        self._saving = asyncio.Lock()

    async def save(self, change: Callable[[KeeperState], KeeperState]) -> None:
        """Change the keeper's memory and make it durable; only then does it count.

        The loop and the long work beside it both remember things: one change after the other, each made
        to what the one before has left.
        """
        async with self._saving:
            state = change(self._local.state)
            if state != self._local.state:
                await self._disk.write(STATE, state.model_dump(mode="json"))
                self._local.state = state

    async def learn_data(self) -> None:
        """Find out what lies on disk, at the start and after long work that failed.

        Work that was interrupted before the directory changed leaves the old life as it was; an
        interrupted rewind leaves a directory that only a clone can replace. A directory in another life
        than is remembered is only noted as that: it may be of another cluster (see :meth:`claim`).
        """
        local, state = self._local, self._local.state
        found = await self._postgres.recover()
        local.data_problem = local.unclaimed = ""
        if found.kind == "foreign":
            local.data_problem = (
                f"{local.settings.root}/data is not empty and holds no PostgreSQL data: it is left alone"
            )
            self._remember(found)
            local.forget_start("failed")
            return
        if found.kind != "ours":
            await self.save(lambda kept: kept.changed(life=None))
            self._remember(found)
            local.forget_start("no_data")
            return
        why = why_another_life(found.marker, state.life.incarnation if state.life else None)
        half_rewound = found.unfinished == "rewind"
        if half_rewound:
            fresh = self._new_id()
            await self.save(lambda kept: (kept.found(found.marker, fresh) if why else kept).spoiled())
        else:
            local.unclaimed = why
        self._remember(found)
        local.forget_start("failed" if half_rewound else "down")

    def _remember(self, found: DataState) -> None:
        local = self._local
        local.system_identifier = found.control.system_identifier if found.control else None
        local.greatest_timeline = max(local.greatest_timeline, found.greatest_timeline)

    async def forget_life(self) -> None:
        """Have no life any more: whatever lies in the data directory from now on begins another."""
        await self.save(lambda kept: kept.changed(life=None))

    async def claim(self, view: ClusterView) -> None:
        """Begin a new life on a directory that is in another one than is remembered (protocol 1).

        Order: looked at once more, for it may have waited long for a view -> the new incarnation is
        durable here -> it is in the directory's marker -> it counts.
        """
        local, why = self._local, self._local.unclaimed
        found = await self._postgres.inspect()
        self._remember(found)
        if local.system_identifier != view.system_identifier:
            raise PostgresUnavailable("the data directory was replaced before it could be taken over")
        incarnation = self._new_id()

        def claimed(kept: KeeperState) -> KeeperState:
            kept = kept.found(found.marker, incarnation)
            return kept.completed() if local.postgres == "running" else kept

        await self.save(claimed)
        await self._postgres.mark(incarnation)
        local.unclaimed = ""
        _log.warning("new_incarnation", incarnation=incarnation, why=why)

    @contextmanager
    def _else(self, state: PostgresState) -> Iterator[None]:
        """What PostgreSQL is left in when the work within fails."""
        try:
            yield
        except BaseException:
            self._local.forget_start(state)
            raise

    async def initialize(self, term: int, spec: ClusterSpec, publish: Callable[[], None]) -> None:
        """Create the first data directory; it counts as promoted on timeline 1 (protocol 5.3)."""
        local = self._local
        local.postgres = "initializing"
        publish()
        incarnation = self._new_id()
        await self.save(lambda kept: kept.born(incarnation, term))
        with self._else("no_data"):
            local.system_identifier = await self._postgres.initialize(incarnation, spec.postgres)
        promotion = PromotionReport(term=term, timeline=1, incarnation=incarnation, finished=True)
        await self.save(lambda kept: kept.completed().changed(promotion=promotion))
        self._remember(await self._postgres.inspect())
        local.forget_start("stopped")

    async def start_standby(self, upstream: Upstream | None, spec: ClusterSpec) -> None:
        """Spawn PostgreSQL in recovery; the service waits until it accepts connections."""
        local = self._local
        local.forget_start("starting")
        source = Source(upstream.host, upstream.port, upstream.name) if upstream else None
        with self._else("failed"):
            local.start_id = await self._postgres.start(spec.postgres, source=source)
        local.following = upstream

    async def start_writable(self, view: ClusterView, spec: ClusterSpec) -> None:
        """Spawn PostgreSQL out of recovery, waiting for the view's sync set from its first commit on."""
        local = self._local
        local.forget_start("starting")
        local.switching = None
        target = view.sync.target
        with self._else("failed"):
            local.start_id = await self._postgres.start(spec.postgres, writable=setting_of(target, view.term))
        local.sync = SyncProgress(view.term, applied=target.id if not view.sync.pending else None)

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End every process of the data directory, on purpose; killed is what is left after ``timeout_s``."""
        self._local.postgres = "stopping"
        await self._postgres.stop("fast", timeout_s)
        self._local.forget_start("stopped")

    async def shut_down(self, attempt: int) -> None:
        """Stop a primary in PostgreSQL's own order, for a switchover (protocol 8).

        Order: fast stop -> ``pg_control`` says "shut down" -> where that record begins is reported. What is
        left then, WAL senders that wait for a standby, stays until :meth:`finish`. A server that does not
        come to its record is killed, and counts as down.
        """
        local, start_id = self._local, self._local.start_id
        local.postgres, local.switching, local.shutting_down = "stopping", None, True
        try:
            record = await self._postgres.shut_down(SHUT_DOWN_TIMEOUT_S)
            if record is None:
                await self._postgres.kill()
        finally:
            local.shutting_down = False
        if record is not None:
            local.switching = SwitchingReport(id=attempt, shut_down=record)
            _log.info("shut_down", attempt=attempt, record=str(record))
        elif local.start_id == start_id:
            local.forget_start("down")
            _log.warning("not_shut_down", attempt=attempt)

    async def note_shut_down(self, attempt: int) -> None:
        """Report for an attempt that a server which does not run was shut down in order.

        Raises PostgresUnavailable when it was not.
        """
        found = await self._postgres.inspect()
        control = found.control
        if control is None or control.state != "shut down":
            state = control.state if control else "not there"
            raise PostgresUnavailable(f"PostgreSQL was not shut down in order: pg_control is {state}")
        self._local.switching = SwitchingReport(id=attempt, shut_down=control.checkpoint_lsn)
        self._local.forget_start("stopped")

    async def finish(self) -> None:
        """Kill what is left of a server that was stopping."""
        await self._postgres.kill()
        self._local.forget_start("stopped")

    async def fence(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End every process of the data directory: nothing proves that it may go on (protocol, section 7).

        It counts as down, so that it is not started again in the term that it could not defend.
        """
        await self.stop(timeout_s)
        self._local.forget_start("down")

    async def seal(self, view: ClusterView) -> None:
        """Enter the view's term (protocol 5.1).

        Order: the promise is durable -> PostgreSQL takes no WAL any more and has run dry -> slots are
        kept under the names of the new term -> the final position is reported.
        """
        local = self._local
        await self.save(lambda kept: kept.sealed(view.term).obeying(view))
        final = await self._postgres.seal(SEAL_TIMEOUT_S)
        local.following = None
        await self._postgres.copy_slots(view.term)
        local.settled(following="", timeline=final.timeline, history=final.history, lsn=final.lsn)
        local.seal = SealReport(term=view.term, lsn=final.lsn, timeline=final.timeline, history=final.history)
        _log.info("sealed", term=view.term, lsn=str(final.lsn), timeline=final.timeline)

    async def promote(self, view: ClusterView, named: Primary, timeout_s: float) -> None:
        """Become primary (protocol 5.3): its beginning is durable before PostgreSQL hears of it."""
        begun = PromotionReport(
            term=view.term, timeline=named.timeline, incarnation=named.incarnation or "", fork=named.fork
        )
        await self.save(lambda kept: kept.changed(promotion=begun).obeying(view))
        promoted = await self._postgres.promote(self._order(view, named), timeout_s)
        await self._finish(view, begun, promoted)

    async def confirm_promotion(self, view: ClusterView, named: Primary) -> None:
        """Record a promotion as finished that ended while nobody watched, once it has been checked."""
        promotion = self._local.state.promotion
        if promotion is None:
            raise PostgresUnavailable("no promotion was begun here")
        promoted = await self._postgres.check_promotion(self._order(view, named))
        await self._finish(view, promotion, promoted)

    async def _finish(self, view: ClusterView, promotion: PromotionReport, promoted: Promoted) -> None:
        local = self._local
        await self.save(lambda kept: kept.changed(promotion=promotion.changed(finished=True)))
        local.seal = None
        local.sync = SyncProgress(view.term, applied=view.sync.current.id if not view.sync.pending else None)
        local.settled(in_recovery=False, timeline=promoted.timeline, history=promoted.history)
        _log.info("promoted", term=view.term, timeline=promotion.timeline, fork=str(promotion.fork))

    @staticmethod
    def _order(view: ClusterView, named: Primary) -> PromotionOrder:
        return PromotionOrder(named.timeline, named.fork, setting_of(view.sync.target, view.term))

    async def follow(self, view: ClusterView, upstream: Upstream) -> None:
        """Stream from the primary of the view's term, under the name of this life in this term."""
        local = self._local
        source = Source(upstream.host, upstream.port, upstream.name)
        timelines = [entry.timeline for entry in view.lineage]
        local.start_id = None  # it may restart PostgreSQL: the end of this start is then no fault
        try:
            await self._postgres.follow(source, timelines, FOLLOW_TIMEOUT_S)
        finally:
            if self._postgres.start_id is None:
                local.forget_start("down")
            local.start_id = self._postgres.start_id
        local.following = upstream
        local.observed(await self._postgres.observe())
        _log.info("following", upstream=upstream.uid, term=upstream.term)

    async def begin_life(self, view: ClusterView) -> str:
        """Stop PostgreSQL and take a new incarnation, before a clone or rewind begins."""
        seal = self._local.seal
        if self._local.start_id is not None:
            await self.stop()
        incarnation = self._new_id()
        await self.save(lambda kept: kept.born(incarnation, view.term, seal).obeying(view))
        return incarnation

    async def clone(self, view: ClusterView, spec: ClusterSpec, incarnation: str) -> None:
        """Copy the primary into a directory beside the old one, then swap them."""
        self._local.postgres = "cloning"
        await self._postgres.clone(
            self._clone_source(view, incarnation),
            incarnation,
            spec.postgres,
            progress=self._show_progress,
            timeout_s=self._clone_timeout_s,
        )
        self._remember(await self._postgres.inspect())
        self._local.forget_start("stopped")

    async def rewind(self, view: ClusterView, spec: ClusterSpec, incarnation: str) -> None:
        """Turn the directory back to the fork, in place."""
        self._local.postgres = "rewinding"
        await self._postgres.rewind(
            self._source(view, incarnation),
            incarnation,
            spec.postgres,
            timeline=view.primary.timeline if view.primary else 0,
            timeout_s=self._clone_timeout_s,
        )
        self._remember(await self._postgres.inspect())
        self._local.forget_start("stopped")

    def _clone_source(self, view: ClusterView, incarnation: str) -> Source:
        """The primary, or the standby that was asked for, while that is one whose PostgreSQL should run."""
        member = view.member(self._local.settings.uid)
        wanted = view.member(member.clone_from) if member and member.clone_from else None
        if wanted is None or wanted.kept_down is not None:
            return self._source(view, incarnation)
        return Source(
            wanted.host, wanted.port, standby_name(self._local.settings.uid, incarnation, view.term)
        )

    def _source(self, view: ClusterView, incarnation: str) -> Source:
        target = view.upstream
        if target is None:
            raise PostgresUnavailable("the view names nobody to copy from")
        return Source(
            target.host, target.port, standby_name(self._local.settings.uid, incarnation, view.term)
        )

    def _show_progress(self, done_bytes: int, all_bytes: int) -> None:
        percent = 100 * done_bytes // all_bytes if all_bytes else 0
        self._local.progress = f"clone {min(percent, 100)} % of {all_bytes >> 20} MB"

    async def keep_slots(self, view: ClusterView, positions: Mapping[str, Lsn]) -> None:
        """Have a slot for each other member; those of older terms go once the route is set."""
        wanted = wanted_slots(view, self._local.settings.uid, positions)
        await self._postgres.keep_slots(wanted, drop_others=view.phase == "running")
