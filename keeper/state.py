"""What a keeper must not forget: one small document, made durable before anything is done because of it.

It stands in the keeper's own directory, not in the data directory, where pg_rewind would copy over it.
"""

from __future__ import annotations

from common.model.base import Document, Value
from common.model.identity import StoreMemory
from common.model.reports import EndedLife, PromotionReport, SealReport
from common.model.spec import Timings
from common.model.view import ClusterView
from keeper.steps import Life


class LifeRecord(Value):
    """One life of the data directory, as kept on disk (see :class:`keeper.steps.Life`)."""

    incarnation: str
    term: int
    complete: bool = False


class KeeperState(Document):
    """The durable memory of one keeper.

    ``keeper_id`` tells this keeper from another with the same uid. ``generation`` and ``term`` are
    the highest that it obeyed, ``sealed_term`` its promise, ``promotion`` the last one it began.
    ``view`` is the last one obeyed and ``fence_after_s`` the spec's: they serve while the store is out of
    reach, and never for a start (I6). ``store`` is which store that was. ``before`` is the life whose
    directory the present one replaces, once its clone or rewind has ended; ``ended`` says where that
    life ended, if it was known.
    """

    keeper_id: str
    generation: int = 0
    term: int = 0
    sealed_term: int = 0
    life: LifeRecord | None = None
    before: LifeRecord | None = None
    promotion: PromotionReport | None = None
    ended: EndedLife | None = None
    view: ClusterView | None = None
    fence_after_s: float = Timings().fence_after_s
    store: StoreMemory = StoreMemory()

    @property
    def memory(self) -> StoreMemory:
        """What it remembers of the store."""
        return self.store.changed(generation=self.generation, term=self.term)

    def obeying(self, view: ClusterView, digest: str = "") -> KeeperState:
        """The state once this view is obeyed; ``digest`` is empty where it is not known at that moment."""
        if view.generation < self.generation:
            return self
        if view is self.view and digest in {"", self.store.view_digest}:
            return self  # as nearly always: nothing to check anew
        known = digest or (self.store.view_digest if view.generation == self.generation else "")
        return self.changed(
            generation=view.generation,
            term=max(self.term, view.term),
            view=view,
            store=self.store.obeyed(view.generation, view.term, known),
        )

    def sealed(self, term: int) -> KeeperState:
        """The state once this member has entered a term; a seal is never taken back."""
        return self.changed(sealed_term=max(self.sealed_term, term))

    def born(self, incarnation: str, term: int, seal: SealReport | None = None) -> KeeperState:
        """The state once a new life has begun: it is not complete, and it is sealed for its term.

        ``seal`` is the one of the life before, which is not forgotten while others may ask for it.
        """
        life = LifeRecord(incarnation=incarnation, term=term)
        ended = EndedLife(incarnation=self.life.incarnation, seal=seal) if self.life and seal else self.ended
        return self.sealed(term).changed(life=life, before=self.life, ended=ended)

    def found(self, marker: str | None, incarnation: str) -> KeeperState:
        """The state once the directory turned out to be of another life: it begins one more.

        Where a clone never replaced the directory, that is as complete as it was before the clone began.
        A promotion that began in this directory, or may have where the marker is missing, goes with it.
        """
        left = LifeRecord(incarnation=incarnation, term=self.term, complete=True)
        if self.before is not None and self.before.incarnation == marker:
            left = self.before.changed(incarnation=incarnation)
        promotion = self.promotion
        if promotion is not None and (marker is None or promotion.lies_in(marker)):
            promotion = promotion.carried(incarnation)
        return self.sealed(self.term).changed(life=left, promotion=promotion)

    def spoiled(self) -> KeeperState:
        """The state once a rewind was left half done: only a clone can replace the directory."""
        return self if self.life is None else self.changed(life=self.life.changed(complete=False))

    def completed(self) -> KeeperState:
        """The state once PostgreSQL has accepted a connection on this life."""
        return self if self.life is None else self.changed(life=self.life.changed(complete=True))

    @property
    def present_life(self) -> Life | None:
        """The life as the plan sees it."""
        if self.life is None:
            return None
        return Life(self.life.incarnation, self.life.term, self.life.complete)
