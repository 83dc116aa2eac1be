"""Which release of pgha this is."""

from __future__ import annotations

from importlib.metadata import version


def release() -> str:
    """The version of the installed distribution, such as ``0.1.0``."""
    return version("pgha")
