"""I3 for those who begin another life: what they give up must be on as many other hosts as the sets ask for.

A commit that was acknowledged under ``k`` lies on the primary and on ``k`` others, so that ``k`` of them
may be lost. A failover may begin with fewer: where ``k = 1`` and the primary is lost, one copy may be all
there is. The route is set only when ``k`` others have what the new primary has (I7), and nobody who comes
back may give his copy up before: until then it may be one of the two. So a removal, or a rewind in place,
has to leave each promised commit on ``1 + k`` other hosts, where it does not itself have it again already.

``k`` is what the sets in force ask for, and what the last route has proven if that is less: a greater ``k``
that is only pending has yet to be waited for, and where the operator lets ``k`` go down he has said that
fewer are enough. A keeper may go by an older view than the store's: that one's route has proven no less.
A data directory that a fault destroys is a copy that nobody has given up: one less is asked for then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.model.view import ClusterView
from tests.sim.postgres.directory import Directory
from tests.sim.postgres.host import SimHost

if TYPE_CHECKING:
    from tests.sim.world import World


class Copies:
    """Watches one world; what it finds goes to :meth:`World.violated`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._routed_k: int | None = None

    def routed(self, view: ClusterView) -> None:
        """A route was set: that many others have everything."""
        self._routed_k = _asked_for(view)

    def given_up(self, host: SimHost, directory: Directory) -> None:
        """Judge a directory that is about to be rewound, or that is removed."""
        world = self._world
        world.invariants.checks["I3 copies"] += 1
        if directory.torn:
            return  # that was judged when it was torn
        held = {id(record) for record in directory.wal.records}
        again = [set(map(id, _on_disk(copy))) for copy in _intact(host, directory)]
        others = [
            set().union(*(set(map(id, _on_disk(copy))) for copy in _intact(other, directory)))
            for other in world.fleet.hosts.values()
            if other is not host
        ]
        wanted = self._wanted
        for each in world.ledger.acknowledged.values():
            record = id(each.record)
            if not each.is_promised or record not in held or any(record in copy for copy in again):
                continue
            left = sum(record in copy for copy in others)
            if left < wanted:
                world.violated(
                    "I3",
                    f"{host.name} gives up its copy of {each.number}: {left} are left, {wanted} must be",
                )
                return

    @property
    def _wanted(self) -> int:
        world = self._world
        asked_for = _asked_for(world.view) if world.view is not None else 0
        proven = asked_for if self._routed_k is None else min(asked_for, self._routed_k)
        return max(1, 1 + proven - world.has_wiped)


def _asked_for(view: ClusterView) -> int:
    return max(each.k for each in view.sync.in_force)


def _intact(host: SimHost, but: Directory) -> list[Directory]:
    return [
        copy
        for copy in (host.data, host.new, host.old)
        if copy is not None and copy is not but and not copy.torn
    ]


def _on_disk(directory: Directory) -> list[object]:
    wal = directory.wal
    return list(wal.records[: wal.count_until(wal.flushed)])
