"""All checks together. Pure."""

from __future__ import annotations

from common.status.assemble import assemble
from pgha.doctor.finding import Finding, Seen, worst_first
from pgha.doctor.hosts import check_hosts
from pgha.doctor.settings import check_settings
from pgha.doctor.store import check_store
from pgha.explain.explanation import Explanation


def diagnose(seen: Seen, foretold: Explanation) -> tuple[Finding, ...]:
    """Everything that is found, worst first; ``foretold`` says what the loss of each site would lead to."""
    found = [*check_hosts(seen), *check_settings(seen), *check_store(seen)]
    known = {(each.code, each.subject) for each in found}
    found += [each for each in _said(seen) if (each.code, each.subject) not in known]
    found += _site_losses(foretold)
    return worst_first(tuple(found))


def _said(seen: Seen) -> list[Finding]:
    """What the services and the leader complain of themselves."""
    status = assemble(seen.documents, {}, seen.store, seen.now)
    return [
        Finding(
            code=reason.code,
            severity=reason.severity,
            subject=reason.subject,
            text=reason.text,
            means="",
            fix=reason.fix,
        )
        for reason in status.reasons
    ]


def _site_losses(foretold: Explanation) -> list[Finding]:
    """Sites without which there would be no primary."""
    return [
        Finding(
            code="site_not_survived",
            severity="warning",
            subject=each.name,
            text=f"if site {each.name} were lost now there would be no primary: "
            + "; ".join(risk.text for risk in each.risks if risk.severity == "critical"),
            means="its loss needs an operator",
            fix=f"pgha explain {each.name} shows why, step by step",
        )
        for each in foretold.consequences
        if each.kind == "site" and each.primary is None and foretold.primary is not None
    ]
