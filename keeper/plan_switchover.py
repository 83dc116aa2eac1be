"""What the primary of a switchover does next (protocol, section 8). Pure."""

from __future__ import annotations

from common.model.view import ClusterView, Switching
from keeper.step_or_wait import is_life, retry, wait
from keeper.steps import Facts, Finish, NoteShutDown, Serve, ShutDown, Step

DRAIN_LEAST_S = 0.5
"""How long sessions go on at least once the route has gone: who was let in before has a session by then."""


def hand_over(view: ClusterView, attempt: Switching, facts: Facts) -> Step:
    """The primary in phase ``switching``: drain, stop in order, report; nobody starts it writable."""
    noted = facts.switching is not None and facts.switching.id == attempt.id
    if facts.state == "running" and facts.role == "primary":
        drained = facts.phase_seen_s >= attempt.drain_s or not facts.clients
        if facts.sees_store and drained and facts.phase_seen_s >= DRAIN_LEAST_S:
            return ShutDown(attempt.id)
        return Serve(view.term)
    shut_down = facts.switching.shut_down if facts.switching is not None and noted else None
    if facts.state in {"stopped", "down", "failed"} and shut_down is None:
        return retry(facts, NoteShutDown(attempt.id))
    return wait(
        facts,
        "handing_over",
        f"PostgreSQL of {facts.uid} is {facts.state} and makes way for {attempt.target.uid}",
    )


def what_was_stopping(view: ClusterView, facts: Facts) -> Step:
    """The switchover has gone on, or was given up: only a stop that may still end in order is waited for."""
    if facts.shutting_down and is_life(view.primary, facts):
        return wait(
            facts, "shutting_down", f"PostgreSQL of {facts.uid} shuts down before it is started again"
        )
    return retry(facts, Finish(f"nobody waits for PostgreSQL of {facts.uid} any more"))
