"""What a keeper does, or leaves, because an operator said so (protocol, section 11). Pure."""

from __future__ import annotations

from common.model.view import ClusterView, Word
from keeper.step_or_wait import wait
from keeper.steps import Facts, Step, Stop, Wait


def kept_down(word: Word, facts: Facts) -> Step:
    """Stopped, and left exactly as it is: neither started, sealed, rewound nor cloned."""
    if facts.state in {"running", "starting"}:
        return Stop(f"{facts.uid} shall be kept down, says {word}")
    return wait(facts, "kept_down", f"PostgreSQL of {facts.uid} is kept down, says {word}")


def held_by_pause(view: ClusterView, facts: Facts, what: str) -> Wait | None:
    """What a standby leaves while the cluster is paused; a failover under way is no pause.

    A PostgreSQL that was stopped on purpose, for a restart or a switchover, does not get here.
    """
    if view.paused is None or view.phase != "running":
        return None
    text = f"{facts.uid} {what}: the cluster has been paused by {view.paused}"
    return wait(facts, "paused", text, "warning", "pgha resume ends the pause")
