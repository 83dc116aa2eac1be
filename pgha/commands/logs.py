"""``pgha logs``: what the services have decided lately, from all of them in one order."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from common.runtime.clock import SystemClock
from common.runtime.logging import LEVELS
from common.store.port import Store
from pgha.exits import Exit, fail, say
from pgha.logs.gather import Line, Reader, services_of
from pgha.options import Target, with_target
from pgha.output import Format, console, dump
from pgha.status.gather import read_cluster

POLL_S: Final = 1.0
STYLE: Final = {"error": "bold red", "critical": "bold red", "warning": "yellow"}


@with_target
def logs(
    target: Target,
    *,
    uids: Annotated[
        list[str] | None, typer.Argument(metavar="[UID]...", help="Only these services; left out: all.")
    ] = None,
    number: Annotated[int, typer.Option("-n", "--number", min=0, help="How many of the latest lines.")] = 50,
    level: Annotated[str, typer.Option(help=f"From this level on: {', '.join(LEVELS)}.")] = "info",
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to write it.")] = Format.TEXT,
) -> None:
    """Show the recent decisions of sentinels, keepers and proxies, oldest first, from their own memories.

    Each service keeps its last 500 lines; what is older stands in its journal. The times are those of each
    host's own clock. pgha history has the changes of the cluster alone, and for longer.
    """
    if level not in LEVELS:
        raise typer.BadParameter(f"--level = {level!r}: one of {', '.join(LEVELS)}")

    async def show(store: Store) -> None:
        services = services_of(await read_cluster(store, target.keys))
        unknown = sorted(set(uids or ()) - services.keys())
        if unknown:
            known = ", ".join(sorted(services)) or "none"
            raise typer.BadParameter(f"UID = {unknown[0]!r}: no such service reports; there are {known}")
        reader = Reader({uid: where for uid, where in services.items() if not uids or uid in uids})
        lines, silent = await reader.read()
        for uid, why in silent.items():
            say(f"{uid} gives no lines: {why}")
        if len(silent) == len(reader.services):
            fail(f"no service of cluster {target.keys.cluster} has answered", Exit.FAILED)
        shown = [line for line in lines if _matters(line, level)]
        write(shown[-number:] if number else [], output, console(), stream=follow)
        while follow:
            await SystemClock().sleep(POLL_S)
            fresh, _ = await reader.read()
            write([line for line in fresh if _matters(line, level)], output, console(), stream=True)

    try:
        target.run(show)
    except KeyboardInterrupt:
        raise typer.Exit from None


def _matters(line: Line, level: str) -> bool:
    ranks = {name: rank for rank, name in enumerate((*LEVELS, "critical"))}
    return ranks.get(line.level, 0) >= ranks[level]


def write(lines: list[Line], output: Format, screen: Console, *, stream: bool) -> None:
    """Write lines: of text, or as one document, or one document each where more will follow."""
    if output is Format.TEXT:
        for line in lines:
            screen.print(_text(line), soft_wrap=True)
    elif stream:
        for line in lines:
            dump(asdict(line), output, one_line=True)
    else:
        dump([asdict(line) for line in lines], output)


def _text(line: Line) -> Text:
    try:
        at = datetime.fromisoformat(line.at).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except ValueError:
        at = line.at
    fields = "  ".join(f"{name}={value}" for name, value in line.fields.items() if value not in ("", None))
    style = STYLE.get(line.level, "")
    return Text.assemble(
        f"{at}  {line.uid:<16}  ", (f"{line.level:<8}", style), f"  {line.event:<18}  {fields}"
    )
