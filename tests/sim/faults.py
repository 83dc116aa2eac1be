"""How each kind of fault befalls a world, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from common.errors import InvalidDocument
from common.model.reports import KeeperReport
from tests.sim import host_faults, network_faults, operations, rare_faults
from tests.sim.fault import Fault
from tests.sim.views import ViewWrite

if TYPE_CHECKING:
    from tests.sim.world import World

Undo = Callable[[], None]

KINDS: Final = (network_faults, host_faults, operations, rare_faults)
"""Modules with a function for each kind: it lets one begin, and returns what ends it."""


class Faults:
    """Lets faults begin and end."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: list[Fault] = []
        self._undo: dict[Fault, Undo] = {}
        self._until: list[Fault] = []
        self._is_over = False
        self._states: dict[str, str] = {}
        world.views.on_view.append(self._view_written)
        world.views.on_report.append(self._report_written)
        world.views.on_leaderless.append(lambda: self._entered("leaderless"))

    def schedule(self, faults: tuple[Fault, ...]) -> None:
        """Let each begin when its time comes."""
        if any(fault.kind == "restore_store" for fault in faults):
            self._world.restores.keep_backups()
        for fault in faults:
            if fault.phase:
                self._world.loop.world_after(fault.at_s, self._waiting.append, fault)
            else:
                self._world.loop.world_after(fault.at_s, self._begin, fault)

    def end_all(self) -> None:
        """Nothing is wrong any more, and nothing will be."""
        self._is_over = True
        for fault in list(self._undo):
            self._end(fault)

    # When they begin.

    def _view_written(self, write: ViewWrite) -> None:
        before, view = write.before, write.view
        if before is None or view.phase != before.phase:
            self._entered(view.phase)
        if before is not None and len(view.sync.pending) > len(before.sync.pending):
            self._entered("pending")
            if view.sync.target.members - view.sync.current.members:
                self._entered("entering")

    def _report_written(self, uid: str, raw: bytes) -> None:
        if not self._waiting and not self._until:
            return
        try:
            state = KeeperReport.from_bytes(raw).state
        except InvalidDocument:
            return
        if self._states.get(uid) != state:
            self._states[uid] = state
            self._entered(state)

    def _entered(self, phase: str) -> None:
        ready = [fault for fault in self._waiting if fault.phase == phase]
        self._waiting[:] = [fault for fault in self._waiting if fault.phase != phase]
        for fault in ready:
            self._world.loop.world_after(fault.after_s, self._begin, fault)
        ending = [fault for fault in self._until if fault.until == phase]
        self._until = [fault for fault in self._until if fault.until != phase]
        for fault in ending:
            self._world.loop.world_after(fault.lasts_s, self._end, fault)

    def _begin(self, fault: Fault) -> None:
        if self._is_over:
            return
        chance = Random(fault.chance)
        whom = self._resolve(fault.whom, chance)
        begin = next(getattr(module, fault.kind) for module in KINDS if hasattr(module, fault.kind))
        self._world.say(f"FAULT {fault.kind} of {whom} ({fault.whom}) begins")
        self._world.causes += 1
        undo = begin(self._world, whom, chance)
        if undo is not None:
            self._undo[fault] = undo
            if fault.until:
                self._until.append(fault)
            else:
                self._world.loop.world_after(fault.lasts_s, self._end, fault)

    def _end(self, fault: Fault) -> None:
        undo = self._undo.pop(fault, None)
        if undo is not None:
            self._world.say(f"FAULT {fault.kind} ({fault.whom}) ends")
            undo()

    def _resolve(self, role: str, chance: Random) -> str:
        """The host that a role stands for now; ``any`` and roles that nobody has are by chance.

        ``sync 1`` and ``sync 2`` are two different members of the sync set, where it has two; an
        ``entrant`` is one that only a pending set has.
        """
        world, view = self._world, self._world.view
        named = (view.primary or view.old_primary) if view else None
        if role == "leader":
            leading = [unit.host for unit in world.sentinels.values() if unit.leads]
            return leading[0] if leading else chance.choice(world.sentinel_hosts)
        if role in {"primary", "candidate"} and named is not None:
            return named.uid
        if role == "target" and view is not None and view.switching is not None:
            return view.switching.target.uid
        if role.startswith("sync") and view is not None:
            members = sorted({member.uid for member in view.sync.current.members})
            number = int(role.removeprefix("sync ")) - 1
            if number < len(members):
                return members[number]
        if role == "entrant" and view is not None:
            entering = view.sync.target.members - view.sync.current.members
            if entering:
                return chance.choice(sorted(entering)).uid
        if role in {"standby", "entrant"} or role.startswith("sync"):
            others = [host for host in world.keeper_hosts if named is None or host != named.uid]
            return chance.choice(others or world.keeper_hosts)
        return chance.choice((*world.keeper_hosts, *world.sentinel_hosts, *world.proxy_hosts))
