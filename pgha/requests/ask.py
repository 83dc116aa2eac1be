"""Asking for an operation from the command line: plan, question, request, live progress, result.

The same for every command that asks the cluster for something; each of them only says what.
"""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Final, NoReturn, TypeVar

import typer

from common.errors import PeerUnavailable, StoreUnavailable
from common.model.requests import AnyOperation, Request, State
from common.runtime.clock import Clock, SystemClock
from common.runtime.ids import new_id
from common.store.port import Store
from common.store.requests import RequestStore
from pgha.exits import Exit, fail, say
from pgha.options import Target, given, target
from pgha.output import Format, dump
from pgha.requests.desk import ApiDesk, Desk, StoreDesk
from sentinel.decide.operations.answers import Plan

POLL_S: Final = 0.2

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asking:
    """How somebody wants to ask; ``timeout_s`` is for how long the end is waited for."""

    by: str
    sentinels: tuple[str, ...]
    yes: bool
    dry_run: bool
    wait: bool
    timeout_s: float
    output: Format


def asking(
    *,
    sentinel: Annotated[
        str,
        typer.Option(
            envvar="PGHA_SENTINEL",
            help="URLs of sentinels' APIs, between commas: ask there instead of writing to etcd.",
        ),
    ] = "",
    by: Annotated[
        str | None, typer.Option("--by", help="Your name, for the history; left out: your user's.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether it shall be done.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, and ask for nothing.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait for the end: print the request's id.")
    ] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0, max=86_400, help="Seconds to wait for the end; exit code 4.")
    ] = 300.0,
    output: Annotated[
        Format, typer.Option("-o", "--output", help="How to write the plan and the request.")
    ] = Format.TEXT,
) -> Asking:
    """Read the options that every asking command has; raises typer.BadParameter for bad values."""
    urls = tuple(url.strip() for url in sentinel.split(",") if url.strip())
    bad = next((url for url in urls if not url.startswith(("http://", "https://"))), None)
    if bad is not None:
        raise typer.BadParameter(f"--sentinel {bad}: must be a URL like http://host:7433")
    name = by if by is not None else getpass.getuser()
    if not name or not name.isprintable():
        raise typer.BadParameter(f"--by {name!r}: must be printable characters, and at least one")
    return Asking(name, urls, yes, dry_run, not no_wait, timeout_s, output)


def with_asking(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command whose first arguments are a Target and an Asking the options of both."""
    return given(command, target=target, asking=asking)


def at_the_desk(goal: Target, how: Asking, act: Callable[[Desk], Awaitable[T]]) -> T:
    """Act at the sentinels' API where there is one, else at the store."""
    if how.sentinels:
        desk = ApiDesk(how.sentinels)

        async def by_api() -> T:
            return await act(desk)

        try:
            return asyncio.run(by_api())
        except PeerUnavailable as error:
            fail(str(error), Exit.NO_STORE)

    async def by_store(store: Store) -> T:
        return await act(StoreDesk(RequestStore(store, goal.keys), SystemClock()))

    return goal.run(by_store)


def ask(
    goal: Target, how: Asking, operation: AnyOperation, *, not_before: datetime | None = None
) -> NoReturn:
    """Ask for an operation and end the command with what came of it.

    One that begins only after the timeout is not waited for.
    """
    plan = at_the_desk(goal, how, lambda desk: desk.preview(operation))
    _show_plan(plan, how)
    if plan.refused:
        raise typer.Exit(Exit.FAILED)
    if plan.already or how.dry_run:
        raise typer.Exit(Exit.HEALTHY)
    if plan.harms and not how.yes:
        confirm("Do it?")
    request_id, clock = new_id(), SystemClock()
    if not_before is not None and (not_before - clock.wall()).total_seconds() >= how.timeout_s:
        how = replace(how, wait=False)

    async def carry(desk: Desk) -> Request:
        request = await desk.ask(request_id, operation, how.by, not_before)
        say(f"request {request.id}")
        return await follow(desk, request, how.timeout_s if how.wait else 0.0, clock)

    _end(at_the_desk(goal, how, carry), how)


def confirm(question: str) -> None:
    """Ask a person; where there is none the command ends and says which option answers."""
    if not sys.stdin.isatty():
        fail(f"{question} Nobody can be asked here: give --yes", Exit.USAGE)
    typer.confirm(question, abort=True, err=True)


async def follow(desk: Desk, request: Request, timeout_s: float, clock: Clock) -> Request:
    """Show each line of progress as it comes, until the end or the timeout; return what is known last.

    While neither store nor sentinel answers it goes on trying, and says so once.
    """
    limit = clock.monotonic() + timeout_s
    shown: set[tuple[datetime, str]] = set()
    silent = False
    while True:
        for line in request.progress:
            if (line.at, line.text) not in shown:
                shown.add((line.at, line.text))
                say(f"{line.at.astimezone():%H:%M:%S} {line.text}")
        if not request.is_open or clock.monotonic() >= limit:
            return request
        await clock.sleep(POLL_S)
        try:
            request = await desk.get(request.id)
            silent = False
        except (StoreUnavailable, PeerUnavailable) as error:
            if not silent:
                say(f"cannot see how it goes on, trying again: {error}")
            silent = True


def _show_plan(plan: Plan, how: Asking) -> None:
    if how.output is not Format.TEXT:
        if how.dry_run or plan.refused or plan.already:
            plain = {"will": list(plan.will), "refused": plan.refused, "already": plan.already}
            dump({**plain, "dry_run": how.dry_run}, how.output)
        return
    if plan.refused:
        say(f"refused: {plan.refused}")
    elif plan.already:
        typer.echo(f"nothing to do: {plan.already}")
    elif how.dry_run or plan.harms:
        typer.echo("this would be done:" if how.dry_run else "this will be done:")
        for line in plan.will:
            typer.echo(f"  - {line}")


def _end(request: Request, how: Asking, wanted: State = "done") -> NoReturn:
    if how.output is not Format.TEXT:
        dump(request.model_dump(mode="json", exclude_none=True), how.output)
    elif request.is_open:
        waits = f" until {request.not_before:%Y-%m-%d %H:%M:%S %Z}" if request.not_before else ""
        typer.echo(
            f"request {request.id} is {request.state}{waits}: pgha requests follow {request.id} shows how it "
            f"goes on, pgha requests cancel {request.id} takes it back"
        )
    else:
        typer.echo(f"{request.state}: {request.result}")
    if request.is_open:
        raise typer.Exit(Exit.GOES_ON if how.wait else Exit.HEALTHY)
    raise typer.Exit(Exit.HEALTHY if request.state == wanted else Exit.FAILED)


def follow_to_the_end(goal: Target, how: Asking, request_id: str, wanted: State = "done") -> NoReturn:
    """Follow a request that was made before, and end the command with what came of it."""

    async def carry(desk: Desk) -> Request:
        timeout_s = how.timeout_s if how.wait else 0.0
        return await follow(desk, await desk.get(request_id), timeout_s, SystemClock())

    _end(at_the_desk(goal, how, carry), how, wanted)


def take_back(goal: Target, how: Asking, request_id: str) -> NoReturn:
    """Cancel a request, and end the command: well when it is cancelled, not when it ended otherwise."""
    if how.dry_run:
        raise typer.BadParameter("--dry-run: what a cancellation leads to cannot be told beforehand")
    at_the_desk(goal, how, lambda desk: desk.cancel(request_id, how.by))
    follow_to_the_end(goal, how, request_id, "cancelled")
