"""``pgha version``: which release this is."""

from __future__ import annotations

import platform
from importlib.metadata import version as installed

import typer


def version() -> None:
    """Print the release of pgha and of the Python that runs it."""
    typer.echo(f"pgha {installed('pgha')} (Python {platform.python_version()})")
