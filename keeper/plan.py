"""What should this keeper do next? A pure function of the view and the facts (protocol 5, 8 and 9).

Theory of operation. Every start of PostgreSQL but the very first is a start as a standby that
follows nobody. A standby enters a term by sealing: it stores the promise, lets go of its upstream,
and learns its final position. Only then is it promoted (when the view names it), or judged against
the lineage: it follows, or begins a new life by a rewind or a clone. So whatever was interrupted,
by whomever, is simply begun again from what is true now.

I6, "writable only with a view read in this life that names it, its incarnation and this term": the
caller passes None until it has read a view in this life of the process, and never an older view
than one it has obeyed.
"""

from __future__ import annotations

from common.model.lineage import has_diverged, has_promotion
from common.model.names import standby_name
from common.model.view import ClusterView, Primary, SyncMember
from keeper.plan_asked import held_by_pause, kept_down
from keeper.plan_switchover import hand_over, what_was_stopping
from keeper.step_or_wait import is_life, retry, wait
from keeper.steps import (
    Claim,
    Clone,
    ConfirmPromotion,
    Facts,
    Follow,
    Guard,
    Initialize,
    Promote,
    Rewind,
    Seal,
    Serve,
    StartStandby,
    StartWritable,
    Step,
    Stop,
    Upstream,
)

REWINDS_TRIED = 3
"""Rewinds in a row that may fail, of a wrong password say, before the member is cloned instead."""

SETTLE_S = 0.5
"""How long after a new route what can wait does not compete with the clients that come back."""


def plan(view: ClusterView | None, facts: Facts) -> Step:
    """Return the next step towards what the view says."""
    if facts.busy:
        return wait(facts, "busy", facts.busy)
    if view is None:
        return wait(facts, "no_view", "no view has been read yet")
    if view.phase == "initializing":
        return _at_the_beginning(view, facts)
    if facts.system_identifier is not None and facts.system_identifier != view.system_identifier:
        return wait(
            facts,
            "foreign_data",
            f"{facts.uid} holds data of another cluster: system identifier {facts.system_identifier}, "
            f"ours is {view.system_identifier}; it is left alone",
            "critical",
            f"give {facts.uid} back its own directory, or an empty one",
        )
    if facts.unclaimed and facts.system_identifier is not None:
        return retry(facts, Claim(facts.unclaimed))
    if view.member(facts.uid) is None:
        return wait(facts, "not_a_member", f"the view does not list {facts.uid} yet")
    if view.term < facts.sealed_term:
        return wait(
            facts,
            "view_older_than_seal",
            f"the view is of term {view.term}, but {facts.uid} has sealed for term {facts.sealed_term}",
            "critical",
            "see whether the store was restored from an old backup",
        )
    return _in_its_place(view, facts)


def _in_its_place(view: ClusterView, facts: Facts) -> Step:
    """The next step of a member, by what the view says that it is."""
    if facts.state == "stopping" and view.phase != "switching":
        return what_was_stopping(view, facts)
    member = view.member(facts.uid)
    if member is not None and member.kept_down is not None:
        return kept_down(member.kept_down, facts)
    if view.phase == "sealing":
        return _while_sealing(view, facts)
    named = view.primary
    if named is not None and named.uid == facts.uid:
        return _as_primary(view, named, facts)
    return _as_standby(view, facts)


def upstream_of(view: ClusterView, facts: Facts) -> Upstream | None:
    """Whom this member follows in the view's term, under the name of its present life."""
    target = view.upstream
    if target is None or facts.life is None:
        return None
    name = standby_name(facts.uid, facts.life.incarnation, view.term)
    return Upstream(target.uid, target.host, target.port, name, view.term)


def _at_the_beginning(view: ClusterView, facts: Facts) -> Step:
    named = view.primary
    if named is None or named.uid != facts.uid:
        return wait(facts, "not_named", "another keeper creates the first data directory")
    if facts.state == "no_data":
        return Initialize(view.term)
    return wait(facts, "initialized", "the first data directory is there")


def _while_sealing(view: ClusterView, facts: Facts) -> Step:
    was_primary = is_life(view.old_primary, facts)
    if facts.state == "running" and facts.role == "standby":
        if facts.life is None or not facts.life.complete:
            return wait(facts, "not_complete", f"{facts.uid} has no complete data directory to seal")
        if _sealed(view, facts):
            return wait(facts, "sealed", f"{facts.uid} has sealed for term {view.term}")
        return Seal(view.term)
    if facts.state == "running" and facts.role == "primary":
        if was_primary and _may_be_named_again(view, facts) and _is_guarded(view, facts):
            return wait(facts, "was_primary", f"{facts.uid} waits to hear who is primary of term {view.term}")
        return Stop(f"{facts.uid} has been superseded: the cluster is in term {view.term}")
    if facts.state in {"stopped", "down", "failed"} and facts.life is not None and facts.life.complete:
        if was_primary and not view.old_primary_may_start and facts.phase_seen_s < facts.restart_after_s:
            return wait(
                facts,
                "was_primary",
                f"{facts.uid} gives the standbys {facts.restart_after_s:g} s to seal first",
            )
        return retry(facts, StartStandby(None, f"to seal for term {view.term}"))
    return wait(facts, "cannot_seal", f"{facts.uid} is {facts.state} and cannot seal for term {view.term}")


def _may_be_named_again(view: ClusterView, facts: Facts) -> bool:
    """Whether the old primary is what the sentinel could name again; else it must stop, so that it can seal.

    A promotion that ended too late is not finished; who has begun to seal has made its promise; and who
    hangs would only hang on.
    """
    old, promotion = view.old_primary, facts.promotion
    return (
        old is not None
        and promotion is not None
        and promotion.finished
        and promotion.incarnation == old.incarnation
        and promotion.timeline == facts.timeline == old.timeline
        and facts.sealed_term < view.term
        and not facts.hanging
    )


def _as_primary(view: ClusterView, named: Primary, facts: Facts) -> Step:
    if not is_life(named, facts):
        if facts.state == "running":
            return Stop(f"the view names another life of {facts.uid} than the one on this disk")
        return wait(
            facts,
            "primary_data_gone",
            f"the view names incarnation {named.incarnation} of {facts.uid}, which is not on this disk",
            "critical",
        )
    if facts.state == "running" and facts.role == "primary":
        return _as_running_primary(view, named, facts)
    if view.phase == "switching" and view.switching is not None:
        return hand_over(view, view.switching, facts)
    if facts.state == "running" and facts.role == "standby":
        return _as_candidate(view, named, facts)
    if facts.state == "stopped" and view.route is None and _may_start_writable(named, facts):
        if not _is_guarded(view, facts):
            return retry(facts, Guard(view.term))
        return StartWritable(view.term)
    return wait(
        facts,
        "primary_down",
        f"PostgreSQL of {facts.uid} is {facts.state}; the sentinel decides who goes on",
        "critical",
    )


def _as_candidate(view: ClusterView, named: Primary, facts: Facts) -> Step:
    if not _sealed(view, facts):
        return retry(facts, Seal(view.term))
    if facts.seal is not None and facts.seal.lsn == named.fork:
        if not _is_guarded(view, facts):
            return retry(facts, Guard(view.term))
        return Promote(view.term, named)
    return wait(
        facts,
        "promotion_impossible",
        f"{facts.uid} is named primary of term {view.term} from {named.fork}, "
        f"but is sealed at another position",
        "critical",
    )


def _may_start_writable(named: Primary, facts: Facts) -> bool:
    """Whether its promotion to just the timeline that the view names has been reported as finished (I6)."""
    promotion = facts.promotion
    return (
        promotion is not None
        and promotion.finished
        and promotion.timeline == named.timeline
        and promotion.incarnation == named.incarnation
    )


def _as_running_primary(view: ClusterView, named: Primary, facts: Facts) -> Step:
    promotion = facts.promotion
    if promotion is None or promotion.timeline != named.timeline or facts.timeline != named.timeline:
        return Stop(
            f"{facts.uid} is primary on timeline {facts.timeline}, "
            f"but the view names timeline {named.timeline} in term {view.term}"
        )
    if not _is_guarded(view, facts):
        return retry(facts, Guard(view.term))
    if not promotion.finished:
        return ConfirmPromotion(view.term, named)
    if view.phase == "switching" and view.switching is not None:
        return hand_over(view, view.switching, facts)
    return Serve(view.term)


def _as_standby(view: ClusterView, facts: Facts) -> Step:
    target = view.upstream
    if target is None:
        return wait(facts, "no_upstream", "the view names nobody to follow")
    if facts.state == "running" and facts.role == "primary":
        return Stop(f"{target.uid} is primary of term {view.term}, not {facts.uid}")
    if facts.state == "no_data" or facts.life is None:
        return retry(facts, Clone(target.uid, view.term, "there is no data yet"))
    if not facts.life.complete:
        return _incomplete(view, facts, target.uid)
    if facts.state in {"stopped", "down", "failed"} and _begins_anew(view, facts):
        return _new_life(view, facts, target.uid, "the view says that it begins anew", rewind=False)
    if facts.state in {"down", "failed"} and (held := held_by_pause(view, facts, "is not started")):
        return held
    if facts.state in {"stopped", "down", "failed"}:
        patience_s = facts.restart_after_s if view.route is None else SETTLE_S
        if facts.phase_seen_s < patience_s and not _must_acknowledge(view, facts):
            return wait(facts, "after_route", f"{facts.uid} starts once clients are back, not in their way")
        return retry(facts, StartStandby(None, f"to enter term {view.term}"))
    if facts.state == "running" and facts.role == "standby":
        return _as_running_standby(view, facts, target.uid)
    return wait(facts, "in_between", f"PostgreSQL of {facts.uid} is {facts.state}")


def _must_acknowledge(view: ClusterView, facts: Facts) -> bool:
    """Whether the set that the new primary begins with counts on this member, as after a switchover."""
    life = facts.life
    return (
        view.route is None
        and life is not None
        and SyncMember(facts.uid, life.incarnation) in view.sync.target.members
    )


def _incomplete(view: ClusterView, facts: Facts, upstream_uid: str) -> Step:
    """A life that was begun by a clone or rewind and has never come up.

    What it needs to come up only the primary of the term in which it began is sure to have.
    """
    of_this_term = facts.life is not None and facts.life.term == view.term
    if facts.state == "running" or (facts.state == "starting" and of_this_term):
        return wait(facts, "starting", f"{facts.uid} catches up after its clone")
    if facts.state in {"stopped", "down"} and of_this_term:
        return retry(facts, StartStandby(upstream_of(view, facts), "to catch up after its clone or rewind"))
    return retry(facts, Clone(upstream_uid, view.term, "its last clone or rewind did not come up"))


def _as_running_standby(view: ClusterView, facts: Facts, upstream_uid: str) -> Step:
    upstream = upstream_of(view, facts)
    if upstream is None:
        return wait(facts, "no_upstream", "the view names nobody to follow")
    member = view.member(facts.uid)
    if _begins_anew(view, facts):
        return _new_life(view, facts, upstream_uid, "the view says that it begins anew", rewind=False)
    if member is not None and member.restart is not None and member.restart == facts.start_id:
        return Stop(f"PostgreSQL of {facts.uid} is restarted, as was asked for")
    if facts.following is not None and facts.following.name == upstream.name:
        if facts.following == upstream:
            return wait(facts, "following", f"{facts.uid} follows {upstream_uid} in term {view.term}")
        return Follow(upstream)
    if not _sealed(view, facts) or facts.seal is None:
        return Seal(view.term)
    if _began_what_is_not_in_the_lineage(view, facts):
        why = "it began a promotion that is not in the lineage"
        return _new_life(view, facts, upstream_uid, why, rewind=False)
    if has_diverged(facts.seal.position, view.lineage):
        why = f"it has WAL up to {facts.seal.lsn} on timeline {facts.seal.timeline} that the lineage does not"
        return _new_life(view, facts, upstream_uid, why, rewind=True)
    return Follow(upstream)


def _new_life(view: ClusterView, facts: Facts, upstream_uid: str, why: str, *, rewind: bool) -> Step:
    """A diverged member begins again, without destroying what may be the last copy of a commit (I3).

    The route of this term proves that ``k`` others have flushed past the fork: then the directory may
    be rewound in place. A clone leaves the old directory beside it, so it may begin earlier, when the
    view says that the primary lacks standbys. Where rewinds fail again and again it is cloned.
    """
    held = held_by_pause(view, facts, f"begins no new life, although {why}")
    if held is not None and not _begins_anew(view, facts):
        return held
    if view.route is not None and rewind and facts.failed_rewinds < REWINDS_TRIED:
        return retry(facts, Rewind(upstream_uid, view.term, why))
    if view.route is not None or view.rebuild_beside:
        return retry(facts, Clone(upstream_uid, view.term, why))
    return wait(
        facts, "diverged", f"{facts.uid} has diverged and waits until others hold the new history: {why}"
    )


def _begins_anew(view: ClusterView, facts: Facts) -> bool:
    """Whether the view says that the present life does not go on."""
    member = view.member(facts.uid)
    return member is not None and facts.life is not None and member.rebuild == facts.life.incarnation


def _began_what_is_not_in_the_lineage(view: ClusterView, facts: Facts) -> bool:
    promotion, life = facts.promotion, facts.life
    if promotion is None or life is None or not promotion.lies_in(life.incarnation):
        return False
    return not has_promotion(view.lineage, promotion.timeline, promotion.incarnation)


def _is_guarded(view: ClusterView, facts: Facts) -> bool:
    """Whether PostgreSQL may be a primary, or become one: under ``k = 0`` only with its end in sight."""
    return facts.guarded or not view.sync.lease_protects


def _sealed(view: ClusterView, facts: Facts) -> bool:
    return (
        facts.seal is not None
        and facts.seal.term == view.term
        and facts.sealed_term == view.term
        and facts.following is None
    )
