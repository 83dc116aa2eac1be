"""``pgha status``: how the cluster is, for people and for monitoring."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.console import Console

from common.errors import StoreUnavailable
from common.runtime.clock import SystemClock
from common.status.model import Health, StatusView
from common.store.port import Store
from pgha.exits import Exit, say
from pgha.options import Target, with_target
from pgha.output import Format, console, dump
from pgha.status.gather import gather
from pgha.status.render import render

CODES: Final[dict[Health, Exit]] = {
    "healthy": Exit.HEALTHY,
    "degraded": Exit.DEGRADED,
    "no_primary": Exit.NO_PRIMARY,
    "suspended": Exit.NO_PRIMARY,
}


@with_target
def status(
    target: Target,
    *,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to write it.")] = Format.TEXT,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until Ctrl-C.")] = False,
    interval_s: Annotated[
        float, typer.Option("--interval", min=0.2, max=3600, help="Seconds between two looks with --watch.")
    ] = 2.0,
) -> None:
    """Show the cluster: primary, keepers, proxies, sentinels, etcd, and the reasons, worst first.

    Exit code: 0 healthy, 1 degraded, 2 no primary, or suspended: nothing fails over; 3 the store cannot be
    reached.
    """
    clock = SystemClock()
    if not watch:
        view = target.run(lambda store: gather(store, target.keys, clock))
        write(view, output, console())
        raise typer.Exit(CODES[view.health])

    async def watch_it(store: Store) -> None:
        screen = console()
        while True:
            try:
                view = await gather(store, target.keys, clock)
            except StoreUnavailable as error:
                say(target.unreachable(error))
            else:
                if screen.is_terminal and output is Format.TEXT:
                    screen.clear()
                write(view, output, screen, stream=True)
            await clock.sleep(interval_s)

    try:
        target.run(watch_it)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.HEALTHY) from None


def write(view: StatusView, output: Format, screen: Console, *, stream: bool = False) -> None:
    """Write one status in the format asked for."""
    if output is Format.TEXT:
        render(view, screen)
    else:
        dump(view.model_dump(mode="json"), output, one_line=stream)
