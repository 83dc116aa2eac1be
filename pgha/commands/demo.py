"""``pgha demo``: a whole cluster of two sites on this machine, and faults to try on it."""

from __future__ import annotations

import asyncio
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pgha.demo.faults import FAULTS
from pgha.demo.layout import DEFAULT_PORT_BASE, SITES, plan_layout
from pgha.demo.options import Options


class Survive(StrEnum):
    """Which loss no acknowledged commit may fall victim to."""

    NODE = "node"
    SITE = "site"


class Mode(StrEnum):
    """What gives way when standbys are missing."""

    STRICT = "strict"
    DEGRADE = "degrade"
    ASYNC = "async"


def demo(
    *,
    keepers: Annotated[
        str, typer.Option(help=f"How many keepers stand on {' and '.join(SITES)}.", metavar="N,N")
    ] = "2,2",
    etcd: Annotated[int, typer.Option(help="How many etcd members: 1 or 3.")] = 1,
    port_base: Annotated[int, typer.Option(help="First of the loopback ports.")] = DEFAULT_PORT_BASE,
    postgres: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Directory with PostgreSQL's programs.")
    ] = None,
    survive: Annotated[
        Survive | None, typer.Option(help="Durability; left out: site where keepers stand on two.")
    ] = None,
    mode: Annotated[Mode, typer.Option(help="What gives way when standbys are missing.")] = Mode.DEGRADE,
    exercise: Annotated[
        str, typer.Option(help=f"Exercises to run, between commas: {', '.join(FAULTS)}.", metavar="LIST")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="One object per exercise on standard output, and only that.")
    ] = False,
    history: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="File that gets every write of the exercises as a line of JSON."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the directory for a look at it.")] = False,
) -> None:
    """Run a real cluster on this machine: etcd, PostgreSQL, keepers, sentinels and proxies of two sites.

    It stays up until Ctrl-C. With exercises it ends after them, unless it runs on a terminal. Exit
    code 1 when an acknowledged row is missing at the end.
    """
    names = [name.strip() for name in exercise.split(",") if name.strip()]
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise typer.BadParameter(f"--exercise: {unknown[0]!r} is not one of {', '.join(FAULTS)}")
    if "deadman" in names and mode is not Mode.ASYNC:
        raise typer.BadParameter("--exercise deadman: needs --mode async, else no deadman is armed")
    try:
        layout = plan_layout([int(count) for count in keepers.split(",")], etcd, port_base)
    except ValueError as error:
        raise typer.BadParameter(f"--keepers, --etcd, --port-base: {error}") from error
    options = Options(
        layout=layout,
        durability={"survive": survive and survive.value, "mode": mode.value},
        exercises=names,
        postgres=postgres.resolve() if postgres else None,
        keep=keep,
        as_json=as_json,
        history=history.resolve() if history else None,
        stay=not names or (sys.stdin.isatty() and not as_json),
    )
    from pgha.demo.run import run  # noqa: PLC0415 - drivers of database and store that only the demo needs

    raise typer.Exit(asyncio.run(run(options)))
