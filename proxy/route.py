"""Where may clients be sent, and which sessions must end (protocol, sections 1 and 2, invariant I5). Pure.

A proxy obeys views in their order only. A view with a newer term ends every session of an older one at once,
also when it names no route yet. Without the store the last route stays as long as its primary attests
that it is still the only one (section 7); without a fresh view or attestation nothing is forwarded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from common.model.identity import suspended_because
from common.model.reasons import Reason
from common.model.view import ClusterView, Route


@dataclass(frozen=True, slots=True)
class Target:
    """What makes a route the same as another: one life of one server in one term, and where it listens."""

    term: int
    uid: str
    incarnation: str
    host: str
    port: int

    @classmethod
    def of(cls, route: Route) -> Target:
        """Take from a route what tells it from others."""
        return cls(route.term, route.uid, route.incarnation, route.host, route.port)

    def __str__(self) -> str:
        return f"{self.uid} at {self.host}:{self.port} in term {self.term}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the store shows: the view, or what is wrong with it, and whether the store answers now.

    ``suspended``: why the store is not the one that this proxy, ``uid``, knew; nothing that it shows counts
    then. ``accepted``: an operator has confirmed it, and the view that follows has not come yet.
    ``unproven_s``: how long ago it was proven last, by a fresh view or an attestation, that the route
    obeyed so far is still the one, in seconds. ``limit_s`` is how long that may be (``proxy_timeout``).
    """

    view: ClusterView | None = None
    in_contact: bool = False
    malformed: str = ""
    uid: str = ""
    suspended: tuple[str, ...] = ()
    accepted: bool = False
    unproven_s: float = 0.0
    limit_s: float = math.inf

    @property
    def is_proven(self) -> bool:
        """Whether the route may be served."""
        return self.unproven_s <= self.limit_s


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do. The order of effects: close the sessions that may not stay, then let clients in.

    ``obeyed`` is the newest view that counts. Clients go to ``target``; without one they are parked, and
    ``parked_because`` is what they are told in the end. ``cuts_all``: nothing proves that any session
    is at the right server.
    """

    obeyed: ClusterView | None
    target: Target | None
    parked_because: str
    reasons: tuple[Reason, ...]
    cuts_all: bool = False

    @property
    def term(self) -> int:
        """The term obeyed; sessions of an older one are cut."""
        return self.obeyed.term if self.obeyed else 0

    @property
    def generation(self) -> int:
        """The generation obeyed."""
        return self.obeyed.generation if self.obeyed else 0

    def may_stay(self, session: Target) -> bool:
        """Whether a session goes on.

        It does while its term is the view's and no other route of that term has replaced its own.
        """
        return not self.cuts_all and session.term >= self.term and self.target in {None, session}


def decide(obeyed: ClusterView | None, seen: Seen) -> Decision:
    """Decide from the view obeyed so far and from what the store shows now."""
    reasons: list[Reason] = []
    if seen.suspended:
        reasons.append(suspended_because(seen.uid, seen.suspended, accepted=seen.accepted))
    elif seen.view is None or (obeyed is not None and _is_older(seen.view, obeyed)):
        reasons += _why_not_obeyed(obeyed, seen)
    else:
        obeyed = seen.view
    if not seen.in_contact:
        reasons.append(
            Reason(
                code="store_unreachable",
                severity="warning",
                text=f"the store does not answer, {_in_force(obeyed)}",
                fix="see to etcd",
            )
        )
    target, parked_because = _target(obeyed)
    if obeyed is None:
        return Decision(None, None, reasons[0].text, tuple(reasons))
    if seen.is_proven:
        return Decision(obeyed, target, parked_because, tuple(reasons))
    if target is not None:
        reasons.append(_unproven(target, seen.limit_s))
        parked_because = reasons[-1].text
    return Decision(obeyed, None, parked_because, tuple(reasons), cuts_all=True)


def _unproven(target: Target, limit_s: float) -> Reason:
    return Reason(
        code="route_unproven",
        severity="critical",
        subject=target.uid,
        text=f"nobody is sent to {target.uid}: for {limit_s:g} s neither the store nor its keeper has "
        f"confirmed that it is still the primary of term {target.term}",
        fix=f"see to etcd, or to the way from this proxy to the keeper of {target.uid}",
    )


def _why_not_obeyed(obeyed: ClusterView | None, seen: Seen) -> Iterator[Reason]:
    """Say why what the store shows changes nothing."""
    if seen.malformed:
        yield Reason(
            code="view_malformed",
            severity="critical",
            text=f"the view cannot be read, {_in_force(obeyed)}: {seen.malformed}",
            fix="bring sentinels and proxies to one release",
        )
    elif seen.view is not None and obeyed is not None:
        yield Reason(
            code="view_went_back",
            severity="critical",
            text=f"the store shows generation {seen.view.generation} of term {seen.view.term}, "
            f"but generation {obeyed.generation} of term {obeyed.term} was obeyed and stays in force",
            fix="find out who restored or replaced etcd",
        )
    elif seen.in_contact:
        yield Reason(
            code="no_view",
            severity="critical" if obeyed else "warning",
            text=f"the store holds no view, {_in_force(obeyed)}",
            fix="find out who emptied etcd" if obeyed else "start a sentinel, write a spec with pgha init",
        )


def _in_force(obeyed: ClusterView | None) -> str:
    return "there is no route yet" if obeyed is None else f"generation {obeyed.generation} stays in force"


def _is_older(view: ClusterView, obeyed: ClusterView) -> bool:
    """Whether a view must not follow: generations grow, terms never fall, one generation is one view."""
    return (
        view.generation < obeyed.generation
        or view.term < obeyed.term
        or (view.generation == obeyed.generation and view != obeyed)
    )


def _target(view: ClusterView | None) -> tuple[Target | None, str]:
    """Where a view sends clients, or why it sends them nowhere."""
    if view is None:
        return None, ""
    if view.route is None:
        return None, _phase_in_words(view)
    if view.route.term != view.term:
        return None, f"the view of term {view.term} has a route of term {view.route.term}"
    return Target.of(view.route), ""


def _phase_in_words(view: ClusterView) -> str:
    named = view.primary.uid if view.primary else "nobody"
    match view.phase:
        case "initializing":
            return f"{named} is creating the first data directory"
        case "sealing":
            return f"sealing term {view.term}: the members promise to leave the old primary"
        case "promoting":
            return f"promoting {named} in term {view.term}"
        case "switching":
            to = view.switching.target.uid if view.switching else "another member"
            return f"{named} makes way for {to}, in term {view.term}"
        case "running":
            return f"{named} has no route in term {view.term}"
