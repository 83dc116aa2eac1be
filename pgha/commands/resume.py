"""``pgha resume``: the end of a pause; or go on with a store that is not the one the services knew."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from common.errors import Conflict, UnsafeOperation
from common.model.identity import Acceptance
from common.model.keys import Keys
from common.model.requests import Resume
from common.runtime.clock import Clock, SystemClock
from common.status.documents import Documents
from common.store.port import Compare, Put, Store
from pgha.exits import Exit, fail
from pgha.options import Target
from pgha.output import console
from pgha.requests.ask import Asking, ask, confirm, with_asking
from pgha.resume.gather import Found, acceptance_of, gather
from pgha.status.gather import read_cluster

POLL_S: Final = 0.2
ID_CHARACTERS: Final = 8


@with_asking
def resume(
    target: Target,
    asking: Asking,
    *,
    accept_restored_store: Annotated[
        bool,
        typer.Option(
            "--accept-restored-store", help="Use the store as it is now from now on: you have looked into it."
        ),
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(help="A keeper whose data are lost for good; again for each further one."),
    ] = None,
) -> None:
    """End a pause: the cluster acts by itself again.

    With --accept-restored-store it ends the state "suspended" instead, after etcd was restored from a backup,
    replaced or emptied: it shows what differs and asks. The cluster goes on in the newest view that a keeper
    has obeyed, whatever the restored store says; where that cannot be known for certain, nothing is done.
    """
    if accept_restored_store:
        accept_store(target, asking, frozenset(without or ()))
        return
    if without:
        raise typer.BadParameter("--without: goes with --accept-restored-store alone")
    ask(target, asking, Resume())


def accept_store(target: Target, asking: Asking, lost: frozenset[str]) -> None:
    """Have the services use the store as it is, once an operator has seen what differs."""
    if asking.sentinels:
        raise typer.BadParameter("--sentinel: a restored store is accepted in etcd itself: leave it out")
    clock = SystemClock()
    found = target.run(lambda store: gather(store, target.keys))
    if not found.suspended:
        typer.echo(f"cluster {target.keys.cluster}: no service is suspended, nothing to do")
        return
    show(found, console())
    try:
        acceptance = acceptance_of(found, by=asking.by, at=clock.wall(), without=lost)
    except UnsafeOperation as error:
        fail(f"nothing was done: {error}")
    typer.echo(in_words(acceptance))
    if asking.dry_run:
        return
    if not asking.yes:
        confirm("Use this store from now on?")

    async def act(store: Store) -> str | None:
        await accept(store, target.keys, found, acceptance)
        wait_s = asking.timeout_s if asking.wait else 0.0
        return await wait_followed(store, target.keys, acceptance, clock, wait_s)

    following = target.run(act)
    if following is None and not asking.wait:
        typer.echo("the word was written")
        raise typer.Exit(Exit.HEALTHY)
    if following is None:
        fail(
            f"the word was written, but no sentinel has followed it within {asking.timeout_s:g} s: "
            f"see pgha status --cluster {target.keys.cluster}",
            Exit.GOES_ON,
        )
    typer.echo(f"cluster {target.keys.cluster} goes on: {following}")


def show(found: Found, screen: Console) -> None:
    """What the store is, and what each service remembers."""
    view = found.documents.view
    screen.print(
        f"the store: etcd cluster id {found.cluster_id}, store-id {found.store_id or '(none)'}, "
        + (f"view of generation {view.generation}, term {view.term}" if view else "no view")
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("SERVICE", "GENERATION", "TERM", "ETCD", "STORE-ID", "SAYS"):
        table.add_column(name, overflow="fold")
    for uid, memory in sorted(found.memories.items()):
        table.add_row(
            uid,
            str(memory.generation),
            str(memory.term),
            memory.cluster_id,
            memory.store_id[:ID_CHARACTERS],
            found.silent.get(uid, "") or "; ".join(memory.suspended) or "-",
        )
    screen.print(table)


def in_words(acceptance: Acceptance) -> str:
    """What will be done."""
    view = acceptance.view
    if view is None:
        return "no keeper has obeyed any view: the store is taken as it is"
    named = f"primary {view.primary.uid}" if view.primary else "nobody named primary"
    text = (
        f"the newest view that a keeper has obeyed: generation {view.generation}, term {view.term}, {named}"
    )
    if acceptance.without:
        text += f"; lost for good: {', '.join(acceptance.without)}"
    return text


async def accept(store: Store, keys: Keys, found: Found, acceptance: Acceptance) -> None:
    """Write the acceptance; raises Conflict when the store has changed since it was looked at."""
    outcome = await store.transact(
        [
            Compare(keys.view, "mod_revision", found.documents.view_revision),
            Compare(keys.store_id, "mod_revision", found.store_id_revision),
        ],
        [Put(keys.acceptance, acceptance.to_bytes())],
    )
    if not outcome.succeeded:
        raise Conflict("nothing was done: the view was written meanwhile; look again")


async def wait_followed(
    store: Store, keys: Keys, acceptance: Acceptance, clock: Clock, wait_s: float
) -> str | None:
    """Wait until the cluster goes on, and say in which view; None when that takes too long."""
    limit = clock.monotonic() + wait_s
    while True:
        documents = await read_cluster(store, keys)
        if (text := followed(documents, acceptance)) is not None:
            return text
        if clock.monotonic() >= limit:
            return None
        await clock.sleep(POLL_S)


def followed(documents: Documents, acceptance: Acceptance) -> str | None:
    """What came of it; None while a service is still suspended."""
    view = documents.view
    stores = [
        *(report.store for report in documents.keepers.values()),
        *(report.store for report in documents.sentinels.values()),
        *(report.store for report in documents.proxies.values()),
    ]
    if any(store is not None and store.suspended for store in stores):
        return None
    if view is None:
        return "no view yet" if acceptance.view is None else None
    if view.generation <= acceptance.generation:
        return None
    return f"generation {view.generation} of term {view.term}"
