"""What a decision is made from, and what it yields. Values only: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from common.model.names import member_name
from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.requests import Asked, RequestUpdate
from common.model.spec import ClusterSpec
from common.model.view import ClusterView, Fenced, LastReport, Member, Primary, SyncMember
from common.model.wal import Lsn

_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PrimarySeen:
    """One life as primary, and what its keeper reported last of it."""

    life: SyncMember
    report: LastReport


@dataclass(frozen=True)
class Observed:
    """The cluster as one sentinel sees it at one instant.

    ``keepers`` holds the reports whose lease lives, and nothing else. ``reaches_primary`` is this
    sentinel's own probe of the view's primary: None before its first answer. ``held_s`` tells how
    long each condition of :mod:`sentinel.decide.conditions` has been true without a break, in
    seconds of this sentinel's clock. ``last_seen`` is what the primary's keeper reported last while
    PostgreSQL ran, also when its report has gone since. ``fenced`` are those whom this sentinel's fence
    agents have switched off. ``requests`` are what operators have asked for. ``now`` is the wall clock: it
    says when a scheduled request is due and stands in what people read, and decides nothing else.
    """

    cluster: str
    spec: ClusterSpec
    view: ClusterView | None
    keepers: Mapping[str, KeeperReport]
    reaches_primary: bool | None = None
    held_s: Mapping[str, float] = field(default_factory=dict)
    last_seen: PrimarySeen | None = None
    fenced: frozenset[Fenced] = frozenset()
    requests: tuple[Asked, ...] = ()
    now: datetime = _NO_TIME

    def held(self, condition: str, at_least_s: float) -> bool:
        """Whether a condition has been true for so long."""
        return self.held_s.get(condition, -1.0) >= at_least_s

    @cached_property
    def member_of_name(self) -> Mapping[str, Member]:
        """The view's members by the part of a name that PostgreSQL sees."""
        return {member_name(member.uid): member for member in self.view.members} if self.view else {}

    def last_report_of(self, primary: Primary) -> LastReport | None:
        """What its keeper reported last while it was primary; None when this sentinel never saw that."""
        seen = self.last_seen
        return seen.report if seen is not None and seen.life == (primary.uid, primary.incarnation) else None

    @cached_property
    def leaving(self) -> frozenset[str]:
        """Members that shall be in no sync set, by an operator's word: they go where enough others stream.

        Without a route nobody leaves for a request: it waits for the route, and that may wait for the member.
        """
        if self.view is None:
            return frozenset()
        if self.view.phase != "running":
            return self.view.out
        asked = {uid for each in self.requests if (uid := each.request.takes_out) is not None}
        return self.view.out | asked

    @property
    def primary_report(self) -> KeeperReport | None:
        """The live report of the keeper that the view names, if any."""
        if self.view is None or self.view.primary is None:
            return None
        return self.keepers.get(self.view.primary.uid)

    @cached_property
    def streaming(self) -> frozenset[SyncMember]:
        """Standbys that stream in this term and have caught up, on the primary's own evidence."""
        report = self.primary_report
        if report is None or self.view is None or not report.writable:
            return frozenset()
        found = set()
        for seen in report.standbys:
            member = self.member_of_name.get(seen.member)
            if (
                member is not None
                and seen.term == self.view.term
                and seen.streaming
                and seen.caught_up
                and member.incarnation == seen.incarnation
            ):
                found.add(SyncMember(member.uid, seen.incarnation))
        return frozenset(found)

    def site_of(self, uid: str) -> str:
        """The site of a member, empty when the view does not know it."""
        member = self.view.member(uid) if self.view else None
        return member.site if member else ""


@dataclass(frozen=True, slots=True)
class Change:
    """A new view and the event that goes into the history with it.

    The view's generation is already the next one. ``reason`` is the code of the reason that led to it.
    ``only_without`` names a keeper whose key must be absent at the moment of the write. ``requests`` are
    written with it, for whom the change is made, in the same transaction; ``by`` is who asked.
    """

    view: ClusterView
    kind: str
    text: str
    reason: str = ""
    old_primary: str | None = None
    new_primary: str | None = None
    lsn: Lsn | None = None
    timeline: int | None = None
    only_without: str | None = None
    requests: tuple[RequestUpdate, ...] = ()
    by: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """One change at most, and every reason in force, for what is done and for what is not.

    ``fence`` is whom a fence agent should switch off now; the service has it done, beside all else.
    ``updates`` become of requests where nothing else is to be changed.
    """

    change: Change | None
    reasons: tuple[Reason, ...]
    fence: Fenced | None = None
    updates: tuple[RequestUpdate, ...] = ()


def next_view(view: ClusterView, **fields: Any) -> ClusterView:
    """The view with some fields replaced and its generation raised by one."""
    return view.changed(generation=view.generation + 1, **fields)
