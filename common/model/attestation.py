"""Attestation: proof, of a stated age, that a primary is still the only one (protocol, section 7)."""

from __future__ import annotations

from pydantic import Field

from common.model.base import Document
from common.model.view import Route


class Attestation(Document):
    """A primary's keeper's answer: ``k`` members of every set in force have flushed a record of this primary.

    ``nonce`` is the asker's own, so that no answer to another question is taken for it.
    """

    nonce: str
    cluster: str
    uid: str
    incarnation: str
    term: int
    age_s: float = Field(
        ge=0,
        allow_inf_nan=False,
        description="when it was answered: seconds since before the record was written",
    )

    def is_for(self, cluster: str, route: Route, nonce: str) -> bool:
        """Whether it proves that exactly this route's primary is still the only one."""
        return (self.cluster, self.uid, self.incarnation, self.term, self.nonce) == (
            cluster,
            route.uid,
            route.incarnation,
            route.term,
            nonce,
        )
