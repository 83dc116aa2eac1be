"""One way to make servers, write to them and break them, whether PostgreSQL is real or simulated."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from common.model.names import standby_name
from common.model.spec import PostgresSpec
from common.model.wal import ZERO, Lsn, Switch
from keeper.postgres.port import Postgres, Source, SyncSetting
from keeper.postgres.values import Observation
from tests.sim.postgres.backend import Outcome
from tests.support.aio import until
from tests.support.postgres import BY_ITSELF, FIRST_LIFE, SPEC

CLIENT: Final = "client"


class Member(ABC):
    """One server and what a test wants to do with it."""

    def __init__(self, uid: str) -> None:
        self.uid = uid
        self.life = FIRST_LIFE
        self.spec: PostgresSpec = SPEC

    @property
    @abstractmethod
    def postgres(self) -> Postgres:
        """The port under test."""

    @property
    @abstractmethod
    def address(self) -> tuple[str, int]:
        """Where others reach it."""

    @abstractmethod
    async def commit(self, number: int, *, local: bool = False) -> Outcome:
        """Insert a row as an application does; ``local`` waits for no standby."""

    @abstractmethod
    async def waiting_commits(self) -> int:
        """How many commits wait for standbys at this moment."""

    @abstractmethod
    async def rows(self) -> set[int]:
        """The rows that a new session sees."""

    @abstractmethod
    def new_keeper(self) -> Postgres:
        """Another keeper's life on the same directory."""

    @abstractmethod
    async def kill_postmaster(self) -> None:
        """SIGKILL to the postmaster alone."""

    @abstractmethod
    async def never_hang_up(self) -> None:
        """From now on no silence, however long, makes its WAL senders or its WAL receiver end."""

    @abstractmethod
    async def freeze_receiver(self) -> None:
        """SIGSTOP to the WAL receiver."""

    @abstractmethod
    def put_history(self, timeline: int, history: tuple[Switch, ...]) -> None:
        """Have a history file in pg_wal; an empty history makes an empty file."""

    @abstractmethod
    def histories(self) -> set[int]:
        """The timelines of which there is a history file, empty ones too."""

    @abstractmethod
    def remove_data(self) -> None:
        """Somebody removes the data directory."""

    @abstractmethod
    def remove_control_file(self) -> None:
        """Somebody who removes it is interrupted."""

    # The same for all.

    def name(self, term: int) -> str:
        """Slot and application name in a term."""
        return standby_name(self.uid, self.life, term)

    def source_for(self, standby: Member, term: int = 1) -> Source:
        """How a standby reaches this server in a term."""
        host, port = self.address
        return Source(host, port, standby.name(term))

    async def start(self, *, source: Source | None = None, writable: SyncSetting | None = None) -> str:
        start_id = await self.postgres.start(self.spec, source=source, writable=writable)
        await self.postgres.wait_until_accepting(20)
        return start_id

    async def commit_that_waits(self, number: int) -> asyncio.Future[Outcome]:
        """Begin to insert a row, and return once that waits for standbys."""
        outcome = asyncio.ensure_future(self.commit(number))
        await until(self.waiting_commits, bool, "the commit waits for standbys")
        return outcome

    async def lsn(self) -> Lsn:
        """The end of WAL of a primary, of replay of a standby."""
        return (await self.postgres.observe()).lsn

    async def at_the_end_of_its_wal(self) -> Observation:
        """What is seen of a server that follows nobody, once it has run dry and waits to look again."""
        return await until(
            self.postgres.observe,
            lambda seen: seen.startup_waits_for == "RecoveryRetrieveRetryInterval",
            f"{self.uid} has run dry",
        )

    async def streams_to(self, *standbys: Member, term: int = 1) -> None:
        """Wait until this primary streams to these standbys and to nobody else."""
        names = {standby.name(term) for standby in standbys}

        async def streams() -> bool:
            senders = (await self.postgres.observe()).senders
            return {each.name for each in senders if each.state == "streaming"} == names

        await holds(streams, f"{self.uid} streams to {sorted(names)}")

    async def caught_up(self, standby: Member) -> None:
        """Wait until a standby has replayed all that this primary has flushed."""
        end = (await self.postgres.observe()).flush

        async def has_all() -> bool:
            return await standby.lsn() >= end

        await holds(has_all, f"{standby.uid} has caught up")


async def holds(look: Callable[[], Coroutine[Any, Any, bool]], what: str) -> None:
    """Wait until it does; fails the test otherwise."""
    await until(look, bool, what)


class Group(ABC):
    """Makes members that begin as copies of one freshly created cluster."""

    @abstractmethod
    def make(self, uid: str, *, empty: bool = False) -> Member:
        """A member that does not run yet."""

    async def primary(self, uid: str = "one", sync: SyncSetting = BY_ITSELF) -> Member:
        """A running primary that others can clone and follow."""
        member = self.make(uid)
        await member.start(writable=sync)
        await member.postgres.ensure_roles()
        await self.prepare(member)
        return member

    @abstractmethod
    async def prepare(self, primary: Member) -> None:
        """Whatever a primary needs so that rows can be written."""

    async def standby(self, primary: Member, uid: str = "two", *, term: int = 1) -> Member:
        """A standby that streams from a primary."""
        member = self.make(uid)
        await primary.postgres.keep_slots({member.name(term): ZERO}, drop_others=False)
        await member.start(source=primary.source_for(member, term))
        await primary.caught_up(member)
        return member


class Backend(ABC):
    """A kind of PostgreSQL."""

    @abstractmethod
    def opened(self) -> AbstractAsyncContextManager[Group]:
        """Have servers for one test."""

    @abstractmethod
    def run(self, story: Callable[[Group], Coroutine[Any, Any, None]]) -> None:
        """Run a test's story."""


def sync_of(k: int, *standbys: Member, term: int = 1) -> SyncSetting:
    """``ANY k`` of some standbys under their names of a term."""
    return SyncSetting(k, frozenset(standby.name(term) for standby in standbys))
