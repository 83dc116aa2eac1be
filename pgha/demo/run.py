"""The demo from its first line to its last: start, exercises, stay, end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Sequence
from typing import Final

from common.errors import PghaError
from common.model.spec import ClusterSpec
from common.runtime.clock import Clock, SystemClock
from keeper.postgres.programs import find_programs
from pgha.demo.cluster import DemoCluster
from pgha.demo.exercises import Exercises
from pgha.demo.history import HistoryFile
from pgha.demo.layout import HOST
from pgha.demo.options import Options
from pgha.demo.output import Output
from pgha.demo.services import CLIENT, CLUSTER
from pgha.demo.workload import Workload
from pgha.exits import Exit, say

TIMINGS: Final = {"calm_after": "1s"}
"""Here failovers follow each other on purpose: none is held back for those before it."""

ASYNC_TIMINGS: Final = {"lease_ttl": "10s"}
"""A primary that only its lease protects stops when that is not renewed: it is given some time for it."""

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run(options: Options) -> Exit:
    """Run the demo; whatever ends it, no process is left."""
    clock = SystemClock()
    output = Output(clock, as_json=options.as_json)
    task = asyncio.ensure_future(_run(options, clock, output))
    with _told_to_end(task):
        try:
            return await task
        except asyncio.CancelledError:
            return Exit.INTERRUPTED
        except PghaError as error:
            say(str(error))
            return Exit.FAILED


async def _run(options: Options, clock: Clock, output: Output) -> Exit:
    timings = TIMINGS | (ASYNC_TIMINGS if options.durability.get("mode") == "async" else {})
    spec = ClusterSpec.from_plain({"durability": dict(options.durability), "timings": timings})
    programs = find_programs(options.postgres)
    history = HistoryFile(options.history) if options.history else None
    cluster = DemoCluster(options.layout, spec, programs, clock, output.step)
    try:
        output.step(f"everything of this demo lives in {cluster.directory}")
        await cluster.start()
        workload = Workload(options.layout.proxies, cluster.credentials, clock)
        await workload.create_table(options.layout.proxies[0].port)
        for line in how_to_connect(cluster):
            output.line(line)
        code = await exercise(options.exercises, Exercises(cluster, workload, clock, history), output)
        if options.stay:
            output.step("the cluster stays up until Ctrl-C")
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return code
    finally:
        output.step("ending")
        await cluster.end(keep=options.keep)


async def exercise(names: Sequence[str], exercises: Exercises, output: Output) -> Exit:
    """Run all exercises; every acknowledged row is looked for after each one."""
    lost = split = 0
    for name in names:
        outcome = await exercises.run(name)
        lost += len(outcome.lost)
        split += outcome.acks_from_old or 0
        output.result(outcome)
    if lost:
        say(f"{lost} acknowledged rows are missing")
    if split:
        say(f"{split} commits were acknowledged by a primary that had been replaced")
    return Exit.FAILED if lost or split else Exit.HEALTHY


def how_to_connect(cluster: DemoCluster) -> list[str]:
    """The lines with which a person gets at the cluster."""
    endpoints = ",".join(cluster.layout.endpoints)
    lines = ["", "  write and read through the proxy of either site:"]
    lines += [
        f"    PGPASSFILE={cluster.secrets.passfile} psql -h {HOST} -p {place.port} -U {CLIENT} {CLIENT}"
        f"   # {place.site}"
        for place in cluster.layout.proxies
    ]
    return [*lines, "  look at it:", f"    pgha status --cluster {CLUSTER} --etcd-endpoints {endpoints}", ""]


@contextlib.contextmanager
def _told_to_end(task: asyncio.Future[Exit]) -> Iterator[None]:
    """Cancel the task, once, when the process is told to end: a second signal cannot stop the clearing up."""
    told = False
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        nonlocal told
        if not told:
            task.cancel()
        told = True

    for number in ENDING:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in ENDING:
            loop.remove_signal_handler(number)
