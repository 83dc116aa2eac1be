"""``pgha restart`` and ``pgha reload``: PostgreSQL starts anew, or reads its configuration once more."""

from __future__ import annotations

from typing import Annotated

import typer

from common.model.requests import Reload, Restart
from common.runtime.clock import SystemClock
from pgha.commands.switchover import moment
from pgha.options import Target
from pgha.requests.ask import Asking, ask, with_asking


@with_asking
def restart(
    target: Target,
    asking: Asking,
    *,
    uid: Annotated[
        str | None, typer.Argument(metavar="[UID]", help="The member, as pgha status names it.")
    ] = None,
    everybody: Annotated[
        bool, typer.Option("--all", help="All members: the standbys, one after the other, then the primary.")
    ] = False,
    pending: Annotated[
        bool, typer.Option("--pending", help="Only where parameters wait for a restart.")
    ] = False,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin then, such as 2026-12-24T03:00.")
    ] = None,
) -> None:
    """Restart PostgreSQL, of one member or of all, each back and streaming before the next one goes.

    The primary comes last: another member takes over from it by a switchover.
    """
    if (uid is None) == (not everybody):
        raise typer.BadParameter("say whom: a UID, or --all")
    operation = Restart(uids=(uid,) if uid is not None else (), pending=pending)
    ask(target, asking, operation, not_before=None if at is None else moment(at, SystemClock().wall()))


@with_asking
def reload(target: Target, asking: Asking) -> None:
    """Have every PostgreSQL read its configuration files, access rules and certificates once more."""
    ask(target, asking, Reload())
