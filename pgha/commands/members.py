"""``pgha fence``, ``unfence``, ``reinit`` and ``remove``: what is asked for one member."""

from __future__ import annotations

from typing import Annotated

import typer

from common.model.requests import Fence, Reinit, Remove, Unfence
from pgha.options import Target
from pgha.requests.ask import Asking, ask, with_asking

Uid = Annotated[str, typer.Argument(metavar="UID", help="The member, as pgha status names it.")]


@with_asking
def fence(target: Target, asking: Asking, *, uid: Uid) -> None:
    """Stop PostgreSQL of one member and keep its data as they are, to look into them.

    It is not promoted, counts for no commit, and is neither started nor cloned until pgha unfence. From a
    primary a failover begins, without loss; where the others could not make one it is refused.
    """
    ask(target, asking, Fence(uid=uid))


@with_asking
def unfence(target: Target, asking: Asking, *, uid: Uid) -> None:
    """Let a member begin again that pgha fence has stopped, and wait until it streams.

    If its history has diverged meanwhile its data are rewound or cloned.
    """
    ask(target, asking, Unfence(uid=uid))


@with_asking
def reinit(
    target: Target,
    asking: Asking,
    *,
    uid: Uid,
    source: Annotated[
        str | None, typer.Option("--from", metavar="UID", help="A standby to clone from, not the primary.")
    ] = None,
) -> None:
    """Clone a standby anew, and wait until it streams. Its old data are kept until the new ones run."""
    ask(target, asking, Reinit(uid=uid, source=source))


@with_asking
def remove(target: Target, asking: Asking, *, uid: Uid) -> None:
    """Have a member leave the cluster whose keeper is gone for good. Nothing on its host is touched."""
    ask(target, asking, Remove(uid=uid))
