"""What every part of the plan asks: who we are, and whether a step is due or has to wait. Pure."""

from __future__ import annotations

from common.model.reasons import Reason, Severity
from common.model.view import Primary
from keeper.steps import Facts, Step, Wait


def is_life(ref: Primary | None, facts: Facts) -> bool:
    """Whether a view means the life that is on this disk."""
    return (
        ref is not None
        and facts.life is not None
        and ref.uid == facts.uid
        and ref.incarnation == facts.life.incarnation
    )


def retry(facts: Facts, step: Step) -> Step:
    """Hold a step back while the pause after its last failure lasts."""
    if facts.retry_in_s > 0:
        return wait(
            facts,
            "retry",
            f"{type(step).__name__.lower()} of {facts.uid} failed; next try in {facts.retry_in_s:.1f} s",
        )
    return step


def wait(facts: Facts, code: str, text: str, severity: Severity = "info", fix: str = "") -> Wait:
    """Nothing to do now, and why."""
    return Wait(Reason(code=code, severity=severity, subject=facts.uid, text=text, fix=fix))
