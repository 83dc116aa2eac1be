"""``pgha explain``: why this primary, why no other, and what would happen now if something died."""

from __future__ import annotations

from typing import Annotated

import typer

from common.runtime.clock import SystemClock
from pgha.explain.gather import gather
from pgha.explain.render import render, render_steps
from pgha.options import Target, with_target
from pgha.output import Format, console, dump


@with_target
def explain(
    target: Target,
    *,
    name: Annotated[
        str | None, typer.Argument(help="A member or a site: what follows its death, step by step.")
    ] = None,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to write it.")] = Format.TEXT,
) -> None:
    """Say why the primary is primary, who would be next and why, and what the death of each would lead to.

    The answers come from the very code that decides, run to its end with the fault put in; nothing is
    touched. Whoever streams now is taken to be level with the primary; times count from when the loss is
    seen. The exit code is 0 whatever the answer is.
    """
    said = target.run(lambda store: gather(store, target.keys, SystemClock()))
    if name is None:
        if output is Format.TEXT:
            render(said, console())
        else:
            dump(said.model_dump(mode="json"), output)
        return
    found = next((each for each in said.consequences if each.name == name), None)
    if found is None:
        known = ", ".join(each.name for each in said.consequences) or "none: there is nothing to explain yet"
        raise typer.BadParameter(f"NAME = {name!r}: no member or site of this cluster; there are {known}")
    if output is Format.TEXT:
        render_steps(found, console())
    else:
        dump(found.model_dump(mode="json"), output)
