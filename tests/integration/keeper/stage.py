"""A deadman's place for tests: with a PostgreSQL or without, and stand-ins for its keeper."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from common.errors import DeadmanUnavailable
from common.runtime.clock import SystemClock
from keeper.deadman.client import Deadman
from keeper.deadman.wire import log_path
from keeper.processes import find
from tests.support.aio import LIMIT_S, eventually
from tests.support.postgres import Server, new_root, servers

ROOT = Path(__file__).parents[3]
MARGIN_S = 30.0
"""How late an end may be on a busy machine and still be due to the deadline."""

KEEPER = """
import asyncio, sys
from pathlib import Path
from common.runtime.clock import SystemClock
from common.runtime.logging import configure_logging
from keeper.deadman.client import Deadman

async def main(root, lease_s, rearm):
    configure_logging("keeper", "stand-in", "warning")
    clock = SystemClock()
    deadman = Deadman(root, root / "data", clock)
    await deadman.ensure()
    while True:
        answer = await deadman.arm(clock.monotonic() + lease_s, limit_s=lease_s, timeout_s=lease_s)
        print(answer.state, flush=True)
        await asyncio.sleep(lease_s / 10 if rearm else 3600)

asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "rearm"))
"""


class StandIn:
    """A keeper that arms, in a session of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, root: Path, lease_s: float, *, rearm: bool) -> StandIn:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", KEEPER, str(root), str(lease_s), "rearm" if rearm else "once"),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd="/",
            start_new_session=True,
        )
        return cls(process)

    async def has_armed(self) -> None:
        """Wait until it says so."""
        assert self.process.stdout is not None
        assert await asyncio.wait_for(self.process.stdout.readline(), LIMIT_S)

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    async def end(self) -> None:
        self.signal(signal.SIGKILL)
        self.process._transport.close()  # type: ignore[attr-defined]
        await self.process.wait()


class Stage:
    """One root, its deadman, and who talks to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = SystemClock()
        self.deadman = Deadman(root, root / "data", self.clock)
        self.stand_ins: list[StandIn] = []

    async def keeper(self, lease_s: float, *, rearm: bool = True) -> StandIn:
        stand_in = await StandIn.start(self.root, lease_s, rearm=rearm)
        self.stand_ins.append(stand_in)
        await stand_in.has_armed()
        return stand_in

    async def arm(self, lease_s: float) -> None:
        await self.deadman.ensure()
        await self.deadman.arm(self.clock.monotonic() + lease_s, limit_s=lease_s, timeout_s=LIMIT_S)

    async def disarmed(self) -> bool:
        """Disarm, unless that is refused now."""
        with contextlib.suppress(DeadmanUnavailable):
            await self.deadman.disarm()
            return True
        return False

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in log_path(self.root).read_text().splitlines()]

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log() if line["event"] == event]

    @property
    def pid(self) -> int:
        return int((self.root / "deadman.lock").read_text())

    async def clean_up(self) -> None:
        await self.deadman.close()
        for stand_in in self.stand_ins:
            await stand_in.end()
        for pid in deadmen(self.root):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not deadmen(self.root), "no deadman is left")


def deadmen(root: Path) -> list[int]:
    """The deadmen of a root, by their command lines; one that has ended and was not reaped is none."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if str(root).encode() in words and any(b"keeper.deadman.main" in word for word in words):
                    found.append(int(entry.name))
    return found


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[tuple[Stage, Server]]:
    """A primary and the deadman's place beside it; nothing of either is left."""
    async with servers() as group:
        primary = await group.primary()
        place = Stage(primary.root)
        try:
            yield place, primary
        finally:
            await place.clean_up()


@contextlib.asynccontextmanager
async def empty_stage() -> AsyncIterator[Stage]:
    """A place without PostgreSQL."""
    root = new_root()
    (root / "data").mkdir()
    place = Stage(root)
    try:
        yield place
    finally:
        await place.clean_up()
        subprocess.run(["rm", "-r", root], check=True, timeout=60)  # noqa: ASYNC221 - returns at once


async def is_dead(server: Server, *, within_s: float) -> None:
    await eventually(lambda: not find(server.data), "PostgreSQL is dead", within_s=within_s)
