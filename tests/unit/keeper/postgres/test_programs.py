"""PostgreSQL's programs: found, refused by name, and never left running."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import InvalidSpec, PostgresUnavailable
from keeper.postgres.programs import NEEDED, Programs, find_programs
from keeper.processes import find_programs as find_processes
from tests.support.aio import eventually, run
from tests.support.postgres import new_root

SLEEPER = "pgha-sleeper"
"""A sleep by a name of its own: others on this machine may sleep too, unseen to an ordinary user."""


def fake(directory: Path, version: str = "15.1", **bodies: str) -> Path:
    """Programs of a made-up PostgreSQL; each is a shell script."""
    for name in NEEDED:
        path = directory / name
        body = bodies.get(name, f'echo "{name} (PostgreSQL) {version}"')
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    directory.chmod(0o755)
    return directory


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    """With the directory and the setting."""
    fake(tmp_path)
    (tmp_path / "pg_rewind").unlink()
    with pytest.raises(InvalidSpec, match=f"bin_dir = {tmp_path}: pg_rewind is missing"):
        find_programs(tmp_path)


@pytest.mark.parametrize("version", ["13.9", "19.0"])
def test_a_version_that_this_release_does_not_know_is_refused(tmp_path: Path, version: str) -> None:
    """With the range that it does."""
    with pytest.raises(InvalidSpec, match="works with 14 to 18"):
        Programs(fake(tmp_path, version), "postgres", tmp_path)


def test_an_unknown_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the keeper is root it needs somebody else to run PostgreSQL."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(InvalidSpec, match="postgres_user = 'no-such-user'"):
        Programs(fake(tmp_path), "no-such-user", tmp_path)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that PostgreSQL's user can enter, which pytest's own is not."""
    root = new_root()
    shutil.copy(shutil.which("sleep") or "sleep", root / SLEEPER)
    yield root
    shutil.rmtree(root)


def test_a_failing_program_says_what_it_said(place: Path) -> None:
    """The end of its output is in the error."""
    programs = Programs(fake(place, initdb="echo because >&2; exit 3"), "postgres", place)
    with pytest.raises(PostgresUnavailable, match="initdb failed with status 3: because"):
        run(programs.run("initdb", timeout_s=60))


def test_a_program_that_takes_too_long_is_killed_with_its_children(place: Path) -> None:
    """Whatever it started."""
    programs = Programs(fake(place, initdb=f"./{SLEEPER} 600 & ./{SLEEPER} 600"), "postgres", place)
    with pytest.raises(PostgresUnavailable, match="did not end within"):
        run(programs.run("initdb", timeout_s=0.3))

    run(eventually(lambda: not find_processes([SLEEPER], place), "they are gone"))


def test_a_cancelled_program_is_killed(place: Path) -> None:
    """And the cancellation goes on."""
    programs = Programs(fake(place, initdb=f"./{SLEEPER} 600"), "postgres", place)

    async def story() -> None:
        task = asyncio.create_task(programs.run("initdb", timeout_s=60))
        await eventually(lambda: bool(find_processes([SLEEPER], place)), "it runs")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: not find_processes([SLEEPER], place), "it is gone")

    run(story())


def test_one_that_is_cancelled_while_it_starts_is_killed_too(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It and its children, though nobody had hold of it yet."""
    programs = Programs(fake(place, initdb=f"./{SLEEPER} 600"), "postgres", place)
    start = asyncio.create_subprocess_exec

    async def story() -> None:
        cancelled = asyncio.Event()

        async def slow_start(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
            process = await start(*arguments, **options)
            await cancelled.wait()
            return process

        monkeypatch.setattr("asyncio.create_subprocess_exec", slow_start)
        task = asyncio.create_task(programs.run("initdb", timeout_s=60))
        await eventually(lambda: bool(find_processes([SLEEPER], place)), "it runs")
        task.cancel()
        asyncio.get_running_loop().call_soon(cancelled.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: not find_processes([SLEEPER], place), "it is gone")

    run(story())


def test_a_program_sees_none_of_our_own_variables(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PGHOST of the operator's shell must not lead a clone elsewhere."""
    monkeypatch.setenv("PGHOST", "elsewhere")
    programs = Programs(fake(place, initdb="env"), "postgres", place)
    said = run(programs.run("initdb", timeout_s=60, variables={"PGPASSFILE": "/x"}))

    assert "PGHOST" not in said
    assert "PGPASSFILE=/x" in said
