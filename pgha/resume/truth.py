"""Which view was the last that took effect, and is that certain? Pure.

A view takes effect by the keepers that obey it, and each keeps the newest that it has obeyed. So the newest
kept view is the truth, unless a keeper that does not answer has obeyed a newer one that matters. None can:

    a newer sync set in the term    only the primary applies it, so none matters while the primary answers
    a newer term                    needs the seals of ``|S| - k + 1`` members of every set in force, or the
                                    primary's: none is in force while the primary and ``k`` members of one set
                                    answer and have promised nothing newer
    a primary named while sealing   may be any member, so all must answer

A primary that is lost for good may have applied sets that nobody else knows. Then the newest kept view is
enough only where every other member answers: whoever acknowledged for it is among them, and all must seal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.errors import UnsafeOperation
from common.model.identity import ACCEPT
from common.model.reports import KeeperReport
from common.model.view import ClusterView, Member, SyncSet


@dataclass(frozen=True, slots=True)
class Answer:
    """What a keeper's API said: its report as of now, and the newest view that it has obeyed."""

    report: KeeperReport
    view: ClusterView | None


def newest_view(
    stored: ClusterView | None, answers: Mapping[str, Answer], without: frozenset[str] = frozenset()
) -> ClusterView | None:
    """Return the view that the cluster was last in; ``stored`` is what stands in the store now.

    ``without``: keepers that an operator has declared lost for good, or whose data are: a keeper that answers
    in another life than the view names has others, if any. None when nobody has obeyed any view.
    Raises UnsafeOperation when the newest view cannot be known; the text says which keepers to start.
    """
    if not answers:
        raise UnsafeOperation("no keeper answers, so nobody knows the newest view: start the keepers")
    ours = _of_one_cluster(stored, answers)
    kept = {uid: answer.view for uid, answer in ours.items() if answer.view is not None}
    if not kept:
        return stored
    newest = max(kept.values(), key=lambda view: view.generation)
    if back := sorted(uid for uid in without & answers.keys() if _has_its_life(uid, newest, answers)):
        raise UnsafeOperation(f"{', '.join(back)} answers, so it is not lost: leave it out of --without")
    _refuse_rivals(newest, kept, ours)
    for uid, answer in sorted(ours.items()):
        promised = max(answer.report.term, answer.report.sealed_term)
        if promised > newest.term:
            raise UnsafeOperation(
                f"{uid} has promised term {promised}, but no keeper that answers holds a view of it: "
                "start the other keepers"
            )
    problem = _why_uncertain(newest, ours, without)
    if problem:
        raise UnsafeOperation(f"the newest view cannot be known: {problem}")
    return newest


def _of_one_cluster(stored: ClusterView | None, answers: Mapping[str, Answer]) -> Mapping[str, Answer]:
    """Leave out the keepers whose view is of another cluster's data."""
    found = {answer.view.system_identifier for answer in answers.values() if answer.view is not None}
    systems = {each for each in found if each is not None}
    if len(systems) < 2:  # noqa: PLR2004 - one cluster is as it should be
        return answers
    wanted = stored.system_identifier if stored else None
    if wanted not in systems:
        of = {uid: answer.view.system_identifier for uid, answer in answers.items() if answer.view}
        raise UnsafeOperation(f"the keepers remember several clusters, stop those that do not belong: {of}")
    return {
        uid: answer
        for uid, answer in answers.items()
        if answer.view is None or answer.view.system_identifier in {None, wanted}
    }


def _refuse_rivals(
    newest: ClusterView, kept: Mapping[str, ClusterView], answers: Mapping[str, Answer]
) -> None:
    rivals = sorted(uid for uid, view in kept.items() if view.generation == newest.generation)
    stores = [answers[uid].report.store for uid in rivals]
    digests = {store.view_digest if store else "" for store in stores}
    same = len(digests) == 1 if "" not in digests else all(kept[uid] == newest for uid in rivals)
    if not same:
        raise UnsafeOperation(
            f"{', '.join(rivals)} have obeyed different views of generation {newest.generation}: stop the "
            "keepers that took the wrong way, and empty their directories before they are started again"
        )


def _why_uncertain(view: ClusterView, answers: Mapping[str, Answer], without: frozenset[str]) -> str:
    """Why a newer view may have taken effect; empty when none can have."""
    silent = [
        member for member in view.members if not _answers(member, answers) and member.uid not in without
    ]
    if view.phase == "sealing" or (view.primary is not None and view.primary.uid in without):
        return _missing(silent, answers, "all must answer")
    primary = view.member(view.primary.uid) if view.primary else None
    if primary is None or not _answers(primary, answers):
        uid = view.primary.uid if view.primary else "the primary"
        return (
            f"the keeper of {uid}, which was primary, does not answer in its life. Start it; "
            f"if its data are lost for good: {ACCEPT} --without {uid}"
        )
    if not silent or any(_holds_off(each, answers) for each in view.sync.in_force):
        return ""
    return _missing(silent, answers, "too few members of its sync set answer")


def _answers(member: Member, answers: Mapping[str, Answer]) -> bool:
    answer = answers.get(member.uid)
    return answer is not None and member.incarnation in {None, answer.report.incarnation}


def _holds_off(each: SyncSet, answers: Mapping[str, Answer]) -> bool:
    """Whether those of a set who answer are so many that no failover can have been made without them."""
    there = sum(
        member.uid in answers and answers[member.uid].report.incarnation == member.incarnation
        for member in each.members
    )
    return 1 <= each.k <= there


def _has_its_life(uid: str, view: ClusterView, answers: Mapping[str, Answer]) -> bool:
    """Whether a keeper still has the data that the view counts on; one that answers may have lost them."""
    member = view.member(uid)
    return member is None or _answers(member, answers)


def _missing(silent: list[Member], answers: Mapping[str, Answer], why: str) -> str:
    if not silent:
        return ""
    uids = [member.uid for member in silent]
    reborn = [uid for uid in uids if uid in answers]
    if reborn:
        why += f" (in another life than the view names, or without data: {', '.join(reborn)})"
    todo = f"Start it; if its data are lost for good: {ACCEPT} {' '.join(f'--without {uid}' for uid in uids)}"
    return f"{why}, and {', '.join(uids)} does not. {todo}"
