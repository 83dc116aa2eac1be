"""An explanation as text."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pgha.explain.explanation import Consequence, Explanation
from pgha.status.render import headline, new_table, reasons

STYLE_OF_SEVERITY = {"critical": "bold red", "warning": "yellow", "info": ""}


def render(said: Explanation, screen: Console) -> None:
    """Write why it is so, who would be next, and what would happen."""
    screen.print(headline(said.cluster, said.health, said.term, said.phase))
    if said.primary is not None:
        since = f", since {said.since.astimezone():%Y-%m-%d %H:%M:%S}" if said.since else ""
        screen.print(f"primary:  {said.primary} ({said.primary_site or 'site unknown'}){since}")
        screen.print(f"because:  {said.why}", soft_wrap=True)
    screen.print()
    reasons(said.reasons, screen)
    if said.successors:
        _successors(said, screen)
    if said.consequences:
        screen.print("\nwhat would happen now")
        screen.print(_table(said))
        for each in said.consequences:
            _risks(each, screen)


def _successors(said: Explanation, screen: Console) -> None:
    screen.print(f"\nif the host of {said.primary or 'the old primary'} died now")
    rows = new_table("MEMBER", "SITE", "WHO TAKES OVER")
    for each in said.successors:
        rows.add_row(each.uid, each.site, Text(each.text, "bold" if each.takes_over else ""))
    screen.print(rows)


def _table(said: Explanation) -> Table:
    rows = new_table("IF IT DIES", "PRIMARY", "WRITERS GO TO", "SYNC SET", "AT RISK")
    for each in said.consequences:
        worst = each.risks[0].severity if each.risks else "info"
        rows.add_row(
            title(each),
            Text(_primary(each), STYLE_OF_SEVERITY["critical"] if each.primary is None else ""),
            each.route or "nowhere",
            each.sync_set or "-",
            Text(", ".join(risk.code for risk in each.risks) or "nothing", STYLE_OF_SEVERITY[worst]),
        )
    return rows


def title(each: Consequence) -> str:
    """What dies, in words."""
    return each.name if each.kind == "member" else f"site {each.name}"


def _primary(each: Consequence) -> str:
    if each.primary is None:
        return "none"
    return f"{each.primary} stays" if each.stays else each.primary


def _risks(each: Consequence, screen: Console) -> None:
    if each.risks:
        screen.print(f"\n{title(each)}:")
        reasons(each.risks, screen)


def render_steps(each: Consequence, screen: Console) -> None:
    """Write one consequence step by step."""
    screen.print(f"if {title(each)} died now (it takes along: {', '.join(each.lost) or 'no member'})")
    for step in each.steps:
        screen.print(f"{step.at_s:>6.1f} s  {step.kind:<16}  {step.text}", soft_wrap=True)
    if not each.steps:
        screen.print("nothing changes")
    screen.print(
        f"then: primary {_primary(each)}, writers go to {each.route or 'nobody'}"
        + (f", sync set {each.sync_set}" if each.sync_set else ""),
        soft_wrap=True,
    )
    if each.risks:
        reasons(each.risks, screen)
    else:
        screen.print("nothing acknowledged is lost, and nothing is less safe than now")
