"""A store that is put back to an old backup, and what may follow then: I1, by docs/protocol.md, section 11.

Nothing here believes a service: what was obeyed is what the keepers' disks have taken.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final

from common.model.identity import Acceptance
from common.model.view import ClusterView
from tests.sim.etcd_data import SimBackup
from tests.sim.services import KEYS
from tests.sim.views import ViewWrite

if TYPE_CHECKING:
    from tests.sim.world import World

SAVES_EVERY_S: Final = 1.0
BACKUPS_KEPT: Final = 20
BUMP: Final = 1_000_000
"""Revisions that ``--bump-revision`` skips."""
ACCEPTED_ABOVE: Final = 100
"""How far the first generation of an accepted store lies above all that its operator was shown."""
LOOKS_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Obeyed:
    """What one keeper's disk says that it has obeyed last."""

    uid: str
    generation: int
    view: ClusterView


class Restores:
    """Keeps backups, puts them back, and judges the first view that is written after that."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._backups: deque[SimBackup] = deque(maxlen=BACKUPS_KEPT)
        self._stored: ClusterView | None = None
        self.count = 0
        self.may_happen = False
        world.views.on_view.append(self._view_written)
        world.loop.world_after(LOOKS_EVERY_S, self._look)

    def keep_backups(self) -> None:
        """Save a snapshot now and then from now on."""
        self.may_happen = True
        self._world.loop.world_after(SAVES_EVERY_S, self.keep_backups)
        self._backups.append(self._world.etcd.data.snapshot())

    def restore(self, chance: Random) -> None:
        """Put one of the last backups back, the newest rather than an old one."""
        if not self._backups:
            return
        world, data = self._world, self._world.etcd.data
        age = int(len(self._backups) * chance.random() ** 2)
        backup = self._backups[-1 - age]
        cluster_id = chance.getrandbits(60) if chance.random() < 0.5 else None
        bump = BUMP if chance.random() < 0.5 else 0
        revision = data.revision
        world.etcd.restore(backup, cluster_id=cluster_id, bump_revision=bump)
        self.count += 1
        self._backups.clear()
        item = data._items.get(KEYS.view)
        self._stored = ClusterView.from_bytes(item.value) if item is not None else None
        world.views.is_restored = True
        world.say(
            f"etcd is restored: revision {revision} becomes {backup.keys.revision}"
            f"{' and a million' if bump else ''}, {'a new' if cluster_id else 'the same'} cluster id, "
            f"the view of generation {self._stored.generation if self._stored else 0}"
        )

    def suspended(self) -> list[str]:
        """The services that do not believe their store now."""
        return [str(unit) for unit in self._world.units if unit.serves and unit.is_suspended]

    def _look(self) -> None:
        """I8: nobody is suspended for nothing: it takes an operator to end that."""
        self._world.loop.world_after(LOOKS_EVERY_S, self._look)
        if not self.count and (found := self.suspended()):
            self._world.violated("I8", f"no store was restored, but suspended: {', '.join(found)}")

    # I1.

    def _view_written(self, write: ViewWrite) -> None:
        if not write.is_restored and not write.is_accepted:
            return
        self._world.invariants.checks["I1 restored"] += 1
        why = self._why_not(write)
        if why:
            kind = write.event.kind if write.event else "no event"
            self._world.violated(
                "I1", f"generation {write.view.generation} ({kind}) in a restored store: {why}"
            )

    def _why_not(self, write: ViewWrite) -> str:
        """Why this may not be the first view written after a restore; empty when it may.

        Another cluster id alone is no reason: until its next confirming read a leader may still write, if
        leader and view came back just as it had read them. Then nothing that anybody obeyed was lost.
        """
        obeyed = list(self._obeyed())
        if write.is_accepted:
            return self._why_not_accepted(write.view, obeyed)
        stored = self._stored
        if stored is None or write.view.generation != stored.generation + 1:
            return f"no operator has accepted it, and it does not follow the restored {_named(stored)}"
        for each in obeyed:
            if each.generation > stored.generation:
                return f"no operator has accepted it, and {each.uid} has obeyed generation {each.generation}"
            if each.generation == stored.generation and each.view != stored:
                return f"no operator has accepted it, and {each.uid} has obeyed another view of that"
        return ""

    def _why_not_accepted(self, view: ClusterView, obeyed: list[Obeyed]) -> str:
        """The one jump there is: above all that anybody obeyed, and no promotion is forgotten."""
        item = self._world.etcd.data._items.get(KEYS.acceptance)
        acceptance = Acceptance.from_bytes(item.value) if item is not None else None
        if acceptance is None or view.generation != acceptance.generation + ACCEPTED_ABOVE:
            return f"it does not follow what the operator accepted: {acceptance}"
        for each in obeyed:
            if each.generation >= view.generation:
                return f"{each.uid} has obeyed generation {each.generation}"
            named = each.view.primary
            if named is None or named.uid != each.uid or each.uid in acceptance.without:
                continue
            if view.term < each.view.term:
                return f"it is of term {view.term}, but {each.uid} was primary in term {each.view.term}"
            if view.term == each.view.term and (view.primary is None or view.primary.uid != named.uid):
                return f"it names {view.primary} in term {view.term}, in which {each.uid} was primary"
        return ""

    def _obeyed(self) -> Iterator[Obeyed]:
        for uid, unit in self._world.keepers.items():
            raw = unit.disk.snapshot().get("keeper")
            state: dict[str, Any] = json.loads(raw) if raw else {}
            if state.get("view") is not None:
                view = ClusterView.from_bytes(json.dumps(state["view"]).encode())
                yield Obeyed(uid, view.generation, view)


def _named(view: ClusterView | None) -> str:
    return f"view of generation {view.generation}" if view else "store, which has no view"
