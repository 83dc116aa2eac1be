"""What has happened to a keeper's PostgreSQL that hooks are told of. Pure.

``started``        it takes connections
``primary_ready``  it is primary, and the view sends writers to it
``failed_over``    the same, where it took over from another member by a failover
``demoted``        it was that and is it no more: it stops, has ended, or another member is named
``stopped``        it had started, and nothing of it runs any more

What happened between two looks is told in this order: ``demoted``, ``stopped``, ``started``,
``primary_ready``, ``failed_over``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from common.model.reports import PostgresRole, PostgresState
from common.model.view import ClusterView

Event = Literal["primary_ready", "demoted", "started", "stopped", "failed_over"]
EVENTS: Final[tuple[Event, ...]] = get_args(Event)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at the keeper's own knowledge finds."""

    uid: str
    state: PostgresState
    start_id: str | None
    role: PostgresRole | None


@dataclass(frozen=True, slots=True)
class Known:
    """What was found so far.

    ``start_id`` is the start that takes connections, ``ready_in`` the term in which writers were let in
    to it; both None where that is not so. ``last`` is the primary before the present one, as far as this
    life of the keeper has seen, ``switched`` whether the present one was handed over to, in order, and
    ``told`` whether that it is ready has been told.
    """

    start_id: str | None = None
    ready_in: int | None = None
    present: str | None = None
    last: str | None = None
    switched: bool = False
    told: bool = False

    def with_view(self, view: ClusterView) -> Known:
        """Take whom a view names, and how that one became primary."""
        if view.primary is None:
            return self
        uid, attempt = view.primary.uid, view.switching
        handed_over = attempt is not None and attempt.shut_down is not None and attempt.target.uid == uid
        if uid == self.present:
            return replace(self, switched=self.switched or handed_over)
        return replace(self, present=uid, last=self.present, switched=handed_over, told=False)


def happened(known: Known, found: Looked, view: ClusterView | None) -> tuple[Known, tuple[Event, ...]]:
    """What is known after a look, and what has happened since the one before."""
    now = known.with_view(view) if view is not None else known
    start_id = _start(known, found)
    same = start_id is not None and start_id == known.start_id
    ready_in = _ready_in(view, found) if start_id is not None else None
    if ready_in is None and same and _is_still_primary(found, view):
        ready_in = known.ready_in
    events: list[Event] = []
    if known.ready_in is not None and not (same and ready_in is not None):
        events.append("demoted")
    if known.start_id is not None and not same:
        events.append("stopped")
    if start_id is not None and not same:
        events.append("started")
    if ready_in is not None and not (same and ready_in == known.ready_in):
        events.append("primary_ready")
        if now.last is not None and not now.switched and not now.told:
            events.append("failed_over")
        now = replace(now, told=True)
    return replace(now, start_id=start_id, ready_in=ready_in), tuple(events)


def _start(known: Known, found: Looked) -> str | None:
    """The start that runs; while it changes its upstream, and while it stops, it is the one before."""
    if found.state == "stopping":
        return known.start_id
    return (found.start_id or known.start_id) if found.state == "running" else None


def _ready_in(view: ClusterView | None, found: Looked) -> int | None:
    route = view.route if view is not None else None
    if route is None or route.uid != found.uid or found.state != "running" or found.role != "primary":
        return None
    return route.term


def _is_still_primary(found: Looked, view: ClusterView | None) -> bool:
    """Without a route, and without a word from the store, it goes on until it stops or another is named."""
    named = view.primary.uid if view is not None and view.primary is not None else found.uid
    return found.state == "running" and found.role != "standby" and named == found.uid
