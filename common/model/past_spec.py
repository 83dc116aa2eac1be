"""A spec as it stood from some moment on, kept so that it can be shown and put back."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from common.model.base import Document
from common.model.spec import ClusterSpec

PAST_SPECS_LIMIT: Final = 50
"""Specs that are kept; the transaction that adds one removes the one this many numbers older."""


class PastSpec(Document):
    """One spec that was written. ``number`` grows by one; ``how`` says by which command, in words."""

    number: int
    at: datetime
    by: str
    how: str
    spec: ClusterSpec
