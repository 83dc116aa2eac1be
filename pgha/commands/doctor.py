"""``pgha doctor``: checks hosts and cluster against the known ways to go wrong."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from common.model.reasons import Severity
from common.runtime.clock import SystemClock
from pgha.doctor.diagnose import diagnose
from pgha.doctor.finding import Finding
from pgha.doctor.gather import gather
from pgha.exits import Exit
from pgha.options import Target, with_target
from pgha.output import Format, console, dump
from pgha.status.render import SEVERITY_STYLE

CODES: Final[dict[Severity, Exit]] = {
    "info": Exit.HEALTHY,
    "warning": Exit.DEGRADED,
    "critical": Exit.CRITICAL,
}


@with_target
def doctor(
    target: Target,
    *,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to write it.")] = Format.TEXT,
) -> None:
    """Check hosts, PostgreSQL, etcd and services against the known ways to go wrong, worst first.

    Exit code: 0 nothing, or remarks alone; 1 warnings; 2 something critical; 3 the store cannot be reached.
    Nothing is changed.
    """
    seen, foretold = target.run(lambda store: gather(store, target.keys, SystemClock()))
    found = diagnose(seen, foretold)
    if output is Format.TEXT:
        render(found, len(seen.hosts), console())
    else:
        dump([each.model_dump(mode="json") for each in found], output)
    raise typer.Exit(max((CODES[each.severity] for each in found), default=Exit.HEALTHY))


def render(found: tuple[Finding, ...], hosts: int, screen: Console) -> None:
    """Write each finding with what it means and what to do."""
    for each in found:
        style = SEVERITY_STYLE[each.severity]
        screen.print(Text.assemble((f"{each.severity}: ", style), each.text), soft_wrap=True)
        if each.means:
            screen.print(f"    means: {each.means}", soft_wrap=True)
        if each.fix:
            screen.print(f"    to do: {each.fix}", soft_wrap=True)
    counts = ", ".join(
        f"{sum(each.severity == severity for each in found)} {severity}"
        for severity in ("critical", "warning", "info")
    )
    screen.print(f"{hosts} host{'' if hosts == 1 else 's'} looked at: {counts}")
