"""Small builders for the pure cores: a healthy cluster whose story a test then tells.

Two sites with two keepers each; sandun-1 is primary of term 4 on timeline 2, which left timeline 1 at
position 3; both members of the other site acknowledge. Positions are written as small numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from common.model.lineage import Position
from common.model.names import member_name
from common.model.reports import (
    KeeperReport,
    PromotionReport,
    SealReport,
    StandbySeen,
    SyncReport,
    UpstreamReport,
)
from common.model.requests import AnyOperation, Asked, Request, RequestUpdate
from common.model.spec import ClusterSpec
from common.model.view import ClusterView, Fenced, LineageEntry, Primary, SyncMember, SyncSet, SyncState
from common.model.wal import ZERO, Lsn, Switch
from sentinel.decide.core import decide
from sentinel.decide.observed import Change, Decision, Observed, PrimarySeen
from tests.support import healthy
from tests.support.healthy import INCARNATIONS, TERM, UIDS

SANDUN_1, SANDUN_2, SHIQIAO_1, SHIQIAO_2 = UIDS
FORK = 3
ASKED_AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def at(number: int) -> Lsn:
    """A position: the greater the number, the further."""
    return Lsn(number << 24)


def life(uid: str) -> SyncMember:
    """The life of a member that the healthy cluster knows."""
    return SyncMember(uid, INCARNATIONS[uid])


def sync_set(number: int, k: int, *uids: str) -> SyncSet:
    return SyncSet(id=number, k=k, members=frozenset(map(life, uids)))


def entry(timeline: int, fork: int, uid: str = SANDUN_1, term: int = TERM) -> LineageEntry:
    return LineageEntry(
        term=term, timeline=timeline, fork=at(fork), uid=uid, incarnation=INCARNATIONS.get(uid, uid)
    )


def position(*path: tuple[int, int]) -> Position:
    """Where data end, by the timelines gone through: ``position((1, 3), (2, 5))``."""
    *left, (timeline, end) = path
    return Position(tuple(Switch(number, at(lsn)) for number, lsn in left), timeline, at(end))


LINEAGE = (entry(1, 0, SANDUN_2, term=1), entry(2, FORK))


def promotion(uid: str = SANDUN_1, timeline: int = 2, *, finished: bool = True) -> PromotionReport:
    return PromotionReport(
        term=TERM, timeline=timeline, incarnation=INCARNATIONS[uid], finished=finished, fork=at(FORK)
    )


def seen(uid: str, term: int = TERM, **fields: Any) -> StandbySeen:
    """The primary's evidence about a standby that is as it should be."""
    whole: dict[str, Any] = {
        "streaming": True,
        "caught_up": True,
        "incarnation": INCARNATIONS[uid],
        "term": term,
    }
    return StandbySeen.model_validate({"member": member_name(uid), **whole, **fields})


def hears(uid: str, *, reachable: bool = True, receiving: bool = True, term: int = TERM) -> UpstreamReport:
    """A standby's evidence about its upstream."""
    return UpstreamReport(uid=uid, reachable=reachable, receiving=receiving, term=term)


def running_view(**fields: Any) -> ClusterView:
    """The view of the healthy cluster."""
    whole: dict[str, Any] = {
        "primary": Primary(uid=SANDUN_1, incarnation=INCARNATIONS[SANDUN_1], timeline=2, fork=at(FORK)),
        "sync": SyncState(current=sync_set(15, 1, SHIQIAO_1, SHIQIAO_2)),
        "lineage": LINEAGE,
        "floor": at(FORK),
        "greatest_timeline": 2,
    }
    return healthy.view(**whole | fields)


def promoting_view(**fields: Any) -> ClusterView:
    """The view of a cluster whose primary is named and has no route yet."""
    return running_view(**{"phase": "promoting", "route": None} | fields)


def sealing_view(**fields: Any) -> ClusterView:
    """The view right after the term of sandun-1 has been given up."""
    old = running_view().primary
    whole: dict[str, Any] = {
        "phase": "sealing",
        "term": TERM + 1,
        "primary": None,
        "old_primary": old,
        "route": None,
    }
    return running_view(**whole | fields)


def keeper(uid: str, **fields: Any) -> KeeperReport:
    """The report of a keeper in the healthy cluster."""
    whole: dict[str, Any] = {
        "history": (Switch(1, at(FORK)),),
        "greatest_timeline": 2,
        "sealed_term": TERM,
        "lsn": at(5),
    }
    if uid == SANDUN_1:
        whole |= {
            "promotion": promotion(),
            "sync": SyncReport(term=TERM, applied=15, confirmed=(15,)),
            "standbys": tuple(seen(other) for other in UIDS if other != uid),
        }
    else:
        whole["upstream"] = hears(SANDUN_1)
    return healthy.keeper(uid, **whole | fields)


@dataclass
class Scene:
    """What one sentinel sees, for a test to change step by step."""

    view: ClusterView | None = field(default_factory=running_view)
    keepers: dict[str, KeeperReport] = field(default_factory=lambda: {uid: keeper(uid) for uid in UIDS})
    spec: ClusterSpec = field(default_factory=ClusterSpec)
    reaches_primary: bool | None = True
    held_s: dict[str, float] = field(default_factory=dict)
    fenced: frozenset[Fenced] = frozenset()
    requests: tuple[Asked, ...] = ()
    clock: datetime = ASKED_AT
    last_seen: PrimarySeen | None = None

    def observed(self) -> Observed:
        return Observed(
            "demo",
            self.spec,
            self.view,
            self.keepers,
            self.reaches_primary,
            self.held_s,
            fenced=self.fenced,
            requests=self.requests,
            now=self.clock,
            last_seen=self.last_seen,
        )

    @property
    def now(self) -> ClusterView:
        """The view, where there is one."""
        assert self.view is not None
        return self.view

    def decide(self) -> Decision:
        return decide(self.observed())

    @property
    def codes(self) -> set[str]:
        """The codes of all reasons in force."""
        return {reason.code for reason in self.decide().reasons}

    def step(self, kind: str) -> ClusterView:
        """Carry out the one change that is decided, which must be of this kind; return the new view."""
        change = self.decide().change
        assert change is not None, f"nothing is decided, but {kind} was expected: {self.codes}"
        assert change.kind == kind, change
        self.view = change.view
        self._take(change.requests)
        return change.view

    def ask(self, operation: AnyOperation, **fields: Any) -> str:
        """An operator asks for something; return the request's id."""
        number = f"r-{len(self.requests) + 1}"
        whole: dict[str, Any] = {
            "id": number,
            "by": "anna",
            "at": self.clock,
            "term": self.now.term,
            "operation": operation,
        }
        request = Request.model_validate(whole | fields)
        self.requests = (*self.requests, Asked(request, len(self.requests) + 1))
        return request.id

    def request(self, request_id: str) -> Request:
        """How a request is."""
        return next(each.request for each in self.requests if each.request.id == request_id)

    def told(self) -> None:
        """Carry out what becomes of requests while nothing else is to be changed."""
        decision = self.decide()
        assert decision.change is None, decision.change
        assert decision.updates, f"nothing becomes of any request: {decision.reasons}"
        self._take(decision.updates)

    def _take(self, updates: tuple[RequestUpdate, ...]) -> None:
        """Each with a new revision, and only if it is the one that was read."""
        stand = {each.request.id: each for each in self.requests}
        for each in updates:
            assert (stand[each.id].revision if each.id in stand else 0) == each.revision
            if each.revision == 0 and each.request is not None:
                stand[each.id] = Asked(each.request, 5000)
            elif each.request is None:
                del stand[each.id]
            else:
                stand[each.id] = Asked(each.request, each.revision + 1000)
        self.requests = tuple(stand.values())

    def waits(self) -> set[str]:
        """Nothing is decided; return why."""
        decision = self.decide()
        assert decision.change is None, decision.change
        return {reason.code for reason in decision.reasons}

    def report(self, uid: str, **fields: Any) -> None:
        self.keepers[uid] = self.keepers[uid].changed(**fields)

    def gone(self, *uids: str) -> None:
        """These keepers' leases have ended."""
        for uid in uids:
            del self.keepers[uid]

    def down(self, uid: str, state: str = "down") -> None:
        """A live keeper says that no process of PostgreSQL is left."""
        self.report(uid, state=state, role=None, timeline=0, history=(), sync=None, standbys=(), seal=None)

    def seals(self, uid: str, end: int, path: Sequence[tuple[int, int]] = ((1, FORK),), on: int = 2) -> None:
        """A standby reports its seal of the view's term; ``path`` and ``on`` are its timelines."""
        where = position(*path, (on, end))
        seal = SealReport(term=self.now.term, lsn=where.lsn, timeline=on, history=where.history)
        self.report(
            uid, state="running", role="standby", sealed_term=self.now.term, seal=seal, timeline=on,
            history=where.history,
        )  # fmt: skip

    def holds(self, condition: str, seconds: float = 60.0) -> None:
        """A condition has been true for so long."""
        self.held_s[condition] = seconds

    def promoted(self, *, confirmed: bool = False) -> None:
        """The named primary reports that it has finished, and perhaps that its start is confirmed."""
        named, current = self.now.primary, self.now.sync.current
        assert named is not None
        assert named.incarnation is not None
        done = PromotionReport(
            term=self.now.term,
            timeline=named.timeline,
            incarnation=named.incarnation,
            finished=True,
            fork=named.fork,
        )
        sync = SyncReport(
            term=self.now.term, applied=current.id, confirmed=(current.id,) if confirmed else ()
        )
        self.report(
            named.uid, state="running", role="primary", timeline=named.timeline, promotion=done, sync=sync,
            seal=None, upstream=None, generation=self.now.generation, sealed_term=self.now.term,
        )  # fmt: skip


def change_of(decision: Decision) -> Change:
    assert decision.change is not None
    return decision.change


def empty_keeper(uid: str, **fields: Any) -> KeeperReport:
    """A keeper without data."""
    whole: dict[str, Any] = {
        "system_identifier": None,
        "incarnation": None,
        "state": "no_data",
        "role": None,
        "timeline": 0,
        "lsn": ZERO,
        "standbys": (),
    }
    return healthy.keeper(uid, **whole | fields)
