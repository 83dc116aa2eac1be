"""What the services say of themselves, each under its own lease."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from pydantic import Field

from common.model.base import Document, Value
from common.model.identity import StoreMemory
from common.model.lineage import Position
from common.model.reasons import Reason
from common.model.wal import ZERO, Lsn, Switch

PostgresState = Literal[
    "no_data",  # nothing usable in the data directory
    "initializing",  # initdb runs
    "cloning",
    "rewinding",
    "stopped",  # on purpose: no process of the data directory is left
    "down",  # it died, or was found dead: no process of the data directory is left
    "starting",
    "running",
    "stopping",  # on purpose
    "failed",  # it will not start, and no process is left; reasons say why
]

PostgresRole = Literal["primary", "standby"]


class SealReport(Value):
    """A seal and the final position that goes with it; a report of another term is no seal."""

    term: int
    lsn: Lsn
    timeline: int
    history: tuple[Switch, ...] = ()

    @property
    def position(self) -> Position:
        """The final position as a value that the lineage can judge."""
        return Position(self.history, self.timeline, self.lsn)


CLAIMS_REMEMBERED: Final = 8
"""Claims in a row of one directory; between two of them at most one may not have reached its marker."""


class PromotionReport(Value):
    """The last promotion of this member that began; ``finished`` when it came up as the view named it.

    ``carried_to`` are the lives, newest last, as which the directory in which it began has been claimed
    since: what it left there is there still, whatever the directory is called.
    """

    term: int
    timeline: int
    incarnation: str
    finished: bool = False
    fork: Lsn = ZERO
    carried_to: tuple[str, ...] = ()

    def lies_in(self, incarnation: str) -> bool:
        """Whether the data directory of that life is the one in which this promotion began."""
        return incarnation in {self.incarnation, *self.carried_to}

    def carried(self, incarnation: str) -> PromotionReport:
        """The same promotion once its directory has been claimed as another life."""
        return self.changed(carried_to=(*self.carried_to, incarnation)[-CLAIMS_REMEMBERED:])


class SyncReport(Value):
    """What the primary has done about the sync sets, in this start of PostgreSQL.

    ``applied``: id of the set whose change is complete (protocol 6, step 2).
    ``confirmed``: ids of the sets of which ``k`` members have flushed a record written after this
    start (I7).
    """

    term: int
    applied: int | None = None
    confirmed: tuple[int, ...] = ()


class SwitchingReport(Value):
    """What a keeper has done in one attempt at a switchover, named by its ``id`` (protocol, section 8).

    Of the primary: ``ready`` after its checkpoints, with the target close behind; ``shut_down``, where its
    shutdown record begins, once ``pg_control`` says so: it can acknowledge nothing any more. Of the target:
    ``holds``, the end of its data, once nobody sends it WAL and all that it has is replayed.
    """

    id: int
    ready: bool = False
    shut_down: Lsn | None = None
    holds: Lsn | None = None


class EndedLife(Value):
    """A life that a clone or rewind has replaced, and the seal that it ended with."""

    incarnation: str
    seal: SealReport


class UpstreamReport(Value):
    """A standby's evidence about its upstream."""

    uid: str
    reachable: bool = Field(description="it gave a protocol answer, an error too, within the limit")
    receiving: bool = Field(description="the WAL receiver heard from it within the limit")
    term: int = Field(default=0, description="the term under whose name this standby connects")


class StandbySeen(Value):
    """The primary's evidence about one connected standby, by the name it connects with."""

    member: str
    incarnation: str
    term: int
    streaming: bool
    caught_up: bool = Field(
        description="its flush is, or has since connecting been, close to the primary's end"
    )


class KeeperReport(Document):
    """What is true on a keeper's host."""

    uid: str
    site: str
    keeper_id: str = Field(
        description="random, kept with the data: tells an earlier life from a second keeper"
    )
    life: str = Field(description="random for each start of the keeper process")
    host: str
    port: int
    api_url: str = ""
    version: str = ""
    reported_at: datetime
    generation: int = Field(default=0, description="the highest view obeyed, as kept on disk")
    term: int = Field(default=0, description="the highest term seen, as kept on disk")
    sealed_term: int = 0
    system_identifier: str | None = None
    incarnation: str | None = None
    state: PostgresState = "no_data"
    role: PostgresRole | None = None
    postgres_version: int = Field(default=0, description="as server_version_num, 150018")
    lease_ttl_s: float | None = Field(
        default=None,
        description="for how long after its lease has ended a primary here may go on at most, as the keeper "
        "counts it: what the store granted",
    )
    ended: EndedLife | None = Field(default=None, description="the life before the present one")
    start_id: str | None = Field(default=None, description="names one start of the postmaster")
    timeline: int = 0
    history: tuple[Switch, ...] = ()
    greatest_timeline: int = Field(default=0, description="of any real history file in the data directory")
    lsn: Lsn = Field(
        default=ZERO, description="a slow figure: end of WAL of a primary, replayed of a standby"
    )
    oldest_wal: Lsn = Field(
        default=ZERO,
        description="a slow figure of a primary: where the WAL begins that is still there, 0/0 while unknown",
    )
    run_dry: bool = Field(default=False, description="a standby has replayed all the WAL that it has")
    seal: SealReport | None = None
    promotion: PromotionReport | None = None
    sync: SyncReport | None = None
    upstream: UpstreamReport | None = None
    standbys: tuple[StandbySeen, ...] = ()
    switching: SwitchingReport | None = None
    progress: str = Field(default="", description="long work in words: clone 41 %")
    hanging: str = Field(
        default="", description="what of a running primary has not finished for hang_timeout, and since when"
    )
    pending_restart: tuple[str, ...] = Field(
        default=(), description="parameters that wait for a restart of PostgreSQL"
    )
    reloaded: str = Field(default="", description="the last request for which PostgreSQL was reloaded")
    room_again: bool = Field(
        default=False, description="PostgreSQL went down for a full disk, which has room again"
    )
    store: StoreMemory | None = Field(
        default=None, description="which store it knows and the newest view it obeyed there, as kept on disk"
    )
    reasons: tuple[Reason, ...] = ()

    @property
    def writable(self) -> bool:
        """Whether PostgreSQL runs and is out of recovery."""
        return self.state == "running" and self.role == "primary"


class SentinelReport(Document):
    """What a sentinel says of itself."""

    uid: str
    site: str
    api_url: str = ""
    version: str = ""
    reported_at: datetime
    leader: bool = False
    generation: int = 0
    reaches_primary: bool | None = Field(
        default=None, description="its own probe; None while there is no primary"
    )
    store: StoreMemory | None = Field(
        default=None, description="which store it knows and the newest view it saw there"
    )


class ProxyReport(Document):
    """What a proxy serves."""

    uid: str
    site: str
    host: str
    port: int
    api_url: str = ""
    version: str = ""
    reported_at: datetime
    generation: int = 0
    term: int = Field(default=0, description="the term of the route it serves; 0 while it has none")
    route: str = Field(default="", description="uid of the primary it serves")
    sessions: int = 0
    parked: int = 0
    store: StoreMemory | None = Field(
        default=None, description="which store it knows and the newest view it obeyed there, as kept on disk"
    )
    reasons: tuple[Reason, ...] = ()
