"""``pgha failover``: let one begin that the sentinels hold back, or force one that may lose commits."""

from __future__ import annotations

from typing import Annotated

import typer

from common.model.requests import Continue, Force
from pgha.options import Target
from pgha.requests.ask import Asking, ask, with_asking


@with_asking
def failover(
    target: Target,
    asking: Asking,
    *,
    go_on: Annotated[
        bool, typer.Option("--continue", help="Let a failover that is held back begin at once.")
    ] = False,
    by_force: Annotated[
        bool, typer.Option("--force", help="Promote somebody although acknowledged commits may be lost.")
    ] = False,
    accept_data_loss: Annotated[
        bool, typer.Option("--accept-data-loss", help="With --force: you have seen what may be lost.")
    ] = False,
    off: Annotated[
        list[str] | None,
        typer.Option(
            metavar="UID",
            help="With --force: a member whose host you have switched off; again for each further one.",
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="UID", help="With --force: whom to promote; left out: the furthest.")
    ] = None,
) -> None:
    """Let a failover begin that waits: there were several in a row, or the cluster is paused.

    It counts for the term of this moment: if the primary is well, nothing happens until it is not.

    With --force --accept-data-loss somebody is promoted where too few live for a failover without loss. With
    --dry-run it shows each candidate, where it ends, by what evidence, and what may be lost. The old primary
    and each member that cannot be asked must be off, or there would be two primaries: --off is your word for
    that. They are kept down, with their data, until pgha unfence.
    """
    if go_on == by_force:
        raise typer.BadParameter("say what to do: --continue, or --force --accept-data-loss")
    if by_force and not (accept_data_loss or asking.dry_run):
        raise typer.BadParameter("--force: needs --accept-data-loss, or --dry-run for a look")
    if go_on and (accept_data_loss or off or to):
        raise typer.BadParameter("--accept-data-loss, --off, --to: go with --force alone")
    ask(target, asking, Force(off=tuple(off or ()), to=to) if by_force else Continue())
