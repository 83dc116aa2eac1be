"""What an attestation says, held against who had already promised the store to count no more.

A primary attests that ``k`` members of its set had not sealed for a newer term as of some moment. Nothing
here believes it: when a seal was told is seen as it is written to the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from common.errors import InvalidDocument
from common.model.attestation import Attestation
from common.model.reports import KeeperReport
from common.model.view import SyncMember, SyncSet
from tests.sim.views import ViewWrite

if TYPE_CHECKING:
    from tests.sim.world import World

CLOCKS_DIFFER_BY: Final = 1.015
"""A clock that is one percent wrong, and a bit: for how long ago the moment was."""


class Attestations:
    """Watches one world; what it finds goes to :meth:`World.violated`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sets: dict[int, SyncSet] = {}
        self._sealed: dict[tuple[int, SyncMember], float] = {}
        world.views.on_view.append(self._view_written)
        world.views.on_report.append(self._report_written)
        world.on_attested = self._attested

    def _view_written(self, write: ViewWrite) -> None:
        """Note by which set each term counts; a pending one may be unknown to its primary, and adds to it."""
        if write.view.phase != "sealing":
            self._sets[write.view.term] = write.view.sync.current

    def _report_written(self, uid: str, raw: bytes) -> None:
        """Note when a seal is told: from then on that life confirms nothing in an older term."""
        view = self._world.view
        if view is None or view.phase != "sealing":
            return
        try:
            report = KeeperReport.from_bytes(raw)
        except InvalidDocument:
            return
        if report.seal is not None and report.incarnation is not None:
            life = SyncMember(uid, report.incarnation)
            self._sealed.setdefault((report.seal.term, life), self._world.loop.time())

    def _attested(self, answer: Attestation) -> None:
        """I5's premise: no failover can have completed by the moment that is attested."""
        world = self._world
        world.invariants.checks["I5 attested"] += 1
        as_of_s = world.loop.time() - answer.age_s * CLOCKS_DIFFER_BY
        counted = self._sets.get(answer.term)
        if counted is None:
            return
        sealed = {
            life for (term, life), at_s in self._sealed.items() if term > answer.term and at_s < as_of_s
        }
        left = counted.members - sealed
        if len(left) < counted.k:
            world.violated(
                "I5",
                f"{answer.uid} attests for term {answer.term} as of {as_of_s:.3f} s, but of {counted} only "
                f"{sorted(left)} had not sealed for a newer one",
            )
