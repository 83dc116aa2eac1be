"""A whole cluster as a pure model: the real ``decide`` and ``plan`` over idealised servers and a store.

One seed gives one order of events. The promises of the protocol are asserted after every event that
could break them; what is true is taken from the records that the servers hold, never from positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.spec import ClusterSpec
from common.model.view import ClusterView, Primary
from keeper.state import KeeperState
from sentinel.decide.conditions import current_conditions
from sentinel.decide.core import decide
from sentinel.decide.lease import remember_primary
from sentinel.decide.observed import Change, Observed, PrimarySeen
from sentinel.stopwatch import Holding
from tests.support.healthy import UIDS, site_of
from tests.support.model.keeper import Keeper
from tests.support.model.known import LEASE_S
from tests.support.model.postgres import Server, stream
from tests.support.model.world import World

SENTINEL = "sentinel"


@dataclass
class ClusterModel:
    """Four keepers on two sites, a store that never fails, and a sentinel that may be replaced any time."""

    seed: int
    spec: ClusterSpec = field(default_factory=ClusterSpec)
    uids: tuple[str, ...] = UIDS

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.world = World()
        self.keepers = {
            uid: Keeper(uid, site_of(uid), self.world, KeeperState(keeper_id=uid)) for uid in self.uids
        }
        for keeper in self.keepers.values():
            keeper.begin()
        self.view: ClusterView | None = None
        self.reports: dict[str, KeeperReport] = {}
        self.leases: dict[str, float] = {}
        self.mirror: dict[str, KeeperReport] = {}
        self.holding = Holding()
        self.probed: tuple[str, bool] | None = None
        self.acked: dict[int, int] = {}
        self.given_up: set[int] = set()
        self.last_seen: PrimarySeen | None = None
        self.story: list[str] = []
        self.kinds: list[str] = []
        self.reasons: tuple[Reason, ...] = ()
        self.wiped = ""

    # Looking.

    @property
    def routed(self) -> Keeper | None:
        """The keeper whose server clients are sent to, if they can write there."""
        if self.view is None or self.view.route is None:
            return None
        keeper = self.keepers[self.view.route.uid]
        return keeper if keeper.server and keeper.server.writable else None

    @property
    def healthy(self) -> bool:
        """Whether there is a route, everybody follows, and the sync set is as wanted and settled."""
        view, primary = self.view, self.routed
        if view is None or primary is None or view.sync.pending:
            return False
        followers = self.world.flushed(primary.uid)
        wanted = {uid for uid in self.uids if site_of(uid) != primary.site}
        if self.spec.durability.mode == "async":
            wanted = set()
        members = {member.uid for member in view.sync.current.members}
        ends = {keeper.server.end for keeper in self.keepers.values() if keeper.server}
        return len(followers) == len(self.uids) - 1 and members == wanted and len(ends) == 1

    def named_server(self, named: Primary) -> Server | None:
        server = self.keepers[named.uid].server
        return server if server and server.marker == named.incarnation else None

    def tell(self, text: str) -> None:
        self.story.append(f"{self.world.now:7.2f} {text}")

    # Events.

    def round(self, *, lazy: float = 0.0) -> None:
        """Let everybody act once in some order; each is too late with the probability ``lazy``."""
        self.world.now += self.random.choice((0.05, 0.1, 0.25))
        self.world.kill_overdue()
        actors = [*self.uids, SENTINEL]
        self.random.shuffle(actors)
        for actor in actors:
            if actor in self.world.frozen or self.random.random() < lazy:
                continue
            if actor == SENTINEL:
                self.sentinel()
            else:
                self.server_works(actor)
                self.keeper_ticks(actor)

    def keeper_ticks(self, uid: str) -> None:
        keeper = self.keepers[uid]
        if not keeper.alive:
            return
        online = self.world.reaches(uid, SENTINEL)
        before, was = keeper.server, keeper.rewinding
        keeper.tick(self.view if online else None)
        if before is not None and (keeper.server is not before or (keeper.rewinding and not was)):
            self.check_copies(uid)
        if online:
            self.reports[uid] = keeper.report()
            self.leases[uid] = self.world.now + LEASE_S
            keeper.lease_confirmed()

    def server_works(self, uid: str) -> None:
        """Stream, come up, write for clients of its own, and tell those whose commits are safe."""
        server = self.keepers[uid].server
        if server is None or not server.running:
            return
        if uid not in self.world.slow:
            server.work(self.world.fresh())
        upstream = self.world.upstream_of(uid)
        if upstream is not None:
            stream(server, upstream, self.random.choice((1, 3, 100)))
        if server.writable and self.random.random() < 0.5:
            record = self.world.fresh()
            server.waiting.append((server.write(record), record))
        for primary in self.keepers.values():
            if primary.uid not in self.world.frozen:
                primary.acknowledge(self.acknowledged)

    def acknowledged(self, record: int, term: int) -> None:
        """I3, early: who is named by now holds whatever anybody still acknowledges."""
        self.acked[record] = term
        if self.view and self.view.primary and self.view.phase in {"promoting", "running"}:
            server = self.named_server(self.view.primary)
            assert server is None or record in server.log, "acknowledged, but not by the named primary"

    def sentinel(self) -> None:
        """Observe with reports that may be a little old, decide, write."""
        now = self.world.now
        for uid in [uid for uid, until in self.leases.items() if until < now]:
            del self.leases[uid], self.reports[uid]
        for uid in self.uids:
            if self.random.random() < 0.8:
                self.mirror.pop(uid, None)
                if uid in self.reports:
                    self.mirror[uid] = self.reports[uid]
        # An operator is at hand who lets every failover go on: what breaks here follows nobody around.
        view = self.view.changed(continue_in_term=self.view.term) if self.view else None
        seen = Observed("demo", self.spec, view, dict(self.mirror), self._probe())
        self.last_seen = remember_primary(self.last_seen, seen)
        held = self.holding.observe(current_conditions(seen), now)
        decision = decide(replace(seen, held_s=held, last_seen=self.last_seen))
        self.reasons = decision.reasons
        if decision.change is not None:
            self.write(decision.change)

    def _probe(self) -> bool | None:
        named = self.view.primary if self.view else None
        if named is None:
            self.probed = None
            return None
        known = self.probed
        server = self.keepers[named.uid].server
        answers = server is not None and server.running and self.world.reaches(named.uid, SENTINEL)
        self.probed = (named.uid, answers)
        return known[1] if known and known[0] == named.uid else None

    def write(self, change: Change) -> None:
        """Write the view as the fenced transaction would, and hold it to I1 and I3."""
        if change.only_without in self.reports:
            return
        old, new = self.view, change.view
        assert new.generation == (old.generation if old else 0) + 1, "I1"
        assert new.term >= (old.term if old else 1), "I1"
        self.view = ClusterView.from_bytes(new.to_bytes())
        self.kinds.append(change.kind)
        self.tell(f"g{new.generation} t{new.term} {change.kind}: {change.text}")
        if change.kind in {"primary_named", "primary_named_again", "route_set"} and new.primary:
            server = self.named_server(new.primary)
            lost = self.acked.keys() - set(server.log) if server else set()
            if old is not None and change.kind == "primary_named":
                lost -= self.may_be_lost(old, new, lost)
            assert not lost, f"I3: {new.primary.uid} lacks acknowledged {sorted(lost)}"
        if change.kind == "route_set":
            self.check_confirmed(new)

    def may_be_lost(self, old: ClusterView, new: ClusterView, lost: set[int]) -> set[int]:
        """What a lease alone protected, in the term that ended, and that the view owns up to."""
        if not lost or not old.sync.lease_protects or new.forsaken == old.forsaken:
            return set()
        given_up = {record for record in lost if self.acked[record] == old.term - 1}
        assert len(given_up) <= self.spec.durability.max_lag_on_failover
        self.tell(f"given up: {sorted(given_up)}")
        for record in given_up:
            del self.acked[record]
        self.given_up |= given_up
        return given_up

    def check_confirmed(self, view: ClusterView) -> None:
        """I7: ``k`` members of every set in force hold a record that the primary wrote after its start."""
        primary = self.routed
        if primary is None or primary.server is None:
            return
        written = set(primary.server.log[primary.server.writable_from :])
        for each in view.sync.in_force:
            servers = {member.uid: self.keepers[member.uid].server for member in each.members}
            held = [uid for uid, server in servers.items() if server and written & set(server.log)]
            assert len({*held, self.wiped} & servers.keys()) >= each.k, (
                "I7: a route, but too few hold what was written since the start"
            )

    def check_copies(self, uid: str) -> None:
        """I3: what a new life on ``uid`` gives up stands complete on others."""
        others = [each.server for each in self.keepers.values() if each.uid != uid and each.server]
        holders = [server for server in others if self.acked.keys() <= set(server.log)]
        assert holders, f"I3: {uid} gives up the last copy of something acknowledged"

    # Faults.

    def crash(self, uid: str) -> None:
        """PostgreSQL dies; its keeper will say so."""
        self.tell(f"{uid}: PostgreSQL dies")
        server = self.keepers[uid].server
        if server is not None:
            server.end_processes()

    def kill_keeper(self, uid: str) -> None:
        self.tell(f"{uid}: the keeper dies")
        self.keepers[uid].die()

    def lose_host(self, uid: str) -> None:
        self.crash(uid)
        self.kill_keeper(uid)

    def lose_site(self, site: str) -> None:
        for uid in self.uids:
            if site_of(uid) == site:
                self.lose_host(uid)

    def wipe(self, uid: str) -> None:
        """A host comes back with an empty disk; one only, and only while somebody else acknowledges."""
        protected = self.view is not None and not self.view.sync.lease_protects
        if not self.wiped and protected and self.keepers[uid].server is not None:
            self.wiped = uid
            self.lose_host(uid)
            self.tell(f"{uid}: its disk is empty")
            keeper = self.keepers[uid]
            del self.world.servers[uid]
            keeper.rewinding = keeper.alive = False
            keeper.state = KeeperState(keeper_id=uid)

    def begin_keeper(self, uid: str) -> None:
        if not self.keepers[uid].alive:
            self.tell(f"{uid}: the keeper starts")
            self.keepers[uid].begin()

    def cut(self, one: str, other: str) -> None:
        self.tell(f"no way between {one} and {other}")
        self.world.cut.add(frozenset((one, other)))

    def freeze(self, uid: str) -> None:
        self.tell(f"{uid}: nothing moves on the host")
        self.world.frozen.add(uid)

    def slow_down(self, uid: str) -> None:
        self.tell(f"{uid}: starts and promotions do not end")
        self.world.slow.add(uid)

    def replace_sentinel(self) -> None:
        self.tell("another sentinel takes over")
        self.holding, self.probed, self.last_seen = Holding(), None, None

    def heal(self) -> None:
        """Everything that was killed or cut comes back."""
        self.tell("all is well again")
        for trouble in (self.world.cut, self.world.frozen, self.world.slow):
            trouble.clear()
        for uid in self.uids:
            self.begin_keeper(uid)

    def something_breaks(self) -> None:
        """One fault, or one repair, at random."""
        uid, other = self.random.sample([*self.uids, SENTINEL], 2)
        keeper = uid if uid != SENTINEL else other
        self.random.choice(
            (
                lambda: self.crash(keeper),
                lambda: self.crash(keeper),
                lambda: self.kill_keeper(keeper),
                lambda: self.lose_host(keeper),
                lambda: self.lose_site(site_of(keeper)),
                lambda: self.wipe(keeper),
                lambda: self.cut(uid, other),
                lambda: self.freeze(keeper),
                lambda: self.slow_down(keeper),
                self.world.cut.clear,
                self.replace_sentinel,
                lambda: self.begin_keeper(keeper),
                lambda: self.begin_keeper(keeper),
                self.heal,
                self.heal,
            )
        )()

    def until_healthy(self, rounds: int) -> int:
        """Run without faults; return how many rounds it took, or fail with the story."""
        for count in range(rounds):
            if self.healthy:
                return count
            self.round()
        raise AssertionError(f"not healthy after {rounds} rounds: {[reason.code for reason in self.reasons]}")
