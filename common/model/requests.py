"""What operators ask for, and the leader sentinel carries out."""

from __future__ import annotations

from datetime import datetime

from common.model.base import Document


class ContinueRequest(Document):
    """An operator's word that a failover which is held back, or stopped, may begin.

    It counts for the term in which it was asked and for no other, so it never has to be taken back.
    """

    term: int
    at: datetime
