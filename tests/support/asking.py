"""Asking a running cluster for something, as an operator does."""

from __future__ import annotations

from tests.support.cluster import Cluster


async def asked(running: Cluster, *arguments: str) -> str:
    """Ask for something, and have it done."""
    code, said = await running.pgha(*arguments, "--yes", "--by", "anna")
    assert code == 0, said
    return said


async def refused(running: Cluster, *arguments: str) -> str:
    """Ask for something that is not done, and say why."""
    code, said = await running.pgha(*arguments, "--yes")
    assert code == 1, said
    return said
