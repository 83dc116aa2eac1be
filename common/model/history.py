"""One event of the cluster's history, written in the same transaction as its view."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from common.model.base import Document
from common.model.wal import Lsn


class HistoryEvent(Document):
    """What changed with one generation, and why."""

    generation: int
    term: int
    at: datetime
    kind: str = Field(description="stable, in snake case: failover_began, primary_named, route_set, ...")
    text: str
    reason: str = Field(default="", description="code of the reason that led to it")
    old_primary: str | None = None
    new_primary: str | None = None
    lsn: Lsn | None = None
    timeline: int | None = None
    sentinel: str = ""
    by: str = Field(default="", description="who asked for it, where somebody did")
    request: str = Field(default="", description="id of the request that it was done for")
    phases_ms: dict[str, float] = Field(
        default_factory=dict, description="time spent in each phase that ended"
    )
