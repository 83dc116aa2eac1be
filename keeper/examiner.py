"""Looks at a keeper's host and server for people who ask; changes nothing, and no failover waits for it."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Sequence
from typing import Final

from common.errors import PostgresUnavailable
from common.model.examination import DiskSeen, HostExamination, Judgement, Setting, SlotSeen
from common.model.spec import PostgresSpec
from common.runtime.clock import Clock
from keeper.local import Local
from keeper.postgres.port import Examination, Postgres, Room

DISK_LIMIT_S: Final = 1.0
SERVER_LIMIT_S: Final = 5.0
JUDGE_LIMIT_S: Final = 7.0
"""PostgreSQL's program is given 5 s of it."""

NAMES_LIMIT: Final = 200
"""Parameters that one question may name."""


class Examiner:
    """One question at a time: who asks meanwhile waits."""

    def __init__(self, postgres: Postgres, local: Local, clock: Clock) -> None:
        self._postgres = postgres
        self._local = local
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._judging: asyncio.Task[tuple[str, ...]] | None = None
        self._rooms: asyncio.Task[tuple[Room, ...]] | None = None

    async def examine(self, names: Sequence[str]) -> HostExamination:
        """Look at these parameters and at everything else; what cannot be seen is said in ``problem``."""
        received = self._clock.wall()
        async with self._one_at_a_time:
            problems: list[str] = []
            disks = await self._disks(problems)
            seen = await self._server(names, problems)
        observation = self._local.observation
        return HostExamination(
            uid=self._local.settings.uid,
            received=received,
            wall=self._clock.wall(),
            architecture=platform.machine(),
            problem="; ".join(problems),
            settings={name: Setting(**each._asdict()) for name, each in seen.settings.items()},
            collations=dict(seen.collations),
            mismatched_databases=seen.mismatched_databases,
            tablespaces=seen.tablespaces,
            hba_errors=seen.hba_errors,
            weak_commits=seen.weak_commits,
            slots=tuple(
                SlotSeen(name=slot.name, wal_status=slot.wal_status or "", active=slot.active)
                for slot in (observation.slots if observation is not None else ())
            ),
            disks=disks,
        )

    async def judge(self, spec: PostgresSpec) -> Judgement:
        """Have PostgreSQL judge the parameters of a spec that nobody has written yet.

        One that hangs, on a disk say, is not asked again before it has answered.
        """
        uid = self._local.settings.uid
        if self._judging is not None and not self._judging.done():
            return Judgement(uid=uid, problem="PostgreSQL still judges another spec")
        judging = self._judging = asyncio.ensure_future(self._postgres.judge(spec))
        done, _ = await asyncio.wait({judging}, timeout=JUDGE_LIMIT_S)
        if not done:
            return Judgement(uid=uid, problem=f"PostgreSQL has not answered for {JUDGE_LIMIT_S:g} s")
        try:
            return Judgement(uid=uid, refused=judging.result())
        except (PostgresUnavailable, OSError) as error:
            return Judgement(uid=uid, problem=str(error))

    async def _server(self, names: Sequence[str], problems: list[str]) -> Examination:
        if self._local.postgres != "running":
            problems.append(f"PostgreSQL is {self._local.postgres}")
            return Examination({}, {})
        try:
            async with asyncio.timeout(SERVER_LIMIT_S):
                return await self._postgres.examine(names)
        except (PostgresUnavailable, TimeoutError) as error:
            problems.append(str(error) or f"PostgreSQL did not answer within {SERVER_LIMIT_S:g} s")
            return Examination({}, {})

    async def _disks(self, problems: list[str]) -> tuple[DiskSeen, ...]:
        """What is free; a disk that hangs is asked once, and not again before it has answered."""
        if self._rooms is None or self._rooms.done():
            self._rooms = asyncio.ensure_future(self._postgres.room())
        done, _ = await asyncio.wait({self._rooms}, timeout=DISK_LIMIT_S)
        if not done:
            problems.append(f"a disk has not answered for {DISK_LIMIT_S:g} s")
            return ()
        try:
            rooms = self._rooms.result()
        except OSError as error:
            problems.append(f"disks: {error}")
            return ()
        return tuple(
            DiskSeen(place=room.place, path=room.path, free_bytes=room.free_bytes, size_bytes=room.size_bytes)
            for room in rooms
        )
