"""New lives of a simulated data directory: created, copied, rewound; and what an interruption leaves."""

from __future__ import annotations

from collections.abc import Callable

from common.errors import PostgresUnavailable, UnsafeOperation
from common.model.spec import PostgresSpec
from keeper.postgres.port import NOBODY, DataKind, DataState, Source, WorkKind
from keeper.postgres.waiting import Deadline
from tests.sim.postgres.directory import Directory, Settings
from tests.sim.postgres.host import Program, SimHost
from tests.sim.postgres.link import Link
from tests.sim.postgres.programs import SLICES, BaseBackup, InitDb, Rewind
from tests.sim.postgres.values import REPLICATION

_INITDB_LIMIT_S = 120.0
_TIMELINE_POLL_S = 0.1


async def inspect(link: Link) -> DataState:
    """Say what lies on disk."""
    host = link.host
    await host.read_disk()
    kind: DataKind = "foreign" if host.holds_foreign_files else "absent"
    unfinished = host.work or ("rewind" if host.rewinding else None)
    if host.data is None:
        return DataState(kind, unfinished=unfinished, old_directory_kept=host.old is not None)
    if host.data.maimed:
        raise PostgresUnavailable("pg_controldata failed: could not open file global/pg_control")
    control = None if unfinished == "rewind" else host.data.control
    return DataState(
        "ours",
        host.data.marker,
        unfinished,
        16,
        control,
        host.data.greatest_timeline,
        old_directory_kept=host.old is not None,
    )


async def recover(link: Link) -> None:
    """Clear up after interrupted work; a clone that had come to its swap is finished."""
    host = link.host
    _kill_programs(host)
    if host.work == "swap":
        await _finish_swap(host)
    elif host.work is not None:
        host.new = None
        await host.write_to_disk()
        host.work = None


def _kill_programs(host: SimHost) -> None:
    for program in list(host.programs):
        program.end("killed")


async def _begin(host: SimHost, kind: WorkKind) -> None:
    _kill_programs(host)
    host.new = None
    await host.write_to_disk()
    host.work = kind


async def _run(program: Program, deadline: Deadline, on_change: Callable[[], None]) -> None:
    while not program.has_ended:
        await deadline.pause(0, f"{type(program).__name__} runs")
        await program.changes.wait(deadline.left_s)
        on_change()
    if program.problem:
        raise PostgresUnavailable(f"{type(program).__name__.lower()} failed: {program.problem}")


async def initialize(link: Link, incarnation: str, spec: PostgresSpec) -> str:
    """Create the first data directory of a cluster."""
    host = link.host
    if host.data is not None or host.holds_foreign_files:
        raise UnsafeOperation(f"the data directory of {host.name} is not empty")
    await _begin(host, "initdb")
    try:
        deadline = Deadline(link.clock, _INITDB_LIMIT_S, "initdb")
        await _run(InitDb(host), deadline, lambda: None)
        made = _made(host)
        await _become(host, made, incarnation, spec, standby=False)
        await _swap(host)
    except BaseException:
        await recover(link)
        raise
    return made.system_identifier


async def clone(
    link: Link,
    source: Source,
    incarnation: str,
    spec: PostgresSpec,
    *,
    progress: Callable[[int, int], None],
    timeout_s: float,
) -> None:
    """Copy a primary into ``data.new``, then put it in place."""
    host = link.host
    await _begin(host, "clone")
    try:
        program = BaseBackup(host, source)
        size_bytes = 32 << 20
        deadline = Deadline(link.clock, timeout_s, "the clone")
        await _run(
            program, deadline, lambda: progress(size_bytes * program.slices_done // SLICES, size_bytes)
        )
        await _become(host, _made(host), incarnation, spec, standby=True)
        if link.start_id is not None:
            raise PostgresUnavailable("PostgreSQL still runs on the directory that the clone is to replace")
        await _swap(host)
    except BaseException:
        await recover(link)
        raise


async def rewind(
    link: Link, source: Source, incarnation: str, spec: PostgresSpec, *, timeline: int, timeout_s: float
) -> None:
    """Turn the data directory back to the fork, and take the primary's changes."""
    host = link.host
    if link.start_id is not None:
        raise PostgresUnavailable("PostgreSQL runs: it must be stopped before its data are rewound")
    control = host.present.control
    if not control.cleanly_stopped:
        raise PostgresUnavailable(
            f"the data directory is {control.state!r}: it must be recovered and stopped cleanly first"
        )
    await _await_timeline(link, source, timeline, timeout_s)
    await host.write_to_disk()
    host.rewinding = True
    program = Rewind(host, source)
    try:
        await _run(program, Deadline(link.clock, timeout_s, "the rewind"), lambda: None)
    finally:
        program.end("killed")
    await _become(host, host.present, incarnation, spec, standby=True)
    await host.write_to_disk()
    host.rewinding = False


async def _await_timeline(link: Link, source: Source, timeline: int, timeout_s: float) -> None:
    deadline = Deadline(link.clock, timeout_s, "waiting for the primary's checkpoint")
    host = link.host
    while True:
        remote = host.fleet.find(source)
        server = remote.server if remote else None
        path = host.engine.network.path
        if remote is None or server is None or not server.accepting or server.life.paused:
            raise PostgresUnavailable("the primary cannot be asked for its timeline")
        there = path(host.name, remote.name, REPLICATION)
        back = path(remote.name, host.name, REPLICATION)
        if there is None or back is None:
            await link.clock.sleep(min(2.0, deadline.left_s))
            raise PostgresUnavailable("the primary cannot be asked for its timeline: timed out")
        found = server.directory.control.checkpoint_timeline
        if found == timeline:
            return
        await deadline.pause(_TIMELINE_POLL_S, f"its last checkpoint is on timeline {found}, not {timeline}")


async def set_remains_aside(link: Link) -> None:
    """Move what an interrupted removal has left to where a clone would put it."""
    host = link.host
    if host.data is not None and host.data.maimed:
        await host.write_to_disk()
        _drop_old(host)
        host.old, host.data = host.data, None


async def discard_old(link: Link) -> None:
    """Remove what a clone replaced."""
    host = link.host
    if host.old is not None:
        await host.write_to_disk()
        _drop_old(host)


def _drop_old(host: SimHost) -> None:
    if host.old is not None:
        host.fleet.tell("discarded", host, host.old)
        host.old = None


def _made(host: SimHost) -> Directory:
    if host.new is None:
        raise PostgresUnavailable("what the program made is gone")
    return host.new


async def _become(
    host: SimHost, directory: Directory, incarnation: str, spec: PostgresSpec, *, standby: bool
) -> None:
    await host.write_to_disk()
    directory.settings = Settings(None, NOBODY)
    directory.spec = spec
    directory.alter_system.clear()
    await host.write_to_disk()
    directory.standby_signal = standby
    await host.write_to_disk()
    directory.marker = incarnation


async def _swap(host: SimHost) -> None:
    if host.data is not None:
        _drop_old(host)
    await host.write_to_disk()
    host.work = "swap"
    await _finish_swap(host)


async def _finish_swap(host: SimHost) -> None:
    """Two renames; either may have happened already."""
    if host.new is not None:
        if host.data is not None:
            host.old, host.data = host.data, None
            await host.write_to_disk()
        host.data, host.new = host.new, None
    await host.write_to_disk()
    host.rewinding = False
    host.work = None
