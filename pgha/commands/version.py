"""``pgha version``: which release this is."""

from __future__ import annotations

import platform

import typer

from common.runtime.release import release


def version() -> None:
    """Print the release of pgha and of the Python that runs it."""
    typer.echo(f"pgha {release()} (Python {platform.python_version()})")
