"""What operators do with ``pgha``: the real code of its commands, as a process of its own each time.

During the faults they act when the scenario says so. Once all is healed somebody is on call, who reads
``pgha status`` and does what it asks for: a store that was restored, failovers that were stopped because they
came one after the other, a pause, and a member that is kept down end by nobody else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from common.errors import PeerUnavailable, PghaError, UnsafeOperation
from common.model.identity import Acceptance
from common.model.reasons import SUSPENDED, ReasonsDocument
from common.model.reports import KeeperReport
from common.model.requests import AnyOperation, Continue, Resume, Unfence
from common.model.spec import ClusterSpec
from common.store.port import Put
from common.store.requests import RequestStore
from keeper.api import what_is_kept
from pgha.commands.resume import accept, wait_followed
from pgha.requests.ask import POLL_S
from pgha.requests.desk import StoreDesk
from pgha.resume.gather import ANSWER_LIMIT_S, Found, acceptance_of, answer_of, gather
from pgha.resume.truth import Answer
from pgha.status.gather import read_cluster
from tests.sim.network import API
from tests.sim.process import Process
from tests.sim.services import KEYS, client_of

if TYPE_CHECKING:
    from tests.sim.store import SimStore
    from tests.sim.world import World

LOOKS_EVERY_S: Final = 1.0
WAITS_S: Final = 10.0
"""How long somebody waits until the cluster follows, before looking again."""

LOSES_AFTER: Final = 20
"""Looks after which somebody would rather lose commits than wait for an old primary that stays away."""
LOSES_BYTES: Final = 1 << 30

Command = Callable[["SimStore", Process], Awaitable[str]]


def _all_may_be_promoted(spec: ClusterSpec) -> ClusterSpec:
    members = tuple(member.model_copy(update={"no_failover": False}) for member in spec.members)
    return spec.model_copy(update={"members": members})


def _may_lose_more(spec: ClusterSpec) -> ClusterSpec:
    durability = spec.durability.model_copy(update={"max_lag_on_failover": LOSES_BYTES})
    return spec.model_copy(update={"durability": durability})


class Operators:
    """People with a shell on the clients' hosts; one command at a time of those on call."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chance: Random = world.stream("operators")
        self._called: Process | None = None
        self._looked = 0
        self._read: tuple[bytes, frozenset[str]] = (b"", frozenset())

    # What they do.

    def resume(self) -> Process:
        """``pgha resume --accept-restored-store``, after some thought about what it shows."""
        return self._run("resume", partial(self._resume, thinks_s=3 * self._chance.random() ** 2))

    def ask(self, operation: AnyOperation) -> Process:
        """``pgha pause``, ``pgha resume``, ``pgha failover --continue``: ask for it and wait for its end."""
        return self._run(operation.kind, partial(self._ask, operation=operation))

    def set_spec(self, change: Callable[[ClusterSpec], ClusterSpec]) -> Process:
        """``pgha spec``: change what is wanted, from what it is now."""
        return self._run("spec", partial(self._set_spec, change=change))

    async def _resume(self, store: SimStore, process: Process, *, thinks_s: float) -> str:
        world, clock = self._world, self._world.clock(process.host)
        found = await gather(store, KEYS, ask_one=partial(self._kept_by, process.host))
        if not found.suspended:
            return "no service is suspended"
        acceptance = self._acceptance(found, clock.wall())
        await clock.sleep(thinks_s)
        await accept(store, KEYS, found, acceptance)
        world.causes += 1  # what follows may seal in a new term
        world.say(f"accepted: generation {acceptance.generation}, term {acceptance.term}")
        return str(await wait_followed(store, KEYS, acceptance, clock, WAITS_S))

    def _acceptance(self, found: Found, at: datetime) -> Acceptance:
        """The word for what was found, without the members asked for that are no more what they were."""
        without: frozenset[str] = frozenset()
        while True:
            try:
                return acceptance_of(found, by="an operator", at=at, without=without)
            except UnsafeOperation as refusal:
                fleet = self._world.fleet.hosts
                asked = {uid for uid in fleet if f"--without {uid}" in str(refusal)}
                lost = {uid for uid in asked - without if fleet[uid].data is None or uid in found.answers}
                if not lost:
                    raise
                self._world.say(f"without {', '.join(sorted(lost))}: {refusal}")
                without |= lost

    async def _kept_by(self, host: str, report: KeeperReport) -> Answer:
        """``GET /kept`` over the simulated network."""
        unit = self._world.keepers[urlsplit(report.api_url).hostname or ""]

        async def said() -> dict[str, Any]:
            if unit.keeper is None:
                raise ConnectionRefusedError("the keeper has just started")
            return what_is_kept(unit.keeper.service)

        try:
            kept: dict[str, Any] = await self._world.network.call(
                host, unit.process, API, said, timeout_s=ANSWER_LIMIT_S
            )
        except (OSError, TimeoutError) as error:
            raise PeerUnavailable(str(error)) from error
        return answer_of(report, kept)

    async def _ask(self, store: SimStore, process: Process, *, operation: AnyOperation) -> str:
        clock = self._world.clock(process.host)
        desk = StoreDesk(RequestStore(store, KEYS), clock)
        plan = await desk.preview(operation)
        if plan.refused or plan.already:
            return str(plan.refused or plan.already)
        request = await desk.ask(self._world.new_id(), operation, "an operator", None)
        limit = clock.monotonic() + WAITS_S
        while request.is_open and clock.monotonic() < limit:
            await clock.sleep(POLL_S)
            request = await desk.get(request.id)
        return f"{request.state} {request.result}"

    async def _set_spec(
        self, store: SimStore, _: Process, *, change: Callable[[ClusterSpec], ClusterSpec]
    ) -> str:
        spec = (await read_cluster(store, KEYS)).spec
        if spec is None:
            return "there is no spec"
        wanted = change(spec)
        self._world.note_spec(wanted)
        await store.transact([], [Put(KEYS.spec, wanted.to_bytes())])
        return wanted.to_bytes().decode()

    def _run(self, name: str, command: Command) -> Process:
        """Run a command to its end, or until it is given up; what it could not do is said."""
        world = self._world
        process = world.network.start(self._chance.choice(world.client_hosts), "pgha")

        async def live() -> None:
            try:
                world.say(f"pgha {name}: {await command(client_of(world, process), process)}")
            except PghaError as error:
                world.say(f"pgha {name} failed: {error}")
            except Exception as error:  # noqa: BLE001 - a bug of the command
                world.violated("crash", f"pgha {name} ended by {type(error).__name__}: {error}")
            world.loop.world_after(0.0, process.kill)

        main: Coroutine[Any, Any, None] = live()
        process.spawn(main, name=f"pgha {name}")
        return process

    # Who is on call once all is healed.

    def go_on_call(self) -> None:
        """See to it from now on that nothing waits for an operator."""
        self._look()

    def _look(self) -> None:
        self._looked += 1
        self._world.loop.world_after(LOOKS_EVERY_S, self._look)
        if self._called is not None and not self._called.is_dead:
            return
        if self._world.restores.suspended():
            self._called = self.resume()
        elif "failovers_stopped" in self._codes():
            self._called = self.ask(Continue())
        elif "nobody_eligible" in self._codes():
            self._called = self.set_spec(_all_may_be_promoted)
        elif "too_far_behind" in self._codes() and self._looked > LOSES_AFTER:
            self._called = self.set_spec(_may_lose_more)
        elif self._world.view is not None and self._world.view.paused is not None:
            self._called = self.ask(Resume())
        elif self._world.view is not None and self._world.view.out:
            self._called = self.ask(Unfence(uid=min(self._world.view.out)))

    @property
    def is_called(self) -> bool:
        """Whether the cluster waits for an operator, by what ``pgha status`` shows."""
        view = self._world.view
        is_paused = view is not None and (view.paused is not None or bool(view.out))
        said = self._codes() & {SUSPENDED, "failovers_stopped"}
        return bool(is_paused or said or self._world.restores.suspended())

    def _codes(self) -> frozenset[str]:
        item = self._world.etcd.data._items.get(KEYS.reasons)
        if item is not None and item.value != self._read[0]:
            reasons = ReasonsDocument.from_bytes(item.value).reasons
            self._read = item.value, frozenset(reason.code for reason in reasons)
        return self._read[1] if item is not None else frozenset()
