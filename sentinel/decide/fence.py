"""Whom a fence agent should switch off now, and the note that it did (protocol, section 7). Pure.

The sentinel's service runs the agent beside its decisions and gives what came of it back as a value.
Success stands in the view, so that a successor knows; it replaces the wait for a lease, and nothing else.
"""

from __future__ import annotations

from common.model.view import ClusterView, Fenced
from sentinel.decide.observed import Change, Decision, Observed, next_view


def whom_to_fence(observed: Observed) -> Fenced | None:
    """The old primary while its successor is sought, if it is lost or hangs and has a fence agent.

    One whose keeper lives and does not say that it hangs is stopped by that, which is proof enough.
    """
    view = observed.view
    if view is None or view.phase != "sealing" or view.old_primary is None:
        return None
    uid = view.old_primary.uid
    wish = Fenced(uid, view.term)
    report = observed.keepers.get(uid)
    if observed.spec.member(uid).fence is None or wish in view.fenced:
        return None
    return wish if report is None or report.hanging else None


def note_fenced(observed: Observed, view: ClusterView) -> Decision:
    """Write down whom this sentinel's agents have switched off in the view's term."""
    news = sorted(each for each in observed.fenced - view.fenced if each.term == view.term)
    if not news:
        return Decision(None, ())
    kept = frozenset(each for each in view.fenced if each.term == view.term)
    names = ", ".join(each.uid for each in news)
    noted = next_view(view, fenced=kept.union(news))
    text = f"the fence agent of {names} has switched its host off"
    return Decision(Change(noted, "fenced", text, "fenced", old_primary=news[0].uid), ())
