"""Reasons: why something is done, and why it is not, for logs, status, the page and tests alike."""

from __future__ import annotations

from typing import Final, Literal

from common.model.base import Document, Value

Severity = Literal["info", "warning", "critical"]

RANK: dict[Severity, int] = {"critical": 0, "warning": 1, "info": 2}
"""Order for people: worst first."""


SUSPENDED: Final = "store_restored"
"""Code of the state in which nothing is decided until an operator confirms; it is said before all else."""


class Reason(Value):
    """One statement about the cluster.

    ``code`` is stable and in snake case; ``subject`` is a uid, site or setting; ``fix`` says what a
    human can do, empty when nothing needs to be done.
    """

    code: str
    severity: Severity
    text: str
    subject: str = ""
    fix: str = ""


def worst_first(reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """Sort for people, each statement once; who is suspended comes first, since nothing else moves then."""
    return tuple(
        sorted(set(reasons), key=lambda r: (RANK[r.severity], r.code != SUSPENDED, r.code, r.subject, r.text))
    )


class ReasonsDocument(Document):
    """What the leader sentinel says beside the view; apart from it, so that reasons make no generation."""

    term: int
    reasons: tuple[Reason, ...] = ()
