"""Why this primary, why not another one, and what would follow the death of each host and site. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Literal

from pydantic import Field

from common.model.base import Value
from common.model.history import HistoryEvent
from common.model.reasons import Reason, worst_first
from common.model.units import format_size
from common.model.view import ClusterView, Member
from common.status.assemble import assemble
from common.status.documents import Documents
from common.status.model import Health, LiveFigures
from common.store.port import StoreMember
from pgha.explain.model import Instant
from pgha.explain.successors import Successor, successors
from pgha.explain.whatif import Run, what_if
from pgha.placement import Placement, known_sites, place
from sentinel.decide.conditions import current_conditions
from sentinel.decide.observed import Observed
from sentinel.decide.sync_set import in_words

MISSING = frozenset({"keeper_missing", "standby_not_streaming", "keeper_lost", "single_sentinel"})
"""What is said because somebody is dead: the question itself, so no answer to it."""


class Happening(Value):
    """One change on the way, and when it is decided, in seconds after the loss was seen."""

    at_s: float
    kind: str
    text: str


class Consequence(Value):
    """What follows when one host, or everything on one site, dies now.

    ``route`` is where writers go then, absent while nobody may be sent anywhere. ``risks`` say what is lost,
    or less than it was, in the end; nothing acknowledged is lost where they do not say so.
    """

    kind: Literal["member", "site"]
    name: str
    lost: tuple[str, ...]
    primary: str | None
    stays: bool = Field(description="the primary of now goes on")
    route: str | None
    sync_set: str
    risks: tuple[Reason, ...]
    steps: tuple[Happening, ...]


class Explanation(Value):
    """Everything that ``pgha explain`` says. ``why`` is empty where nobody is primary."""

    cluster: str
    health: Health
    term: int
    phase: str
    primary: str | None
    primary_site: str | None
    since: datetime | None
    why: str
    reasons: tuple[Reason, ...]
    successors: tuple[Successor, ...]
    consequences: tuple[Consequence, ...]


def explain(
    documents: Documents,
    live: Mapping[str, LiveFigures],
    store: Iterable[StoreMember],
    naming: HistoryEvent | None,
    now: datetime,
) -> Explanation:
    """Explain the cluster; ``naming`` is the event by which its primary was named, if it is still known."""
    members = tuple(store)
    status = assemble(documents, live, members, now)
    observed = observe(documents, live)
    can_tell = observed is not None and status.health != "suspended"
    what_follows = (
        _Consequences(documents, observed, place(documents, members)) if can_tell and observed else None
    )
    return Explanation(
        cluster=status.cluster,
        health=status.health,
        term=status.term,
        phase=status.phase,
        primary=status.primary,
        primary_site=status.primary_site,
        since=naming.at if naming else None,
        why=_why(status.primary, naming),
        reasons=status.reasons,
        successors=what_follows.successors if what_follows else (),
        consequences=what_follows.all() if what_follows else (),
    )


def observe(documents: Documents, live: Mapping[str, LiveFigures]) -> Observed | None:
    """The cluster as a sentinel would see it now; None where a sentinel would decide nothing."""
    if documents.spec is None or documents.view is None:
        return None
    keepers = {
        uid: report.model_copy(update={"lsn": live[uid].lsn}) if uid in live and live[uid].lsn else report
        for uid, report in documents.keepers.items()
    }
    observed = Observed(
        cluster=documents.cluster,
        spec=documents.spec,
        view=documents.view,
        keepers=keepers,
    )
    reached = observed.primary_report is not None and observed.primary_report.writable
    seen = replace(observed, reaches_primary=reached)
    return replace(seen, held_s=dict.fromkeys(current_conditions(seen), 0.0))


def _why(primary: str | None, naming: HistoryEvent | None) -> str:
    if primary is None:
        return ""
    stays = "it stays primary as long as it is well, or until somebody asks for a switchover"
    if naming is None:
        return f"the history no longer says why it was named; {stays}"
    return f"{naming.text}; {stays}"


class _Consequences:
    """All the runs for one cluster, and what they have in common."""

    def __init__(self, documents: Documents, observed: Observed, placement: Placement) -> None:
        self._documents = documents
        self._observed = observed
        self._instant = Instant(observed)
        self._placement = placement
        view = observed.view
        assert view is not None  # noqa: S101 - observe() gives none without a view
        self._view: ClusterView = view
        self._known = {(each.code, each.subject, each.text) for each in what_if(self._instant, ()).reasons}
        named = view.primary or view.old_primary
        self._primary = named.uid if named else ""
        self._of_primary = what_if(self._instant, {self._primary})
        self.successors = successors(observed, view, self._primary, self._of_primary)

    def all(self) -> tuple[Consequence, ...]:
        """One for each member, then one for each site."""
        found = [self._of_member(member) for member in self._view.members]
        return (*found, *(self._of_site(site) for site in known_sites(self._documents)))

    def _of_member(self, member: Member) -> Consequence:
        is_primary = member.uid == self._primary
        run = self._of_primary if is_primary else what_if(self._instant, {member.uid})
        return self._consequence("member", member.uid, (member.uid,), run)

    def _of_site(self, site: str) -> Consequence:
        lost = tuple(member.uid for member in self._view.members if member.site == site)
        undecided = self._nobody_decides(site)
        if undecided is not None:
            return self._without_decisions(site, lost, undecided)
        found = self._consequence("site", site, lost, what_if(self._instant, lost))
        if self._placement.survives(site) is None:
            unsure = _etcd_not_placed(self._placement)
            return found.changed(risks=(*found.risks, unsure))
        return found

    def _nobody_decides(self, site: str) -> Reason | None:
        if self._placement.survives(site) is False:
            left, needed = self._placement.left_without(site), self._placement.majority
            return Reason(
                code="store_majority_lost",
                severity="critical",
                subject=site,
                text=f"etcd would have {left} of its {len(self._placement.site_of)} members left and needs "
                f"{needed}: nobody is promoted by itself, whatever else fails",
                fix="put an etcd member on each of three sites",
            )
        if self._documents.sentinels and all(
            each.site == site for each in self._documents.sentinels.values()
        ):
            return Reason(
                code="no_sentinel_left",
                severity="critical",
                subject=site,
                text=f"every sentinel stands on {site}: nobody would decide anything",
                fix="start pgha-sentinel on another site",
            )
        return None

    def _without_decisions(self, site: str, lost: tuple[str, ...], undecided: Reason) -> Consequence:
        """The primary goes on while enough standbys that are left attest that it is the only one."""
        left = {member for member in self._observed.streaming if member.uid not in lost}
        attests = all(0 < each.k <= len(each.members & left) for each in self._view.sync.in_force)
        goes_on = bool(self._view.route) and self._primary not in lost and attests
        risks = [undecided]
        if not goes_on:
            text = (
                f"{self._primary} is lost with it"
                if self._primary in lost
                else f"{self._primary} stops itself"
            )
            risks.append(
                Reason(code="no_primary", severity="critical", subject=site, text=f"no primary: {text}")
            )
        route = self._view.route
        return Consequence(
            kind="site",
            name=site,
            lost=lost,
            primary=self._primary if goes_on else None,
            stays=goes_on,
            route=f"{route.host}:{route.port}" if goes_on and route else None,
            sync_set=in_words(self._view.sync.current) if goes_on else "",
            risks=tuple(risks),
            steps=(),
        )

    def _consequence(
        self, kind: Literal["member", "site"], name: str, lost: tuple[str, ...], run: Run
    ) -> Consequence:
        view = run.view
        # Where nothing may be done the view still names who has died.
        route = view.route if view.route is not None and view.route.uid not in lost else None
        return Consequence(
            kind=kind,
            name=name,
            lost=lost,
            primary=route.uid if route else None,
            stays=route is not None and route.uid == self._primary,
            route=f"{route.host}:{route.port}" if route else None,
            sync_set=in_words(view.sync.target) if route else "",
            risks=self._risks(run),
            steps=tuple(
                Happening(at_s=round(step.at_s, 2), kind=step.change.kind, text=step.change.text)
                for step in run.steps
            ),
        )

    def _risks(self, run: Run) -> tuple[Reason, ...]:
        """What is said in the end and was not before, and what nobody had acknowledged."""
        found = [
            each
            for each in run.reasons
            if (each.code, each.subject, each.text) not in self._known and each.code not in MISSING
        ]
        found += self._no_spare(run.view)
        if len(run.view.forsaken) > len(self._view.forsaken):
            limit = format_size(self._observed.spec.durability.max_lag_on_failover)
            found.append(
                Reason(
                    code="wal_at_risk",
                    severity="critical",
                    subject=self._primary,
                    text=f"commits that no standby has are lost: {run.lost_bytes} bytes of WAL by the last "
                    f"reports, {limit} at most",
                    fix="durability.mode degrade or strict keeps them",
                )
            )
        if not run.settled:
            text = "this was not followed to its end: too many changes"
            found.append(Reason(code="not_settled", severity="warning", text=text))
        return worst_first(tuple(found))

    def _no_spare(self, view: ClusterView) -> list[Reason]:
        """Whether a further loss makes commits wait, where now it would not."""
        then, now = view.sync.target, self._view.sync.target
        if view.route is None or not then.k or len(then.members) > then.k or len(now.members) <= now.k:
            return []
        gives_way = self._observed.spec.durability.mode == "degrade"
        return [
            Reason(
                code="no_spare",
                severity="info",
                text=f"commits then need all of {in_words(then)}: one more loss makes them wait "
                + ("for degrade_after" if gives_way else "until it is back"),
                fix="bring another standby back",
            )
        ]


def _etcd_not_placed(placement: Placement) -> Reason:
    names = ", ".join(placement.unknown) or "all"
    return Reason(
        code="etcd_sites_unknown",
        severity="info",
        text=f"the sites of etcd's members are not known ({names}): this holds only if a majority is left",
        fix="give each member of etcd a name with its site in it, such as etcd-SITE",
    )
