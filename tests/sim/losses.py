"""What failovers lose while commits wait for nobody (``k = 0``): within bounds, and never without a word.

The bound is ``max_lag_on_failover`` behind the primary's last report (protocol, section 7). A report may be
late by what a lease and a watch that lags allow, so only commits older than that are held to it.

It holds for all that the term acknowledged, what standbys had to have before ``k`` fell to 0 included: see
"What is not promised" in docs/safety.md. What any earlier term acknowledged stays promised.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from common.model.history import HistoryEvent
from common.model.view import ClusterView, Forsaken
from common.model.wal import Lsn
from tests.sim.ledger import Acknowledged
from tests.sim.views import ViewWrite

if TYPE_CHECKING:
    from tests.sim.world import World

TOLD: Final = frozenset({"wal_lost", "wal_lost_unknown"})
REPORTED_WITHIN_S: Final = 12.0
"""Beside a lease: a look, a put that is tried again, a watch that lags and is found deaf."""
BETWEEN_REPORTS_BYTES: Final = 8000
"""What all clients together write between two looks, and more."""


class Losses:
    """Watches one world; what it finds goes to :meth:`World.violated`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._told: list[HistoryEvent] = []
        self._sealing_since_s = 0.0
        self._reigns_from_s = 0.0
        world.views.on_view.append(self._view_written)

    def _view_written(self, write: ViewWrite) -> None:
        before, view = write.before, write.view
        if write.event is not None and write.event.kind in TOLD:
            self._told.append(write.event)
        if view.phase == "sealing" and (before is None or view.term > before.term):
            self._sealing_since_s = self._world.loop.time()
        if before is not None and before.phase == "sealing" and view.primary is not None:
            self._named(before, view)
            if view.primary != before.old_primary:
                self._reigns_from_s = self._world.loop.time()

    def _named(self, before: ClusterView, view: ClusterView) -> None:
        """I3 for ``k = 0``, as far as it is promised: a failover by itself loses no more than it may."""
        old, named = before.old_primary, view.primary
        if old is None or named is None or named == old or not before.sync.lease_protects:
            return
        world = self._world
        data = world.fleet.hosts[named.uid].data
        if data is None or data.marker != named.incarnation or world.restores.count:
            return
        world.invariants.checks["I3 bound"] += 1
        until_s = self._sealing_since_s - world.longest_lease_s - REPORTED_WITHIN_S
        lost_commits = [
            each for each in world.ledger.of(old.uid, lacking_in=data) if each.at_s >= self._reigns_from_s
        ]
        lost = [each.record.end for each in lost_commits if each.at_s < until_s]
        bound = world.max_lag_bytes + world.max_lag_bytes // 4 + BETWEEN_REPORTS_BYTES
        lost_bytes = max(lost, default=named.fork) - named.fork
        if lost_bytes > bound:
            world.violated(
                "I3",
                f"{named.uid} is named in term {view.term} and lacks {lost_bytes} bytes of {old.uid}, "
                f"{len(lost)} commits from before {until_s:.1f} s; "
                f"max_lag_on_failover is {world.max_lag_bytes}",
            )

        if before.sync.current.k == 0:
            for each in lost_commits:
                if each.is_promised:
                    world.invariants.checks["I3 promised before k = 0"] += 1
                    world.ledger.acknowledged[each.number] = replace(each, is_promised=False)

    def at_end(self) -> None:
        """Whatever the cluster has lost stands in its history, or waits for the word of who had it."""
        world, view = self._world, self._world.view
        if view is None or view.route is None or world.restores.count:
            return
        data = world.fleet.hosts[view.route.uid].data
        if data is None:
            return
        held = set(map(id, data.wal.records))
        for each in world.ledger.acknowledged.values():
            if not each.is_promised and id(each.record) not in held:
                world.invariants.checks["I3 told"] += 1
                if not self._is_told(each, view):
                    world.violated(
                        "I3",
                        f"{each.number}, acknowledged by {each.host} at {each.at_s:.3f} s, "
                        "is lost without a word",
                    )
                    return

    def _is_told(self, each: Acknowledged, view: ClusterView) -> bool:
        lsn = each.record.end
        return any(
            event.old_primary == each.host and _reaches(event.lsn, lsn) for event in self._told
        ) or any(_waits(left, each.host, lsn) for left in view.forsaken)


def _reaches(lost_from: Lsn | None, lsn: Lsn) -> bool:
    """Whether a loss from a position on includes one; of a loss that cannot be known, each may be part."""
    return lost_from is None or lost_from < lsn


def _waits(left: Forsaken, host: str, lsn: Lsn) -> bool:
    return left.uid == host and left.fork < lsn
