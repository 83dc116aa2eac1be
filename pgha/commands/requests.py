"""``pgha requests``: what was asked for, how it goes on, and taking it back."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from common.model.requests import Request
from pgha.options import Target
from pgha.output import Format, console, dump
from pgha.requests.ask import Asking, at_the_desk, follow_to_the_end, take_back, with_asking

app = typer.Typer(help="Show, follow and cancel what was asked for.", rich_markup_mode=None)

Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the request.")]


@app.command("list")
@with_asking
def list_(target: Target, asking: Asking) -> None:
    """List the requests that are kept: all that are open, and the last that have ended."""
    found = at_the_desk(target, asking, lambda desk: desk.all())
    if asking.output is not Format.TEXT:
        dump([each.model_dump(mode="json", exclude_none=True) for each in found], asking.output)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("ID", "KIND", "ASKED", "BY", "STATE", "RESULT"):
        table.add_column(name, overflow="fold")
    for each in found:
        at = f"{each.at.astimezone():%Y-%m-%d %H:%M:%S}"
        table.add_row(each.id, each.kind, at, each.by, each.state, _last_word(each))
    console().print(table)


@app.command()
@with_asking
def follow(target: Target, asking: Asking, *, request_id: Id) -> None:
    """Show the progress of a request until it ends.

    Exit code: 0 done, 1 failed or cancelled, 4 it goes on after --timeout.
    """
    follow_to_the_end(target, asking, request_id)


@app.command()
@with_asking
def cancel(target: Target, asking: Asking, *, request_id: Id) -> None:
    """Take a request back: one that has not begun ends, one under way where it still can.

    One that cannot be read is removed. Exit code: 0 cancelled, 1 it ended otherwise, 4 it goes on after
    --timeout.
    """
    take_back(target, asking, request_id)


def _last_word(request: Request) -> str:
    if request.result:
        return request.result
    if request.progress:
        return request.progress[-1].text
    return f"begins at {request.not_before:%Y-%m-%d %H:%M:%S %Z}" if request.not_before else "-"
