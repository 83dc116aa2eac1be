"""Step 2 of a failover: who is promoted, as soon as nothing acknowledged can be missing (protocol 5.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from common.model.lineage import can_be_extended, contains, has_diverged
from common.model.reasons import Reason
from common.model.view import ClusterView, Primary, SyncMember
from common.model.wal import ZERO, Lsn
from sentinel.decide import conditions
from sentinel.decide.candidates import Candidate, sealed_candidates
from sentinel.decide.lease import (
    has_a_chance,
    lag_bytes,
    not_off,
    old_primary_first,
    too_far_behind,
    why_off,
)
from sentinel.decide.observed import Observed
from sentinel.decide.sealing import (
    live_members,
    may_have_acknowledged,
    missing_for,
    standbys_suffice,
    too_few_live,
)
from sentinel.decide.switching import handed_over, is_awaited


@dataclass(frozen=True, slots=True)
class Choice:
    """The member to promote, or None with the reason why nobody is (yet)."""

    candidate: Candidate | None
    reason: Reason
    least: Lsn = ZERO
    """``L``: every commit that was acknowledged under the sets in force, but those that only a lease
    protected, lies at or before it."""
    only_without: str | None = None
    """A keeper that must have no key in the store at the moment of the choice: its lease has ended."""
    complete: bool = True
    """Whether nothing acknowledged can be missing; not so where ``k = 0`` was in force and the old
    primary has not sealed."""


def choose_primary(observed: Observed, view: ClusterView) -> Choice:
    """Choose among the safe, as soon as enough have sealed that no acknowledged commit can be missing."""
    sealed = sealed_candidates(observed, view)
    awaited, target = is_awaited(observed, view, sealed), handed_over(view, sealed)
    if awaited is not None:
        return Choice(None, awaited)
    if target is not None:
        return _to_the_target(target)
    lives = frozenset(candidate.life for candidate in sealed)
    old = view.old_primary
    old_sealed = next((c for c in sealed if old and c.life == (old.uid, old.incarnation)), None)
    if view.sync.lease_protects and old is not None and old_sealed is None:
        return _without_the_old_primary(observed, view, old, sealed)
    waited = (
        observed.held(conditions.sealing(view.term), observed.spec.timings.restart_after_s)
        or view.old_primary_may_start
    )
    if old_sealed is not None and view.sync.lease_protects:
        least = Lsn(max(view.floor, old_sealed.agreed))
    elif all(not missing_for(each, lives) for each in view.sync.in_force):
        least = _least(view, sealed)
    elif old_sealed is not None and waited:
        least = Lsn(max(view.floor, old_sealed.agreed))
    else:
        return Choice(None, _waiting_for_seals(observed, view, lives))
    return _among_the_safe(observed, view, sealed, least, waited=waited)


def _to_the_target(target: Candidate) -> Choice:
    """The end of a switchover: whatever was acknowledged, under whichever set, the target holds it."""
    text = f"{target.uid} takes over: it has all WAL of the old primary, up to {target.position.lsn}"
    reason = Reason(code="switchover", severity="info", subject=target.uid, text=text)
    return Choice(target, reason, Lsn(target.position.lsn))


def _least(view: ClusterView, sealed: tuple[Candidate, ...]) -> Lsn:
    """``L`` where every set with ``k >= 1`` has its quorum."""
    counted = {m for each in view.sync.in_force if may_have_acknowledged(each) for m in each.members}
    return Lsn(max([view.floor, *(candidate.agreed for candidate in sealed if candidate.life in counted)]))


def _without_the_old_primary(
    observed: Observed, view: ClusterView, old: Primary, sealed: tuple[Candidate, ...]
) -> Choice:
    """Choose where a lease protected commits and the old primary has not sealed (protocol, section 7).

    It must be off; the sets that ask for acknowledgements have their quorum as ever; it was given the time
    to come and seal, since it alone has every commit; and no more is lost than the spec allows.
    """
    lives = frozenset(candidate.life for candidate in sealed)
    if any(missing_for(each, lives) for each in view.sync.in_force):
        return Choice(None, _waiting_for_seals(observed, view, lives))
    proof = why_off(observed, view, old)
    if proof is None:
        return Choice(None, not_off(observed, view, old))
    if has_a_chance(observed, view, old):
        return Choice(None, old_primary_first(old))
    if not sealed or not _all_have_sealed(observed, view, lives):
        return Choice(None, _waiting_for_seals(observed, view, lives))
    within = tuple(
        c
        for c in sealed
        if (behind := lag_bytes(view, c.agreed)) is not None
        and behind <= observed.spec.durability.max_lag_on_failover
    )
    if not within:
        return Choice(None, too_far_behind(observed, view, old, {c.uid: c.agreed for c in sealed}))
    choice = _among_the_safe(observed, view, within, _least(view, sealed), waited=True)
    return replace(choice, complete=False, only_without=old.uid if proof == "lease_ended" else None)


def _all_have_sealed(observed: Observed, view: ClusterView, lives: frozenset[SyncMember]) -> bool:
    """Whether the furthest of those who live is known; who does not seal is not waited for."""
    waited = observed.held(conditions.sealing(view.term), observed.spec.timings.restart_after_s)
    old = view.old_primary.uid if view.old_primary else None
    return waited or not {member for member in live_members(observed) - lives if member.uid != old}


class Rank(NamedTuple):
    """In which order the safe are promoted, the least first: a field counts where those before are equal."""

    behind: int
    past_a_fork: bool
    elsewhere: bool
    priority: int
    uid: str


Obstacle = Literal["lacks_commits", "diverged", "must_be_cloned", "no_failover", "kept_down", ""]


@dataclass(frozen=True, slots=True)
class Judged:
    """One sealed member: what keeps it from being promoted, empty for nothing, and its rank."""

    candidate: Candidate
    obstacle: Obstacle
    rank: Rank


def judge(
    observed: Observed, view: ClusterView, sealed: tuple[Candidate, ...], least: Lsn
) -> tuple[Judged, ...]:
    """Say of each sealed member whether it is safe and may be promoted, and how it ranks."""
    home = observed.site_of(view.old_primary.uid) if view.old_primary else ""
    return tuple(
        Judged(
            each,
            _obstacle(observed, view, each, least),
            Rank(
                behind=-each.agreed,
                past_a_fork=has_diverged(each.position, view.lineage),
                elsewhere=observed.site_of(each.uid) != home,
                priority=-observed.spec.member(each.uid).priority,
                uid=each.uid,
            ),
        )
        for each in sealed
    )


def _obstacle(observed: Observed, view: ClusterView, candidate: Candidate, least: Lsn) -> Obstacle:
    if not contains(candidate.position, view.lineage, least):
        return "lacks_commits"
    if not can_be_extended(candidate.position, view.lineage):
        return "diverged"
    if candidate.must_be_cloned(view.lineage):
        return "must_be_cloned"
    if candidate.uid in view.out:
        return "kept_down"
    return "no_failover" if observed.spec.member(candidate.uid).no_failover else ""


def _among_the_safe(
    observed: Observed, view: ClusterView, sealed: tuple[Candidate, ...], least: Lsn, *, waited: bool
) -> Choice:
    judged = judge(observed, view, sealed, least)
    safe = [each.candidate for each in judged if each.obstacle in {"", "no_failover", "kept_down"}]
    if not safe:
        return Choice(None, _nobody_safe(sealed, least), least)
    eligible = [each for each in judged if not each.obstacle]
    if not eligible:
        return Choice(None, _nobody_eligible(safe), least)
    old = view.old_primary
    others = [each for each in eligible if old is None or each.candidate.uid != old.uid]
    if not others and not waited:
        return Choice(None, _old_primary_last(eligible[0].candidate), least)
    chosen = min(others or eligible, key=lambda each: each.rank).candidate
    text = (
        f"{chosen.uid} holds everything up to {least} and is at {chosen.position.lsn}; "
        f"safe: {', '.join(c.uid for c in safe)}; sealed: {', '.join(c.uid for c in sealed)}"
    )
    return Choice(
        chosen, Reason(code="candidate_chosen", severity="info", subject=chosen.uid, text=text), least
    )


def _waiting_for_seals(observed: Observed, view: ClusterView, lives: frozenset[SyncMember]) -> Reason:
    missing = sorted({m.uid for each in view.sync.in_force for m in each.members - lives})
    if view.sync.lease_protects:
        missing = sorted(member.uid for member in live_members(observed) - lives)
    if standbys_suffice(observed, view, view.old_primary):
        return Reason(
            code="sealing",
            severity="critical",
            text=f"waiting for the seals of term {view.term}: {', '.join(missing)}",
        )
    return too_few_live(observed, view)


def _nobody_safe(sealed: tuple[Candidate, ...], least: Lsn) -> Reason:
    return Reason(
        code="nobody_safe",
        severity="critical",
        text=f"nothing is promoted: nobody who sealed holds everything acknowledged, up to {least}; "
        + ", ".join(f"{c.uid} ends at {c.agreed}" for c in sealed),
        fix="start the keepers of the other members on their data",
    )


def _nobody_eligible(safe: list[Candidate]) -> Reason:
    return Reason(
        code="nobody_eligible",
        severity="critical",
        text=f"nothing is promoted: {', '.join(c.uid for c in safe)} would be safe but may not be promoted",
        fix="clear no_failover of one of them in the spec, or end its fence with pgha unfence",
    )


def _old_primary_last(candidate: Candidate) -> Reason:
    return Reason(
        code="old_primary_last",
        severity="critical",
        subject=candidate.uid,
        text=f"only {candidate.uid}, which was primary when it went down, is safe; "
        "others have until restart_after to seal",
    )
