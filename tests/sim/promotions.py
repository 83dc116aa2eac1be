"""What a promotion rests on, asked at the moment at which somebody is named and when PostgreSQL is told.

Nothing here believes a report: what was promised is what the keepers' disks have taken.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Final

from common.model.view import ClusterView, Primary, SyncMember
from common.model.wal import Lsn
from tests.sim.histories import out_of_reach
from tests.sim.postgres.directory import Directory
from tests.sim.postgres.host import SimHost
from tests.sim.views import ViewWrite

if TYPE_CHECKING:
    from tests.sim.services import KeeperUnit
    from tests.sim.world import World


LOOKS_EVERY_S: Final = 0.1
NOTHING_IS_LEFT: Final = frozenset({"down", "stopped", "no_data"})
CLOCKS_DIFFER_S: Final = 0.1
"""More than two clocks that are one percent wrong differ by within a lease."""


class Promotions:
    """Watches one world; what it finds goes to :meth:`World.violated`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sealed: dict[SyncMember, int] = {}
        for uid, unit in world.keepers.items():
            unit.disk.on_change = partial(self._remembered, uid)
        world.views.on_view.append(self._view_written)
        world.fleet.on_promote = self._promotes
        world.loop.world_after(LOOKS_EVERY_S, self._look)

    def _remembered(self, uid: str) -> None:
        """Note which lives have sealed, and for which term: as it stands on a disk, not as it is told."""
        raw = self._world.keepers[uid].disk.snapshot().get("keeper")
        state = json.loads(raw) if raw else {}
        life, term = state.get("life"), state.get("sealed_term", 0)
        if life is not None and term:
            member = SyncMember(uid, life["incarnation"])
            self._sealed[member] = max(term, self._sealed.get(member, 0))

    def _view_written(self, write: ViewWrite) -> None:
        before, view = write.before, write.view
        if before is not None and view.primary == before.primary:
            self._leaves_nothing_behind(before, view)
        if before is None or before.phase != "sealing" or view.primary is None:
            return
        if view.primary != before.old_primary:
            if not self._handed_over(before, view.primary):
                self._quorum(before, view)
            self._is_off(before)
            self._holds_everything(view, view.primary)

    def _handed_over(self, before: ClusterView, named: Primary) -> bool:
        """Whether the old primary has written its last record, and who is named has it: that is a quorum."""
        attempt, old, fleet = before.switching, before.old_primary, self._world.fleet
        if attempt is None or attempt.shut_down is None or old is None:
            return False
        servers, data = fleet.hosts[old.uid].running, fleet.hosts[named.uid].data
        is_over = all(each.in_recovery or (each.shutdown and each.shutdown.is_recorded) for each in servers)
        record = data.wal.last_until(Lsn(named.fork)) if data is not None else None
        return (
            is_over
            and record is not None
            and (record.kind, record.timeline, record.start) == ("shutdown", old.timeline, attempt.shut_down)
        )

    def _quorum(self, before: ClusterView, view: ClusterView) -> None:
        """I4: those who have sealed, on their disks, intersect all who may have acknowledged."""
        self._world.invariants.checks["I4"] += 1
        old = before.old_primary
        lives = {life for life, term in self._sealed.items() if term >= view.term}
        if old is not None and old.incarnation and SyncMember(old.uid, old.incarnation) in lives:
            return
        for each in before.sync.in_force:
            sealed = each.members & lives
            if 0 < each.k <= len(each.members) and len(each.members - sealed) >= each.k:
                self._world.violated(
                    "I4",
                    f"{view.primary.uid if view.primary else ''} is named in term {view.term}, but of {each} "
                    f"only {sorted(sealed)} have sealed",
                )

    def _leaves_nothing_behind(self, before: ClusterView, view: ClusterView) -> None:
        """I4: a set goes only once every quorum of one that stays has what was acknowledged under it."""
        if set(before.sync.in_force) <= set(view.sync.in_force):
            return
        world = self._world
        world.invariants.checks["I4"] += 1
        directories = [host.data for host in world.fleet.hosts.values() if host.data is not None]
        number = out_of_reach(world.ledger, directories, view)
        if number is not None:
            world.violated("I4", f"only {view.sync.in_force} stay in force, and may miss {number}")

    def _is_off(self, before: ClusterView) -> None:
        """I2: an old primary whose commits wait for nobody has ended when another one is named."""
        old, world = before.old_primary, self._world
        if old is None or not before.sync.lease_protects or old.uid in world.stood_still:
            return
        world.invariants.checks["I2"] += 1
        servers = world.fleet.hosts[old.uid].running
        if any(
            not server.in_recovery
            and not server.sync_rep.defined
            and (server.shutdown is None or not server.shutdown.is_recorded)
            for server in servers
        ):
            world.violated("I2", f"{old.uid} may still acknowledge, without anybody, in term {before.term}")

    def _look(self) -> None:
        """I2's premise: what a keeper calls down has no process left (section 1)."""
        world = self._world
        world.loop.world_after(LOOKS_EVERY_S, self._look)
        for uid, unit in world.keepers.items():
            self._ends_in_time(unit)
            host = world.fleet.hosts[uid]
            if not host.running or unit.keeper is None or not unit.serves:
                continue
            local = unit.keeper.service._local
            if local.start_id is None and local.postgres in NOTHING_IS_LEFT and host.server is None:
                world.violated("I2", f"{uid} calls its PostgreSQL {local.postgres}, but processes are left")

    def _ends_in_time(self, unit: KeeperUnit) -> None:
        """I2's premise under ``k = 0``: the deadman kills before the lease ends, as the store counts."""
        keeper, deadman = unit.keeper, unit.deadman
        limits = keeper.service._guarding.fence._limits if keeper is not None and unit.serves else None
        if keeper is None or limits is None or deadman.fuse.state != "armed":
            return
        data = self._world.etcd.data
        lease = data._leases.get(keeper.session.lease_id or 0)
        if lease is None or lease.ttl_s != limits.ttl_s:
            return  # it was revoked, or the deadline belongs to another one
        late_s = deadman.fuse.deadline - deadman.now - (lease.ends_at - data.clock.monotonic())
        if late_s > CLOCKS_DIFFER_S:
            self._world.violated(
                "I2", f"the deadman of {unit.host} kills {late_s:.3f} s after its lease ends"
            )

    def _holds_everything(self, view: ClusterView, named: Primary) -> None:
        """I3, as early as it can be said: who is named has every commit that was acknowledged."""
        data = self._world.fleet.hosts[named.uid].data
        if data is None or data.torn or data.marker != named.incarnation:
            return  # it has lost its data meanwhile: the promotion cannot even begin
        self._world.invariants.checks["I3"] += 1
        missing = self._world.ledger.missing_from(data)
        if missing:
            shown = ", ".join(f"{each.number} (by {each.host} at {each.at_s:.3f} s)" for each in missing[:5])
            self._world.violated(
                "I3", f"{named.uid} is named in term {view.term} and lacks {len(missing)} commits: {shown}"
            )

    def _promotes(self, host: SimHost, directory: Directory) -> None:
        """I6: PostgreSQL is promoted only by a keeper that has read, in this life, the view that says so."""
        world = self._world
        world.invariants.checks["I6"] += 1
        keeper = world.keepers[host.name].keeper
        documents = keeper.service._documents if keeper else None
        view = documents.view if documents else None
        named = view.primary if view else None
        state = keeper.service._local.state if keeper else None
        why = ""
        if view is None or state is None:
            why = "its keeper has read no view in this life"
        elif named is None or named.uid != host.name or named.incarnation != directory.marker:
            why = f"the view of generation {view.generation} names {named}"
        elif state.sealed_term > view.term:
            why = f"it is sealed for term {state.sealed_term}, the view is of term {view.term}"
        if why:
            world.violated("I6", f"{host.name} (life {directory.marker}) is promoted: {why}")
