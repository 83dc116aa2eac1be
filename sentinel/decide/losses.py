"""What a failover under ``k = 0`` has lost: known once the old primary is back (protocol, section 7)."""

from __future__ import annotations

from typing import Final

from common.model.lineage import agreed_until
from common.model.reasons import Reason
from common.model.reports import KeeperReport, SealReport
from common.model.view import ClusterView, Forsaken
from common.model.wal import Lsn
from sentinel.decide import conditions
from sentinel.decide.choice import Choice
from sentinel.decide.observed import Change, Decision, Observed, next_view

WARNED_FOR_S: Final = 600.0
"""How long a loss stays among the reasons, on each sentinel's own clock; the history keeps it."""

FORSAKEN_LIMIT: Final = 16
"""Lives that are remembered at most, the newest: each goes once it is known what it had."""


def forsaken_by(view: ClusterView, fork: Lsn, choice: Choice) -> tuple[Forsaken, ...]:
    """Who is left behind with WAL that nobody has looked at, once this choice is carried out."""
    old = view.old_primary
    if choice.complete or old is None or old.incarnation is None:
        return view.forsaken
    left = Forsaken(
        uid=old.uid, incarnation=old.incarnation, term=view.term - 1, timeline=old.timeline, fork=fork
    )
    return (*view.forsaken, left)[-FORSAKEN_LIMIT:]


def next_loss(observed: Observed, view: ClusterView) -> Decision:
    """Write down what was lost as soon as the old primary says where it ended; warn of it for a while.

    Only with a route: before that the floor does not hold what the new primary has, and who is named in its
    place, should it fail, may have more of the old one's WAL or less.
    """
    change = None
    for each in view.forsaken:
        if each.lost_bytes is None and change is None and view.route is not None:
            change = _accounted(observed, view, each)
        elif each.lost_bytes and observed.held(conditions.wal_lost(each.uid, each.term), WARNED_FOR_S):
            rest = tuple(other for other in view.forsaken if other != each)
            text = f"the loss of WAL of {each.uid} in term {each.term} is in the history"
            change = change or Change(
                next_view(view, forsaken=rest), "wal_lost_noted", text, "wal_lost", old_primary=each.uid
            )
    return Decision(change, tuple(_warning(each) for each in view.forsaken if each.lost_bytes))


def _accounted(observed: Observed, view: ClusterView, each: Forsaken) -> Change | None:
    report = observed.keepers.get(each.uid)
    seal = _last_seal(report, each.incarnation) if report else None
    others = tuple(other for other in view.forsaken if other != each)
    if seal is None:
        if report is None or report.incarnation in {None, each.incarnation}:
            return None
        text = f"how much WAL of {each.uid} was lost in term {each.term} cannot be known: its data are gone"
        return Change(
            next_view(view, forsaken=others), "wal_lost_unknown", text, "wal_lost", old_primary=each.uid
        )
    kept = agreed_until(seal.position, view.lineage)
    lost_bytes = max(0, seal.lsn - kept)
    if not lost_bytes:
        text = f"nothing of {each.uid} was lost in term {each.term}: it ended at {seal.lsn}"
        return Change(
            next_view(view, forsaken=others),
            "no_wal_lost",
            text,
            "wal_kept",
            old_primary=each.uid,
            lsn=seal.lsn,
        )
    known = each.changed(lost_bytes=lost_bytes, ended_at=seal.lsn)
    return Change(
        next_view(view, forsaken=(*others, known)),
        "wal_lost",
        _in_words(known),
        "wal_lost",
        old_primary=each.uid,
        lsn=kept,
        timeline=seal.timeline,
    )


def _last_seal(report: KeeperReport, incarnation: str) -> SealReport | None:
    """Where that life ended, by its own seal or by what its successor was told of it."""
    if report.incarnation == incarnation:
        return report.seal
    return report.ended.seal if report.ended and report.ended.incarnation == incarnation else None


def _in_words(each: Forsaken) -> str:
    return (
        f"{each.lost_bytes} bytes of WAL of {each.uid} were lost in term {each.term}: it had written up to "
        f"{each.ended_at}, its successor was promoted at {each.fork}"
    )


def _warning(each: Forsaken) -> Reason:
    return Reason(
        code="wal_lost",
        severity="warning",
        subject=each.uid,
        text=_in_words(each),
        fix="look for what clients wrote last, before the failover, and write it again; "
        "durability.mode degrade or strict keeps it, unless a failover is forced",
    )
