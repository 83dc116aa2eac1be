"""Having every PostgreSQL read its configuration files and certificates once more."""

from __future__ import annotations

from common.model.requests import Asked
from common.model.view import ClusterView
from sentinel.decide.observed import Decision, Observed
from sentinel.decide.operations.answers import Plan, changes, ended, told


def plan_reload(observed: Observed, view: ClusterView) -> Plan:
    """Whom it would concern."""
    names = ", ".join(_running(observed, view)) or "nobody: no PostgreSQL runs"
    return Plan(will=(f"configuration files, access rules and certificates are read once more by {names}",))


def reload(observed: Observed, view: ClusterView, asked: Asked) -> Decision:
    """Ask for it in the view, then wait for the reports of all that run."""
    request = asked.request
    if request.state == "pending":
        text = f"every PostgreSQL reloads, says {request.by}"
        return Decision(changes(observed, asked, view, "reload", text, reload=request.id), ())
    if view.reload != request.id:
        return ended(observed, asked, "done", "a later reload has taken its place")
    waiting = [uid for uid in _running(observed, view) if observed.keepers[uid].reloaded != request.id]
    if not waiting:
        return ended(observed, asked, "done", f"reloaded: {', '.join(_running(observed, view)) or 'nobody'}")
    if request.cancel is not None:
        return ended(observed, asked, "cancelled", f"not waited for any longer: {', '.join(waiting)}")
    return told(observed, asked, f"waiting for {', '.join(waiting)}")


def _running(observed: Observed, view: ClusterView) -> list[str]:
    return [
        member.uid
        for member in view.members
        if (report := observed.keepers.get(member.uid)) is not None and report.state == "running"
    ]
