"""The state of a cluster as people and programs are shown it.

A pure value: ``pgha status`` renders it as text, JSON or YAML; a web page can show the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import Field

from common.model.base import Value
from common.model.reasons import Reason
from common.model.wal import Lsn
from common.status.clocks import ClockOffset

Health = Literal["healthy", "degraded", "no_primary", "suspended"]

Figures = Literal["live", "report", "none"]


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """What a keeper's API said a moment ago; ``lag_s`` is None on a primary.

    ``received`` and ``wall``: its host's clock when it was asked and when it answered; ``clock`` is what the
    asker makes of them.
    """

    state: str
    role: str | None
    timeline: int
    lsn: Lsn
    lag_s: float | None
    received: datetime | None = None
    wall: datetime | None = None
    clock: ClockOffset | None = None


class KeeperRow(Value):
    """One keeper. ``age_s`` is the age of its report in the store, None when there is none."""

    uid: str
    site: str
    address: str = ""
    role: str = "-"
    state: str = "no report"
    progress: str = ""
    timeline: int | None = None
    lsn: Lsn | None = None
    lag_bytes: int | None = None
    lag_s: float | None = None
    sync: Literal["primary", "sync", "pending", "-"] = "-"
    age_s: float | None = None
    figures: Figures = Field(
        default="none", description="live: asked from the keeper now; report: as old as its report"
    )


class SentinelRow(Value):
    """One sentinel."""

    uid: str
    site: str
    leader: bool
    age_s: float


class ProxyRow(Value):
    """One proxy; ``route`` is the uid it sends writers to, empty while it has none."""

    uid: str
    site: str
    address: str
    route: str
    term: int
    sessions: int
    parked: int
    age_s: float


class StoreRow(Value):
    """One endpoint of the store; ``problem`` is empty when it answers."""

    endpoint: str
    name: str
    leader: bool
    version: str
    problem: str


class SyncRow(Value):
    """One sync set in force: ``k`` of these members must flush before a commit returns."""

    k: int
    members: tuple[str, ...]
    pending: bool


class StatusView(Value):
    """Everything that ``pgha status`` says."""

    cluster: str
    health: Health
    term: int = 0
    generation: int = 0
    phase: str = "none"
    primary: str | None = None
    primary_site: str | None = None
    route: str | None = Field(default=None, description="host:port that proxies send writers to")
    leader: str | None = None
    mode: str = ""
    sync: tuple[SyncRow, ...] = ()
    keepers: tuple[KeeperRow, ...] = ()
    sentinels: tuple[SentinelRow, ...] = ()
    proxies: tuple[ProxyRow, ...] = ()
    store: tuple[StoreRow, ...] = ()
    reasons: tuple[Reason, ...] = ()
