"""``pgha failover``: let a failover begin that the sentinels hold back."""

from __future__ import annotations

from typing import Annotated

import typer

from common.model.requests import Continue
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
) -> None:
    """Let a failover begin that waits: there were several in a row, or the cluster is paused.

    It counts for the term of this moment: if the primary is well, nothing happens until it is not.
    """
    if not go_on:
        raise typer.BadParameter("say what to do: --continue")
    ask(target, asking, Continue())
