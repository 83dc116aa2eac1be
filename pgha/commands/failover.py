"""``pgha failover``: let a failover begin that the sentinels hold back."""

from __future__ import annotations

from typing import Annotated

import typer

from common.model.requests import ContinueRequest
from common.model.view import ClusterView
from common.runtime.clock import SystemClock
from common.store.port import Put, Store
from pgha.exits import fail
from pgha.options import Target, with_target


@with_target
def failover(
    target: Target,
    *,
    go_on: Annotated[
        bool, typer.Option("--continue", help="Let a failover that is held back begin at once.")
    ] = False,
) -> None:
    """Let a failover begin that waits because there were several in a row.

    It counts for the term of this moment: if the primary is well, nothing happens until it is not.
    """
    if not go_on:
        raise typer.BadParameter("say what to do: --continue")
    term = target.run(lambda store: ask_to_continue(store, target))
    typer.echo(f"cluster {target.keys.cluster}: a failover from the primary of term {term} may begin at once")


async def ask_to_continue(store: Store, target: Target) -> int:
    """Ask for it in the term of this moment, and return that."""
    found = await store.read(target.keys.view)
    raw = next((item.value for item in found.items if item.key == target.keys.view), None)
    if raw is None:
        fail(f"cluster {target.keys.cluster} has no view: there is nothing to fail over")
    view = ClusterView.from_bytes(raw)
    request = ContinueRequest(term=view.term, at=SystemClock().wall())
    await store.transact([], [Put(target.keys.continue_request, request.to_bytes())])
    return view.term
