"""What a keeper must not forget: one small document, made durable before anything is done because of it.

It stands in the keeper's own directory, not in the data directory, where pg_rewind would copy over it.
"""

from __future__ import annotations

from common.model.base import Document, Value
from common.model.reports import PromotionReport
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
    ``before`` is the life whose directory the present one replaces, once its clone or rewind has ended.
    """

    keeper_id: str
    generation: int = 0
    term: int = 0
    sealed_term: int = 0
    life: LifeRecord | None = None
    before: LifeRecord | None = None
    promotion: PromotionReport | None = None

    def obeying(self, view: ClusterView) -> KeeperState:
        """The state once this view is obeyed."""
        return self.changed(generation=max(self.generation, view.generation), term=max(self.term, view.term))

    def sealed(self, term: int) -> KeeperState:
        """The state once this member has entered a term; a seal is never taken back."""
        return self.changed(sealed_term=max(self.sealed_term, term))

    def born(self, incarnation: str, term: int) -> KeeperState:
        """The state once a new life has begun: it is not complete, and it is sealed for its term."""
        life = LifeRecord(incarnation=incarnation, term=term)
        return self.sealed(term).changed(life=life, before=self.life)

    def found(self, marker: str | None, incarnation: str) -> KeeperState:
        """The state once the directory turned out to be of another life: it begins one more.

        Where a clone never replaced the directory, that is as complete as it was before the clone began.
        """
        left = LifeRecord(incarnation=incarnation, term=self.term, complete=True)
        if self.before is not None and self.before.incarnation == marker:
            left = self.before.changed(incarnation=incarnation)
        return self.sealed(self.term).changed(life=left)

    def completed(self) -> KeeperState:
        """The state once PostgreSQL has accepted a connection on this life."""
        return self if self.life is None else self.changed(life=self.life.changed(complete=True))

    @property
    def present_life(self) -> Life | None:
        """The life as the plan sees it."""
        if self.life is None:
            return None
        return Life(self.life.incarnation, self.life.term, self.life.complete)
