"""ClusterView: the one document that says what the cluster should be (protocol, sections 1 and 2).

Only the leader sentinel writes it. Each keeper makes its PostgreSQL what the view says; each proxy
sends writers to the route and to nothing else.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from pydantic import AwareDatetime, Field

from common.model.base import Document, Value
from common.model.wal import ZERO, Lsn

Phase = Literal["initializing", "sealing", "promoting", "running", "switching"]
"""
``initializing``  the named keeper creates the first data directory
``sealing``       nobody is primary; members promise never again to take WAL of an older term
``promoting``     a primary is named; it is not yet confirmed, so there is no route
``running``       the route has been set in this term
``switching``     a switchover: the route has gone, the primary drains and stops in order
"""


class SyncMember(NamedTuple):
    """One life of one member, as a sync set counts it."""

    uid: str
    incarnation: str


class Fenced(NamedTuple):
    """One member whose host a fence agent has switched off, in the term that replaced it."""

    uid: str
    term: int


class Word(Value):
    """An operator's word that is in force: whose, since when, and by which request."""

    by: str
    at: AwareDatetime
    request: str = ""

    def __str__(self) -> str:
        return f"{self.by} at {self.at:%Y-%m-%d %H:%M:%S %Z}"


class Forced(Value):
    """An operator's word that a failover shall be made although acknowledged commits may be lost.

    ``off`` are the members of which it says that nothing of their PostgreSQL runs; ``to`` is who shall be
    promoted, None for the furthest. It counts until somebody is named.
    """

    word: Word
    off: frozenset[str] = frozenset()
    to: str | None = None


class SyncSet(Value):
    """The standbys whose flush a commit waits for, and how many of them: ``ANY k (members)``.

    ``id`` is the generation that introduced the set, so that an old report cannot adopt a later change.
    With ``k = 0`` nobody is asked, the set has no members, and only the primary's lease protects a commit.
    """

    id: int
    k: int
    members: frozenset[SyncMember] = frozenset()

    @property
    def quorum(self) -> int:
        """How many of its members must be sealed so that no commit can gather ``k`` flushes any more.

        With ``k = 0`` that is more than there are: no seal keeps a commit from being acknowledged.
        """
        return max(0, len(self.members) - self.k + 1)


class SyncState(Value):
    """The set in force and the changes under way, oldest first; the primary works on the last."""

    current: SyncSet
    pending: tuple[SyncSet, ...] = ()

    @property
    def in_force(self) -> tuple[SyncSet, ...]:
        """Every set under which a commit may have been acknowledged."""
        return (self.current, *self.pending)

    @property
    def target(self) -> SyncSet:
        """The set that the primary should apply."""
        return self.in_force[-1]

    @property
    def lease_protects(self) -> bool:
        """Whether some commits wait for nobody: then only the primary's lease protects them (``k = 0``)."""
        return any(each.k == 0 for each in self.in_force)


class LineageEntry(Value):
    """One timeline of the history of the data: where it began, in which term, by whose promotion."""

    term: int
    timeline: int
    fork: Lsn
    uid: str
    incarnation: str


class Primary(Value):
    """Who is primary in the view's term, on which timeline it must come up and from which point.

    A primary that is named again without a restart keeps timeline and fork of its own promotion.
    """

    uid: str
    incarnation: str | None = Field(
        default=None, description="absent only while the first data directory is created"
    )
    timeline: int
    fork: Lsn = ZERO


class LastReport(Value):
    """What the old primary's keeper reported last, noted when its term was given up.

    ``lsn`` is the end of its WAL. ``lease_ttl_s`` is the longest that it may go on under a lease after its
    key has gone, in seconds; absent when it did not say.
    """

    lsn: Lsn
    lease_ttl_s: float | None = None


class Forsaken(Value):
    """A life that was primary and was succeeded without its last WAL: under ``k = 0``, or by force.

    ``fork`` is where its successor was promoted; ``lost_bytes`` how much WAL it had beyond what the lineage
    kept, absent until it is back and has said.
    """

    uid: str
    incarnation: str
    term: int
    timeline: int
    fork: Lsn
    lost_bytes: int | None = None
    ended_at: Lsn | None = None


class Switching(Value):
    """One attempt at a switchover (protocol, section 8).

    ``id`` is the generation that began it: what keepers report for it counts for no other. ``drain_s`` is how
    long sessions may go on once the route has gone. ``shut_down`` is where the shutdown record of the old
    primary begins; from then on the target is promoted, in a new term.
    """

    id: int
    request: str
    target: SyncMember
    drain_s: float
    shut_down: Lsn | None = None


class Member(Value):
    """What one keeper should be; everybody but the primary is a standby."""

    uid: str
    site: str
    host: str
    port: int
    incarnation: str | None = None
    rebuild: str | None = Field(
        default=None,
        description="the life that does not go on (its WAL is gone, or somebody asked): it is cloned",
    )
    clone_from: str | None = Field(
        default=None, description="the standby that it is cloned from; absent: the primary"
    )
    restart: str | None = Field(
        default=None, description="the start of PostgreSQL that shall end and be followed by another"
    )
    kept_down: Word | None = Field(
        default=None, description="PostgreSQL is stopped and its data kept as they are, by an operator's word"
    )


class Route(Value):
    """Where proxies may send writers, and in which term."""

    uid: str
    incarnation: str
    term: int
    host: str
    port: int
    api_url: str = ""


class ClusterView(Document):
    """What the cluster should be. Every write raises ``generation`` by one."""

    cluster: str
    generation: int
    term: int
    phase: Phase
    system_identifier: str | None = None
    members: tuple[Member, ...] = ()
    primary: Primary | None = None
    old_primary: Primary | None = Field(
        default=None, description="while sealing: the primary of the term directly before"
    )
    old_primary_may_start: bool = Field(
        default=False, description="while sealing: too few standbys live, so the old primary seals at once"
    )
    old_primary_last: LastReport | None = Field(
        default=None, description="while sealing under k = 0: what the old primary reported last"
    )
    forsaken: tuple[Forsaken, ...] = Field(
        default=(),
        description="primaries that were succeeded without their last WAL: under k = 0, or by force",
    )
    sync: SyncState
    lineage: tuple[LineageEntry, ...] = ()
    floor: Lsn = ZERO
    greatest_timeline: int = 1
    forced: Forced | None = Field(
        default=None, description="while sealing: the word that takes the place of seals that cannot be had"
    )
    rebuild_beside: bool = Field(
        default=False,
        description="the primary lacks standbys and has no route yet: a diverged member, whose data may be "
        "the last copy of something acknowledged, may come back by a clone beside it",
    )
    route: Route | None = None
    switching: Switching | None = Field(
        default=None, description="a switchover that is under way, from its preparation to its route"
    )
    route_after: int = Field(
        default=0,
        description="the route waits for a report that the primary made after it saw this generation: before "
        "it may have been stopped for a switchover that was given up, and confirms its start anew (I7)",
    )
    fenced: frozenset[Fenced] = Field(
        default=frozenset(),
        description="old primaries that a fence agent has switched off, by the term in which it did",
    )
    damped: int = Field(
        default=0, description="failovers for a primary that hung or went down, in a row: each waits longer"
    )
    continue_in_term: int = Field(
        default=0, description="the term in which an operator lets a failover begin that would be held back"
    )
    paused: Word | None = Field(
        default=None, description="nothing is done that nobody has asked for, by an operator's word"
    )
    reload: str = Field(
        default="",
        description="the request for which each PostgreSQL reads its configuration once more",
    )

    def member(self, uid: str) -> Member | None:
        """The entry of one keeper, or None."""
        return next((member for member in self.members if member.uid == uid), None)

    @property
    def out(self) -> frozenset[str]:
        """Members whose PostgreSQL is kept down: they acknowledge nothing and are never promoted."""
        return frozenset(member.uid for member in self.members if member.kept_down is not None)

    @property
    def upstream(self) -> Member | None:
        """The member that standbys follow, or None while nobody is named."""
        return self.member(self.primary.uid) if self.primary else None


HISTORY_LIMIT: Final = 1000
"""Events that are kept; the transaction that adds one removes the one this many generations older."""
