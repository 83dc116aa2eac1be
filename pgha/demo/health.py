"""Is the demo cluster entirely well? Pure."""

from __future__ import annotations

from common.status.documents import Documents
from pgha.demo.layout import Layout
from sentinel.decide.durability import allowed_members
from sentinel.decide.observed import Observed


def why_not_healthy(documents: Documents, layout: Layout) -> str:
    """Return the first thing that is not as it should be; empty when all members stream, the sync set is
    full, writers have a route, and every service says so.
    """  # noqa: D205 - one sentence
    spec, view = documents.spec, documents.view
    if spec is None or view is None:
        return "there is no view yet"
    if view.phase != "running" or view.route is None or view.primary is None:
        return f"no route: phase {view.phase} of term {view.term}"
    missing = [place.uid for place in layout.keepers if place.uid not in documents.keepers]
    if missing:
        return f"no report of keeper {', '.join(missing)}"
    observed = Observed(documents.cluster, spec, view, documents.keepers)
    others = {place.uid for place in layout.keepers} - {view.primary.uid}
    behind = others - {life.uid for life in observed.streaming}
    if behind:
        states = ", ".join(f"{uid} ({documents.keepers[uid].state})" for uid in sorted(behind))
        return f"not streaming: {states}"
    wanted = allowed_members(observed) & others or others
    if spec.durability.mode == "async":
        wanted = set()
    have = {life.uid for life in view.sync.current.members}
    if view.sync.pending or have != wanted or view.sync.current.k != spec.durability.wanted_acks:
        return f"the sync set is {sorted(have)}, not yet {sorted(wanted)}"
    return _services(documents, layout, view.route.uid, view.term)


def _services(documents: Documents, layout: Layout, route: str, term: int) -> str:
    if documents.leader not in documents.sentinels:
        return "no sentinel leads"
    absent = [place.uid for place in layout.sentinels if place.uid not in documents.sentinels]
    if absent:
        return f"no report of {', '.join(absent)}"
    for place in layout.proxies:
        report = documents.proxies.get(place.uid)
        if report is None:
            return f"no report of {place.uid}"
        if (report.route, report.term) != (route, term):
            return f"{place.uid} does not serve {route} in term {term} yet"
    said = documents.reasons.reasons if documents.reasons else ()
    worries = [r for r in said if r.severity != "info" and r.code != "wal_lost"]
    return f"the leader says: {worries[0].text}" if worries else ""
