"""A keeper in a model of a whole cluster: the real plan and the real memory, idealised effects.

Each step is a generator that yields wherever the process may be killed; what is durable by then stays.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from common.errors import PostgresUnavailable
from common.model.names import standby_name
from common.model.reports import PostgresState, PromotionReport, SealReport
from common.model.view import ClusterView, Member, SyncSet
from keeper import steps
from keeper.pauses import Pauses
from keeper.plan import plan
from tests.support.model.known import KILL_S, LEASE_S, STOP_S, Known, Progress
from tests.support.model.postgres import Server, acknowledged

PROMOTE_TIMEOUT_S = 10.0


class Keeper(Known):
    """One keeper: what it does."""

    def begin(self) -> None:
        """Start the process: learn what is on disk, take over a PostgreSQL that runs."""
        self.alive = True
        self.view = self.act = self.work = None
        self.work_for = ""
        self.phase = (0, "")
        self.pauses = Pauses()
        self.forget_start("starting")
        if self.server is None or not self.server.running:
            self.learn_data()
        self.lease_end = 0.0
        self.held = self.uid in self.world.deadlines and self.world.now < self.stop_at
        if self._protects() and not self.held and self.server is not None:
            self.server.end_processes()

    def _protects(self) -> bool:
        view, life = self.state.view, self.state.life
        named = (view.primary or view.old_primary) if view is not None and view.sync.lease_protects else None
        return named is not None and life is not None and named.incarnation == life.incarnation

    def lease_confirmed(self) -> None:
        """The store has the report under a lease that was just renewed."""
        self.lease_end = self.world.now + LEASE_S
        if self.held:
            self.world.deadlines[self.uid] = self.lease_end - KILL_S

    def _hold(self) -> None:
        if self.lease_end - STOP_S <= self.world.now:
            raise PostgresUnavailable("there is no lease to count on")
        self.world.deadlines[self.uid], self.held = self.lease_end - KILL_S, True

    def _release(self) -> None:
        self.held = False
        self.world.deadlines.pop(self.uid, None)

    def die(self) -> None:
        self.alive = False

    def learn_data(self) -> None:
        if self.server is None:
            self.state = self.state.changed(life=None)
            self.forget_start("no_data")
            return
        known = self.state.life.incarnation if self.state.life else None
        if self.server.marker != known:
            fresh = self.new_id()
            self.state = self.state.found(self.server.marker, fresh)
            self.server.marker = fresh
        if self.rewinding and self.state.life is not None:
            self.state = self.state.changed(life=self.state.life.changed(complete=False))
        self.forget_start("failed" if self.rewinding else "down")

    def new_id(self) -> str:
        return f"{self.world.fresh():08x}"

    def forget_start(self, state: PostgresState) -> None:
        self.postgres, self.seal, self.sync = state, None, None

    def tick(self, newest: ClusterView | None) -> None:
        """Run the loop once, or the step that the loop waits for, up to the next point of death."""
        if self.work is not None:
            self._advance_work()
        if self.act is None:
            self._take(newest)
            if self.held and self.world.now >= self.stop_at:
                self._fence()
            self._look()
            self.act = self._do(plan(self.view, self.facts()))
        try:
            next(self.act)
        except StopIteration:
            self.act = None
        except PostgresUnavailable:
            self.pauses.failed(self.world.now)
            self.act = None

    def _take(self, newest: ClusterView | None) -> None:
        if newest is None or newest.generation < self.state.generation:
            return
        self.view = newest
        if (newest.term, newest.phase) != self.phase:
            self.phase, self.phase_since = (newest.term, newest.phase), self.world.now
            self.pauses.clear()
        if self.work is not None and newest.primary and newest.primary.uid != self.work_source:
            self.work = None
            self._end_work()

    def _look(self) -> None:
        """Learn that PostgreSQL came up or died."""
        server = self.server
        if self.postgres in {"starting", "running"} and (server is None or not server.running):
            self.forget_start("failed" if self.postgres == "starting" else "down")
        if self.postgres == "starting" and server is not None and server.accepting:
            self.state = self.state.completed()
            self.postgres = "running"

    def _fence(self) -> None:
        self.held = False
        if self.server is not None and self.server.running:
            self.server.end_processes()
            self.forget_start("down")

    def _do(self, step: steps.Step) -> Generator[None]:
        view = self.view
        if view is None:
            return
        if isinstance(step, steps.Seal):
            yield from self._seal(view)
        elif isinstance(step, steps.Promote):
            yield from self._promote(view, step)
        else:
            unguarded = view.sync.lease_protects and self.role == "primary" and not self.facts().guarded
            if not isinstance(step, steps.Guard) and not unguarded:
                self.state = self.state.obeying(view)
            if isinstance(step, steps.Initialize):
                yield from self._initialize(step.term)
            elif isinstance(step, steps.ConfirmPromotion):
                yield from self._finish(view)
            else:
                self._do_at_once(view, step)

    def _see_to_the_lease(self, view: ClusterView, step: steps.Step) -> None:
        leaves = isinstance(step, steps.Serve) and not view.sync.lease_protects
        if isinstance(step, steps.Guard):
            self._hold()
        elif leaves or isinstance(step, steps.StartStandby | steps.Follow):
            self._release()

    def _do_at_once(self, view: ClusterView, step: steps.Step) -> None:
        self._see_to_the_lease(view, step)
        match step:
            case steps.Serve():
                self._serve(view)
            case steps.Wait():
                if self.role == "standby" and self.server and self.server.following:
                    self._keep_slots(view)
            case steps.Follow(upstream=upstream):
                self._running().following = upstream
            case steps.Stop():
                self._running().end_processes()
                self.forget_start("stopped")
            case steps.StartStandby(upstream=upstream):
                self._start(standby=True, following=upstream)
            case steps.StartWritable():
                self._start(standby=False)
                self._wait_for(view.sync.target, view.term)
            case steps.Clone() | steps.Rewind():
                self.work_for, self.work_source = type(step).__name__.lower(), step.upstream_uid
                self.work = self._new_life(view, step)

    def _running(self) -> Server:
        if self.server is None or not self.server.running:
            raise PostgresUnavailable("it has died")
        return self.server

    def _start(self, *, standby: bool, following: steps.Upstream | None = None) -> None:
        assert self.server is not None
        self.forget_start("starting")
        self.server.start(standby=standby, following=following)

    def _wait_for(self, each: SyncSet, term: int) -> None:
        server = self._running()
        server.k, server.sync_names = each.k, names_of(each, term)

    def _keep_slots(self, view: ClusterView) -> None:
        wanted = {slot_of(member, view.term) for member in view.members if member.uid != self.uid}
        server = self._running()
        server.slots = wanted if view.phase == "running" else server.slots | wanted

    def _initialize(self, term: int) -> Generator[None]:
        incarnation = self.new_id()
        self.state = self.state.born(incarnation, term)
        yield
        self.world.servers[self.uid] = Server(incarnation, [self.world.fresh()])
        yield
        promotion = PromotionReport(term=term, timeline=1, incarnation=incarnation, finished=True)
        self.state = self.state.completed().changed(promotion=promotion)
        self.forget_start("stopped")

    def _seal(self, view: ClusterView) -> Generator[None]:
        self.state = self.state.sealed(view.term).obeying(view)
        yield
        self._running().following = None
        yield
        server = self._running()
        if not server.in_recovery:
            raise PostgresUnavailable("it is not in recovery")
        self._keep_slots(view)
        at = server.position
        self.seal = SealReport(term=view.term, lsn=at.lsn, timeline=at.timeline, history=at.history)

    def _promote(self, view: ClusterView, step: steps.Promote) -> Generator[None]:
        named, began = step.primary, self.world.now
        begun = PromotionReport(
            term=view.term, timeline=named.timeline, incarnation=named.incarnation or "", fork=named.fork
        )
        self.state = self.state.changed(promotion=begun).obeying(view)
        yield
        server = self._running()
        if server.in_recovery:
            if server.end != named.fork:
                raise PostgresUnavailable("promotion from another point was ordered")
            self._wait_for(view.sync.target, view.term)
            server.promoting_to = named.timeline
        while self._running().in_recovery:
            if self.world.now - began > PROMOTE_TIMEOUT_S:
                raise PostgresUnavailable("the promotion did not end in time")
            yield
        yield from self._finish(view)

    def _finish(self, view: ClusterView) -> Generator[None]:
        server, promotion = self._running(), self.state.promotion
        assert promotion is not None
        assert server.timeline == promotion.timeline, "it came up on another timeline than ordered"
        assert not server.history or server.history[-1].lsn == promotion.fork
        yield
        self.state = self.state.changed(promotion=promotion.changed(finished=True))
        self.seal = None
        self.sync = Progress(view.term, applied=None if view.sync.pending else view.sync.current.id)

    def _new_life(self, view: ClusterView, step: steps.Clone | steps.Rewind) -> Generator[None]:
        """Clone or rewind: until its end a clone leaves the old directory as it was, a rewind does not."""
        if self.server is not None and self.server.running:
            self.server.end_processes()
        incarnation = self.new_id()
        self.state = self.state.born(incarnation, view.term, self.seal).obeying(view)
        self.forget_start("cloning" if isinstance(step, steps.Clone) else "rewinding")
        yield
        while not self._is_named(incarnation):
            yield
        self.rewinding = isinstance(step, steps.Rewind)
        yield
        source = self.world.servers.get(step.upstream_uid)
        if source is None or not source.accepting or not self.world.answers(self.uid, step.upstream_uid):
            raise PostgresUnavailable("the source does not answer")
        copy = Server(incarnation, [])
        copy.copy_from(source)
        self.world.servers[self.uid] = copy
        self.rewinding = False
        self.forget_start("stopped")

    def _is_named(self, incarnation: str) -> bool:
        member = self.view.member(self.uid) if self.view else None
        return member is not None and member.incarnation == incarnation

    def _advance_work(self) -> None:
        assert self.work is not None
        try:
            next(self.work)
        except StopIteration:
            self.work, self.work_for = None, ""
        except PostgresUnavailable:
            self._end_work()

    def _end_work(self) -> None:
        self.pauses.failed(self.world.now)
        self.work, self.work_for = None, ""
        self.learn_data()

    # Serving.

    def _serve(self, view: ClusterView) -> None:
        """Apply the sync set, confirm the start, keep slots; what waits for others is looked at each time."""
        self._keep_slots(view)
        if self.sync is None or self.sync.term != view.term:
            self.sync = Progress(view.term)
        target = view.sync.target
        if self.sync.applied != target.id:
            self._wait_for(target, view.term)
            if self._others_hold("apply", target, view.term):
                self.sync.applied = target.id
        if view.route is None:
            for each in view.sync.in_force:
                if self._others_hold("confirm", each, view.term):
                    self.sync.confirmed.add(each.id)

    def _others_hold(self, what: str, each: SyncSet, term: int) -> bool:
        """Whether ``k`` members of a set have flushed the record that was written for this."""
        assert self.sync is not None
        server = self._running()
        if (what, each.id) not in self.sync.records:
            self.sync.records[(what, each.id)] = server.write(self.world.fresh())
        at = self.sync.records[(what, each.id)]
        flushed = self.world.flushed(self.uid)
        return sum(flushed.get(name, 0) >= at for name in names_of(each, term)) >= each.k

    def acknowledge(self, told: Callable[[int, int], None]) -> None:
        """Tell clients of the commits that enough standbys hold."""
        if self.server is not None and self.server.writable:
            for record in acknowledged(self.server, self.world.flushed(self.uid)):
                told(record, self.state.term)


def slot_of(member: Member, term: int) -> str:
    return standby_name(member.uid, member.incarnation or "00000000", term)


def names_of(each: SyncSet, term: int) -> frozenset[str]:
    return frozenset(standby_name(member.uid, member.incarnation, term) for member in each.members)
