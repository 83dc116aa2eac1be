"""``pgha init``: write the spec of a new cluster, once."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from common.errors import Conflict
from common.model.keys import Keys
from common.model.spec import ClusterSpec
from common.runtime.clock import SystemClock
from common.store.port import Store
from pgha.exits import fail
from pgha.options import Target, input_file, with_target
from pgha.output import Format, dump
from pgha.spec.check import check
from pgha.spec.store import Signature, read_stored, write_spec
from pgha.specfile import read_spec


@with_target
def init(
    target: Target,
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "-f",
            "--file",
            callback=input_file,
            help="The spec as YAML or JSON; '-' reads standard input. Left out: defaults.",
        ),
    ] = None,
) -> None:
    """Write the spec of a new cluster into the store. An existing one is never overwritten."""
    spec = read_spec(file) if file else ClusterSpec()
    check(spec)
    if not target.run(lambda store: write_once(store, target.keys, spec)):
        fail(
            f"cluster {target.keys.cluster} has a spec already and it was left as it is "
            f"(pgha spec show --cluster {target.keys.cluster} prints it)"
        )
    typer.echo(f"wrote the spec of cluster {target.keys.cluster} to {target.keys.spec}:\n")
    dump(spec.to_plain(), Format.YAML)
    typer.echo(
        "\nnext: start pgha-sentinel on two sites and a witness, pgha-keeper beside each PostgreSQL, and\n"
        f"pgha-proxy where the clients are; then: pgha status --cluster {target.keys.cluster}"
    )


async def write_once(store: Store, keys: Keys, spec: ClusterSpec) -> bool:
    """Create the spec; False when there is one. A lost answer is settled by reading back."""
    found = await read_stored(store, keys)
    if found.revision:
        return False
    try:
        await write_spec(store, keys, found, spec, Signature(getpass.getuser(), SystemClock().wall(), "init"))
    except Conflict:
        return False
    return True
