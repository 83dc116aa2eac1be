"""New lives for a data directory: created, copied from a primary, or rewound to where it left one."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg

from common.errors import PostgresUnavailable, UnsafeOperation
from common.model.spec import PostgresSpec
from keeper.postgres.access import REPLICATION_ROLE, REWIND_ROLE
from keeper.postgres.data import create_directory
from keeper.postgres.elsewhere import (
    Elsewhere,
    Tablespace,
    missing_tablespaces,
    plan_elsewhere,
    tablespaces_of,
)
from keeper.postgres.instance import Instance
from keeper.postgres.port import NOBODY, Source
from keeper.postgres.replication import connection_string
from keeper.postgres.waiting import Deadline

CLONE_NAME: Final = "pgha_clone"
"""Application name of a clone's connections: never a standby's, whose flushes count."""

RESERVE_BYTES: Final = 64 << 20
"""What must stay free beside a clone: WAL that comes while it runs, and the server's first steps."""

WAL_SEGMENT_MB: Final = 4
"""A promotion copies one segment, 8 kB at a time: 16 MB, PostgreSQL's default, cost 40 ms more.

What it costs stands in docs/decisions.md.
"""

_INITDB_LIMIT_S: Final = 120.0
_ASK_LIMIT_S: Final = 10.0
_TIMELINE_POLL_S: Final = 0.1
_PROGRESS = re.compile(r"(\d+)/(\d+) kB")


async def initialize(instance: Instance, incarnation: str, spec: PostgresSpec) -> str:
    """Create the first data directory of a cluster."""
    directory, layout, settings = instance.directory, instance.layout, instance.settings
    found = await directory.inspect()
    if found.kind not in {"absent", "empty"}:
        raise UnsafeOperation(
            f"{layout.data} is not empty: a new cluster is created only in an empty directory; "
            "move it away, or give this keeper another root"
        )
    elsewhere = await _elsewhere(instance, (), incarnation)
    await directory.begin("initdb", elsewhere.made)
    try:
        await asyncio.to_thread(create_directory, layout.new, instance.programs.owner)
        await instance.programs.run(
            "initdb",
            *("-D", layout.new, "-U", settings.superuser, "--encoding=UTF8", f"--locale={settings.locale}"),
            *("--data-checksums", "--auth-local=peer", "--auth-host=reject", "--no-instructions"),
            f"--wal-segsize={WAL_SEGMENT_MB}",
            *((f"--waldir={elsewhere.wal}",) if elsewhere.wal else ()),
            timeout_s=_INITDB_LIMIT_S,
        )
        await _become(instance, layout.new, incarnation, spec, standby=False)
        if found.kind == "empty":
            await asyncio.to_thread(layout.data.rmdir)
        await directory.swap()
    except BaseException:
        await directory.recover()
        raise
    return (await directory.control()).system_identifier


async def clone(
    instance: Instance,
    source: Source,
    incarnation: str,
    spec: PostgresSpec,
    *,
    progress: Callable[[int, int], None],
    timeout_s: float,
) -> None:
    """Copy a primary into ``data.new``, then put it in place.

    Refused before anything is touched where its tablespaces or its WAL would find no place here.
    """
    directory, layout = instance.directory, instance.layout
    elsewhere = await _elsewhere(instance, await _tablespaces(instance, source), incarnation)
    await directory.begin("clone", elsewhere.made)
    try:
        await asyncio.to_thread(create_directory, layout.new, instance.programs.owner)
        target = connection_string(source, REPLICATION_ROLE, layout.passwords, application_name=CLONE_NAME)
        await instance.programs.run(
            "pg_basebackup",
            *("-D", layout.new, "-d", target, "-S", source.name, "-X", "stream", "-c", "fast"),
            *("--progress", "--no-password", "--status-interval=1", *elsewhere.for_basebackup),
            timeout_s=timeout_s,
            on_line=lambda line: _watch(line, layout.new, progress),
        )
        await _become(instance, layout.new, incarnation, spec, standby=True)
        if instance.start_id is not None:
            raise PostgresUnavailable("PostgreSQL still runs on the directory that the clone is to replace")
        await directory.swap()
    except BaseException:
        await directory.recover()
        raise


async def rewind(
    instance: Instance,
    source: Source,
    incarnation: str,
    spec: PostgresSpec,
    *,
    timeline: int,
    timeout_s: float,
) -> None:
    """Turn the data directory back to the fork, and take the primary's changes."""
    directory, layout = instance.directory, instance.layout
    if instance.start_id is not None:
        raise PostgresUnavailable("PostgreSQL runs: it must be stopped before its data are rewound")
    control = await directory.control()
    if not control.cleanly_stopped:
        raise PostgresUnavailable(
            f"the data directory is {control.state!r}: it must be recovered and stopped cleanly first"
        )
    target = connection_string(
        source, REWIND_ROLE, layout.passwords, application_name=CLONE_NAME, dbname="postgres"
    )
    await _await_timeline(instance, target, timeline, timeout_s)
    known = await tablespaces_of(target, _ASK_LIMIT_S)
    missing = await asyncio.to_thread(missing_tablespaces, known, layout.data)
    if missing:
        # pg_rewind would link it to the source's own path, and leave the directory half done without one.
        names = ", ".join(repr(each.name) for each in missing)
        raise PostgresUnavailable(f"tablespace {names} is not here yet: only a clone can bring it")
    await directory.begin("rewind")
    await instance.programs.run(
        "pg_rewind",
        *("--target-pgdata", layout.data, "--source-server", target, "--no-ensure-shutdown"),
        timeout_s=timeout_s,
    )
    await _become(instance, layout.data, incarnation, spec, standby=True)
    await directory.end("rewind")


async def _tablespaces(instance: Instance, source: Source) -> tuple[Tablespace, ...]:
    target = connection_string(
        source, REWIND_ROLE, instance.layout.passwords, application_name=CLONE_NAME, dbname="postgres"
    )
    return await tablespaces_of(target, _ASK_LIMIT_S)


async def _elsewhere(instance: Instance, tablespaces: tuple[Tablespace, ...], incarnation: str) -> Elsewhere:
    return await asyncio.to_thread(
        plan_elsewhere,
        tablespaces,
        incarnation,
        data=instance.layout.data,
        wal_dir=instance.settings.wal_dir,
        owner=instance.programs.owner,
    )


async def _become(
    instance: Instance, path: Path, incarnation: str, spec: PostgresSpec, *, standby: bool
) -> None:
    """Give a new directory its configuration and its name: it follows nobody and counts nobody."""
    files = instance.files
    await files.write_raised(path, spec, None)
    await files.write_upstream(path, None)
    await files.write_sync(path, NOBODY)
    await files.write_parameters(path, spec)
    await files.write_accepted_access(path)
    if standby:
        await instance.directory.signal_standby(path)
    await instance.directory.mark(incarnation, path)


def _watch(line: str, path: Path, progress: Callable[[int, int], None]) -> None:
    """Take a line of pg_basebackup's progress; refuse early what cannot fit."""
    match = _PROGRESS.search(line)
    if match is None:
        return
    done_bytes, all_bytes = int(match[1]) << 10, int(match[2]) << 10
    disk = os.statvfs(path)
    free_bytes = disk.f_bavail * disk.f_frsize
    needed_bytes = all_bytes - done_bytes + RESERVE_BYTES
    if free_bytes < needed_bytes:
        raise PostgresUnavailable(
            f"the disk of {path} is too full for a clone: {needed_bytes >> 20} MB are needed, "
            f"{free_bytes >> 20} MB are free; make room, the clone is then tried again"
        )
    progress(done_bytes, all_bytes)


async def _await_timeline(instance: Instance, target: str, timeline: int, timeout_s: float) -> None:
    """Wait until the source's control data name its timeline.

    Before its first checkpoint on it pg_rewind takes the old one for its timeline, and may say that no
    rewind is required.
    """
    deadline = Deadline(instance.clock, timeout_s, "waiting for the primary's checkpoint")
    while True:
        try:
            async with asyncio.timeout(deadline.left_s):
                async with await psycopg.AsyncConnection.connect(target, autocommit=True) as connection:
                    cursor = await connection.execute("SELECT timeline_id FROM pg_control_checkpoint()")
                    row = await cursor.fetchone()
        except (psycopg.Error, TimeoutError) as error:
            raise PostgresUnavailable(f"the primary cannot be asked for its timeline: {error}") from error
        if row is not None and row[0] == timeline:
            return
        await deadline.pause(
            _TIMELINE_POLL_S, f"its last checkpoint is on timeline {row and row[0]}, not {timeline}"
        )
