"""The invariants of docs/protocol.md, section 10, asked of the whole world at each event that can break them.

Nothing here believes a service: what counts is the store, the data directories and the processes on them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from common.model.view import ClusterView
from common.model.wal import ZERO, Lsn
from tests.sim.copies import Copies
from tests.sim.histories import differing, holds_flushed, setting, settings_in_use
from tests.sim.ledger import Acknowledged
from tests.sim.postgres import oracle
from tests.sim.postgres.directory import Directory
from tests.sim.postgres.host import Event, SimHost
from tests.sim.postgres.server import Server
from tests.sim.postgres.wal import Record
from tests.sim.views import ViewWrite

if TYPE_CHECKING:
    from tests.sim.services import Unit
    from tests.sim.world import World

LOOKS_EVERY_S: Final = 0.1
CLOCKS_DIFFER_BY: Final = 1.025
"""Of two clocks that are each up to one percent wrong, and a bit."""
A_MOMENT_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Violation:
    """Which invariant does not hold, in words, and when."""

    invariant: str
    text: str
    at_s: float

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at_s:.3f} s: {self.text}"


class Invariants:
    """Watches one world; what it finds goes to :meth:`World.violated`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._writable_from: dict[str, tuple[Server, Lsn]] = {}
        self._named: dict[str, ClusterView] = {}
        self._reigns_from = 0
        """The first term of the present primary, which may have been named again since, without a restart."""
        self.checks: Counter[str] = Counter()
        self._copies = Copies(world)
        self.terms_begun = 0
        self.first_route_s = math.inf
        world.views.on_view.append(self._view_written)
        world.fleet.on_acknowledged = self._acknowledged
        world.loop.world_after(LOOKS_EVERY_S, self._look)

    def _look(self) -> None:
        self._world.loop.world_after(LOOKS_EVERY_S, self._look)
        self._one_acknowledger()
        self._sets_are_known()

    def _violated(self, invariant: str, text: str) -> None:
        self._world.violated(invariant, text)

    # What happens.

    def _view_written(self, write: ViewWrite) -> None:
        view, before = write.view, write.before
        self._growth(write)
        responsible = view.primary or view.old_primary
        if responsible is not None:
            self._named[responsible.uid] = view
        if view.primary is not None and (
            before is None or view.primary != (before.primary or before.old_primary)
        ):
            self._reigns_from = view.term
        if before is not None and view.term > before.term:
            self.terms_begun += 1
        self._one_acknowledger()
        self._sets_are_known()
        if view.phase == "promoting" and (before is None or before.phase != "promoting"):
            self._same_history(view)
        if view.route is not None and (before is None or before.route is None):
            self.first_route_s = min(self.first_route_s, self._world.loop.time())
            self._routed(view)
            self._copies.routed(view)

    def postgres_event(self, event: Event, host: SimHost, directory: Directory | None) -> None:
        """What the simulated servers tell."""
        server = host.server
        if event == "spawned" and server is not None and directory is not None:
            if not directory.standby_signal:
                self._started_writable(host, directory)
        elif event == "writable" and server is not None:
            self._writable_from[host.name] = (server, server.end)
            route = self._world.view.route if self._world.view is not None else None
            if route is not None and directory is not None and route.incarnation == directory.marker:
                self._violated("I7", f"{host.name} is writable anew, and had its route before that")
            self._one_acknowledger()
        elif event in {"rewound", "discarded"} and directory is not None:
            self._copies.given_up(host, directory)

    def _acknowledged(self, server: Server, record: Record) -> None:
        if record.commit is None:
            return
        world = self._world
        view = self._named.get(server.host.name)
        sets = view.sync.in_force if view else ()
        promised = bool(sets) and all(each.k > 0 for each in sets)
        each = Acknowledged(record.commit, server.host.name, world.loop.time(), record, promised)
        world.ledger.acknowledged[record.commit] = each
        self._not_superseded(server, each)

    # I1.

    def _growth(self, write: ViewWrite) -> None:
        """I1: generations grow by one, terms never fall, and whoever wrote led when it was written.

        What follows a restore, or an operator's word for the store, is judged by :mod:`tests.sim.restores`.
        """
        self.checks["I1"] += 1
        view, before = write.view, write.before
        generation, term = (before.generation, before.term) if before else (0, 0)
        follows = write.is_restored or write.is_accepted
        if before is not None and not follows and view.generation != generation + 1:
            self._violated("I1", f"generation {view.generation} was written after {generation}")
        if view.term < term and not follows:
            self._violated("I1", f"term {view.term} was written after {term}")
        if write.event is None or write.event.sentinel != write.leader:
            by = write.event.sentinel if write.event else "nobody"
            self._violated("I1", f"generation {view.generation} was written by {by} while {write.leader} led")

    # I2.

    def _one_acknowledger(self) -> None:
        """I2: at most one PostgreSQL can gather the flushes for a commit."""
        self.checks["I2"] += 1
        fleet = self._world.fleet
        if sum(not server.in_recovery for host in fleet.hosts.values() for server in host.running) < 2:
            return
        able = [each for each in oracle.acknowledgers(fleet) if each.could and not self._excused(each)]
        if len(able) > 1:
            self._violated("I2", f"{len(able)} servers could acknowledge a commit: {able}")

    def _excused(self, each: oracle.Acknowledger) -> bool:
        """Against a host that stands still as a whole ``k = 0`` promises nothing (section 7)."""
        return each.k == 0 and each.host in self._world.stood_still

    def _not_superseded(self, server: Server, each: Acknowledged) -> None:
        """I2: no later primary of the lineage lacks what an earlier one still acknowledges."""
        view = self._world.view
        if view is None or (not each.is_promised and each.host in self._world.stood_still):
            return
        lineage = {entry.timeline for entry in view.lineage}
        for host in self._world.fleet.hosts.values():
            for other in host.running:
                if other is server or other.in_recovery or other.timeline not in lineage:
                    continue
                if other.timeline > server.timeline and each.record not in other.directory.wal.records:
                    self._violated(
                        "I2",
                        f"{server.host.name} on timeline {server.timeline} acknowledged {each.number}, "
                        f"which the primary {host.name} on timeline {other.timeline} lacks",
                    )

    # I3.

    def _routed(self, view: ClusterView) -> None:
        """What must hold at the moment at which a route is set."""
        assert view.route is not None
        host = self._world.fleet.hosts[view.route.uid]
        if host.data is not None:
            self._nothing_missing(host, host.data)
            self._confirmed(view, host)
            self._same_history(view)

    def _nothing_missing(self, host: SimHost, directory: Directory) -> None:
        """I3: no acknowledged commit is missing from the primary whose route is set."""
        self.checks["I3"] += 1
        missing = self._world.ledger.missing_from(directory)
        if missing:
            shown = ", ".join(f"{each.number} (by {each.host} at {each.at_s:.3f} s)" for each in missing[:5])
            self._violated(
                "I3", f"the primary {host.name} lacks {len(missing)} acknowledged commits: {shown}"
            )

    def at_end(self) -> None:
        """I3 and I9, once all is well again."""
        view = self._world.view
        if view is not None and view.route is not None:
            host = self._world.fleet.hosts[view.route.uid]
            if host.data is not None:
                self._nothing_missing(host, host.data)
            self._same_history(view)

    # I4.

    def _sets_are_known(self) -> None:
        """I4: a primary counts flushes only by sets that a promotion would have to satisfy.

        One that was named again counts the same members by their names of the term before, for a moment.
        """
        view = self._world.view
        responsible = (view.primary or view.old_primary) if view else None
        if view is None or responsible is None:
            return
        host = self._world.fleet.hosts.get(responsible.uid)
        term = view.term if view.primary else view.term - 1
        server = host.server if host else None
        if server is None or server.in_recovery or view.phase == "initializing":
            return
        self.checks["I4"] += 1
        terms = range(min(self._reigns_from, term), term + 1)
        wanted = [setting(each, named_in) for each in view.sync.in_force for named_in in terms]
        for found in settings_in_use(server):
            if found not in wanted:
                self._violated(
                    "I4",
                    f"{responsible.uid} counts {found.k} of {sorted(found.names)} in term {term}, "
                    f"but the sets in force are {wanted}",
                )

    # I5.

    def forwards(self, proxy: str, transport: Any) -> None:
        """I5: a proxy sends nothing to a server of an older term, nor without a proof of its route."""
        unit = self._world.proxies[proxy]
        service, listener = unit.service, unit.listener
        if service is None or listener is None:
            return
        self.checks["I5"] += 1
        obeyed = service.decision.obeyed
        for session in listener._sessions:
            if getattr(session.server, "transport", None) is not transport:
                continue
            if obeyed is not None and session.target.term < obeyed.term:
                self._violated(
                    "I5",
                    f"{proxy} forwards to {session.target} after it has applied a view of term {obeyed.term}",
                )
            # A process that has just woken up reads before its timers run: that is not seen here.
            woke_up = self._world.loop.time() - unit.resumed_at_s < A_MOMENT_S
            if service._proof.unproven_s > service._timeout_s + A_MOMENT_S and not woke_up:
                self._violated("I5", f"{proxy} forwards although its route is unproven for too long")

    def was_read(self, rows: Collection[int], asked_s: float, proxy: Unit) -> None:
        """I5 as clients see it: through a proxy nothing older than ``proxy_timeout`` is read.

        Except through one that stood still meanwhile: it reads before its timers run when it wakes up.
        """
        if proxy.resumed_at_s >= asked_s:
            return
        self.checks["I5 reads"] += 1
        ledger = self._world.ledger
        limit_s = asked_s - self._world.proxy_timeout_s * CLOCKS_DIFFER_BY - A_MOMENT_S
        held = set(rows)
        for number, at_s in ledger.told_at_s.items():
            if at_s >= limit_s or number in held or ledger.told[number] != "acknowledged":
                continue
            each = ledger.acknowledged.get(number)
            if each is not None and each.is_promised:
                self._violated(
                    "I5", f"a read at {asked_s:.3f} s lacks {number}, acknowledged at {at_s:.3f} s"
                )
                return

    # I6.

    def _started_writable(self, host: SimHost, directory: Directory) -> None:
        """I6: PostgreSQL is started writable only by a keeper whose view of this life says so."""
        self.checks["I6"] += 1
        unit = self._world.keepers[host.name]
        keeper = unit.keeper
        view = keeper.service._documents.view if keeper else None
        state = keeper.service._local.state if keeper else None
        if view is None or state is None or view.primary is None:
            self._violated("I6", f"{host.name} was started writable by a keeper that has read no view")
            return
        promotion, named = state.promotion, view.primary
        why = ""
        if named.uid != host.name or named.incarnation not in {None, directory.marker}:
            why = f"the view names {named}"
        elif state.sealed_term > view.term:
            why = f"it is sealed for term {state.sealed_term}, the view is of term {view.term}"
        elif view.phase == "switching":
            why = "a switchover is under way"
        elif promotion is None or not promotion.finished or promotion.incarnation != directory.marker:
            why = f"its last promotion is {promotion}"
        if why:
            self._violated("I6", f"{host.name} (life {directory.marker}) was started writable: {why}")

    # I7.

    def _confirmed(self, view: ClusterView, host: SimHost) -> None:
        """I7: ``k`` members of every set in force have flushed a record of the primary since its start.

        One whose directory was removed under its server counts: it confirmed what no disk keeps, until its
        keeper noticed, and nothing in any protocol can tell.
        """
        self.checks["I7"] += 1
        server, began = self._writable_from.get(host.name, (None, ZERO))
        if server is None or server is not host.server or host.data is None:
            return  # it has ended meanwhile: the route leads nowhere
        wal = host.data.wal
        first = next((record for record in wal.records[wal.count_until(began) :]), None)
        for each in view.sync.in_force:
            flushed = [
                uid
                for uid, life in each.members
                if (uid, life) in self._world.lost_lives
                or (first and self._has_flushed(uid, host.name, first))
            ]
            if len(flushed) < each.k:
                self._violated(
                    "I7",
                    f"{host.name} is routed to, but of {each} only {flushed} have a record of this start",
                )

    def _has_flushed(self, uid: str, primary: str, record: Record) -> bool:
        data = self._world.fleet.hosts[uid].data
        return uid != primary and data is not None and holds_flushed(data, record)

    # I9.

    def _same_history(self, view: ClusterView) -> None:
        """I9: equal timeline numbers of the lineage stand for the same records in all directories."""
        self.checks["I9"] += 1
        found = differing(dict(self._directories()), view)
        if found:
            self._violated("I9", found)

    def _directories(self) -> Iterator[tuple[str, Directory]]:
        for host in self._world.fleet.hosts.values():
            if host.data is not None and not host.data.torn:
                yield host.name, host.data
