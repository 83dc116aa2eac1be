"""``pgha switchover``: another member becomes primary, in order, and nothing is lost."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError

from common.model.base import describe
from common.model.requests import Switchover
from common.model.units import parse_duration
from common.runtime.clock import SystemClock
from pgha.exits import fail
from pgha.options import Target
from pgha.requests.ask import Asking, ask, at_the_desk, take_back, with_asking


@with_asking
def switchover(
    target: Target,
    asking: Asking,
    *,
    to: Annotated[str | None, typer.Option(help="Uid of the member that is to be primary.")] = None,
    site: Annotated[str | None, typer.Option(help="Take the best member of this site.")] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="When to begin, like 2026-12-24T03:00 (local time) or with +01:00."
        ),
    ] = None,
    drain: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="How long sessions may go on; left out: drain_timeout of the spec."
        ),
    ] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Take back the one that has been asked for.")
    ] = False,
) -> None:
    """Make another member primary; without --to and --site the best standby, of the primary's site first.

    No acknowledged row is lost. New clients wait meanwhile, sessions end with the drain. If the target is not
    ready in time the primary stays. Exit code: 0 done, with --cancel: cancelled; 1 refused, failed or ended
    otherwise, 4 it goes on.
    """
    if cancel:
        if any(value is not None for value in (to, site, at, drain)):
            raise typer.BadParameter("--cancel: goes with none of --to, --site, --at and --drain")
        cancel_open(target, asking)
    if to is not None and site is not None:
        raise typer.BadParameter(f"--to {to} and --site {site}: only one of them can be given")
    try:
        operation = Switchover(to=to, site=site, drain_s=None if drain is None else parse_duration(drain))
    except ValidationError as error:
        raise typer.BadParameter(describe(error)) from error
    except ValueError as error:
        raise typer.BadParameter(f"--drain {drain}: {error}") from error
    ask(target, asking, operation, not_before=None if at is None else moment(at, SystemClock().wall()))


def moment(text: str, now: datetime) -> datetime:
    """Read a time; without an offset it is this machine's. Raises typer.BadParameter for one that is over."""
    try:
        found = datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"--at {text}: must be a time like 2026-12-24T03:00 or 2026-12-24T03:00+01:00"
        ) from error
    if found <= now:
        raise typer.BadParameter(f"--at {text}: is over, it is {now.astimezone():%Y-%m-%d %H:%M:%S %Z} now")
    return found


def cancel_open(target: Target, asking: Asking) -> NoReturn:
    """Cancel the switchover that is open, and end the command with what came of it."""
    found = at_the_desk(target, asking, lambda desk: desk.all())
    is_open = [each for each in found if each.is_open and isinstance(each.operation, Switchover)]
    if not is_open:
        fail("no switchover has been asked for that has not ended")
    if len(is_open) > 1:
        ids = ", ".join(each.id for each in is_open)
        fail(f"there are {len(is_open)}: take one back with pgha requests cancel ID, of {ids}")
    take_back(target, asking, is_open[0].id)
