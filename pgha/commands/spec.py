"""``pgha spec``: what the operator wants of the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.model.spec import ClusterSpec
from pgha.exits import fail
from pgha.options import Target, input_file, with_target
from pgha.output import Format, dump
from pgha.specfile import read_spec

app = typer.Typer(help="Show and check specs.", rich_markup_mode=None)


@app.command()
@with_target
def show(
    target: Target,
    *,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to write it.")] = Format.YAML,
) -> None:
    """Print the spec in the store, defaults included."""
    snapshot = target.run(lambda store: store.read(target.keys.spec))
    raw = next((item.value for item in snapshot.items if item.key == target.keys.spec), None)
    if raw is None:
        fail(f"cluster {target.keys.cluster} has no spec (pgha init writes one)")
    dump(ClusterSpec.from_bytes(raw).to_plain(), Format.JSON if output is Format.JSON else Format.YAML)


@app.command()
def validate(
    file: Annotated[
        Path,
        typer.Argument(callback=input_file, help="A spec as YAML or JSON; '-': standard input."),
    ],
) -> None:
    """Check a spec file and say every field that breaks a rule; nothing is written."""
    read_spec(file)
    typer.echo(f"{file}: a valid spec")
