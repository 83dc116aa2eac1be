"""Bugs of a keeper: in its promises, in what it reports, and in what it does to its PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from common.errors import PostgresUnavailable, UnsafeOperation
from common.model.view import ClusterView, Primary
from common.store.session import Session
from keeper import actions, contact, duties, plan, steps
from keeper.actions import Actions
from keeper.postgres.port import PromotionOrder, SyncSetting
from keeper.postmaster import PAUSE_S, PostmasterWatch
from keeper.service import KeeperService
from keeper.state import KeeperState
from keeper.step_or_wait import retry
from tests.sim.canaries import SETS, Canary, attribute, function
from tests.sim.postgres import standby

# Sealing.

_seal, _serve = Actions.seal, duties.SyncDuties.serve


async def _save_all_but_the_seal(self: Actions, change: Callable[[KeeperState], KeeperState]) -> None:
    """The promise is made, but it never comes to the disk."""
    async with self._saving:
        state = change(self._local.state)
        if state != self._local.state:
            written = state.changed(sealed_term=0)
            await self._disk.write(actions.STATE, written.model_dump(mode="json"))
            self._local.state = state


async def _seal_with_early_position(self: Actions, view: ClusterView) -> None:
    """Report the position of the last look, which was before the seal."""
    seen = self._local.observation
    await _seal(self, view)
    seal = self._local.seal
    if seal is not None and seen is not None and seen.lsn < seal.lsn:
        self._local.seal = seal.changed(lsn=seen.lsn)


async def _while_receiving(*_: object) -> None:
    """A WAL receiver has been told to end, and that is enough."""


# What the plan goes by.


def _view_of_any_life(self: KeeperService) -> ClusterView | None:
    return self._documents.view or self._local.state.view


def _new_life_at_once(
    view: ClusterView, facts: steps.Facts, upstream_uid: str, why: str, *, rewind: bool
) -> steps.Step:
    """Rewind, or clone, before others are known to hold the new history."""
    return retry(facts, (steps.Rewind if rewind else steps.Clone)(upstream_uid, view.term, why))


# The sync set.


def _order_without_names(view: ClusterView, named: Primary) -> PromotionOrder:
    del view
    return PromotionOrder(named.timeline, named.fork, SyncSetting(0))


def _serve_without_the_missing(self: duties.SyncDuties, view: ClusterView) -> None:
    """Let a standby that does not stream go, before the store says so."""
    _serve(self, view)
    seen, wanted = self._local.observation, duties.setting_of(view.sync.target, view.term)
    streaming = {sender.name for sender in seen.senders if sender.state == "streaming"} if seen else set()
    left = wanted.names & streaming
    if left != wanted.names:
        asyncio.get_running_loop().create_task(_relax(self, SyncSetting(wanted.k, frozenset(left))))


async def _relax(of: duties.SyncDuties, setting: SyncSetting) -> None:
    others = set(of._local.observation.senders) if of._local.observation else set()
    names = setting.names or {sender.name for sender in others}
    with contextlib.suppress(PostgresUnavailable, OSError):
        await of._postgres.apply_sync(SyncSetting(1, frozenset(names)), [], 2.0)


# What has ended, and when a lease ends.


async def _watch_the_postmaster_alone(self: PostmasterWatch) -> None:
    """Call PostgreSQL down once its postmaster has ended, whatever it has left behind."""
    while True:
        held = self._postgres.start_id
        if held is not None:
            await self._postgres.wait_until_down()
            if self._local.postgres in {"starting", "running"} and self._local.start_id == held:
                self._local.forget_start("down")
                self._ended()
        await self._clock.sleep(PAUSE_S)


def _count_from_the_answer(self: Session, _: float, granted_s: float) -> None:
    """The lease lives from when the answer came, not from before the question was sent."""
    _confirmed(self, self._clock.monotonic(), granted_s)


_confirmed = Session._confirmed

# Attestations.


async def _attest_by_last_look(self: contact.Contact) -> contact.Proof:
    """Take a standby that was seen to stream, however long ago, for one that has confirmed a record."""
    local, view, life = self._local, self._view(), self._local.state.life
    why_not = contact.why_not_attest(view, local.settings.uid, life.incarnation if life else None, local.role)
    if why_not or view is None or life is None or local.observation is None:
        raise UnsafeOperation(why_not)
    if not local.observation.senders:
        raise PostgresUnavailable("no standby streams")
    return contact.Proof(view.term, life.incarnation, self._clock.monotonic())


def _method(owner: type | ModuleType, name: str, replacement: Any) -> Any:
    return lambda: attribute(owner, name, replacement)


CANARIES: Final = (
    Canary(
        "start_on_an_old_view",
        "a keeper acts on the view that an earlier life has kept, before it has read one",
        frozenset({"I6"}),
        _method(KeeperService, "view", property(_view_of_any_life)),
    ),
    Canary(
        "seal_not_durable",
        "a seal is reported that stands in memory alone",
        SETS,
        _method(Actions, "save", _save_all_but_the_seal),
    ),
    Canary(
        "position_not_final",
        "a seal reports where replay stood before it was made",
        SETS,
        _method(Actions, "seal", _seal_with_early_position),
    ),
    Canary(
        "seal_while_receiving",
        "a seal is reported before the WAL receiver has ended",
        SETS | {"I7", "crash"},
        _method(standby, "receivers_end", _while_receiving),
    ),
    Canary(
        "relax_postgres_before_store",
        "a primary lets a missing standby go by itself, before the store has a set without it",
        SETS,
        _method(duties.SyncDuties, "serve", _serve_without_the_missing),
    ),
    Canary(
        "empty_names_at_promotion",
        "synchronous_standby_names is empty when a standby is promoted",
        SETS,
        _method(Actions, "_order", staticmethod(_order_without_names)),
    ),
    Canary(
        "new_life_without_route",
        "a diverged member is rewound in place before others hold the new history",
        frozenset({"I3"}),
        lambda: function(plan._new_life, _new_life_at_once),
    ),
    Canary(
        "postmaster_gone_is_down",
        "PostgreSQL counts as down when its postmaster has ended, whatever processes are left",
        SETS,
        _method(PostmasterWatch, "run", _watch_the_postmaster_alone),
    ),
    Canary(
        "deadman_counts_from_answer",
        "the deadline of a lease is counted from the answer to a keepalive",
        SETS,
        _method(Session, "_confirmed", _count_from_the_answer),
    ),
    Canary(
        "attest_by_old_heartbeat",
        "a primary attests by a standby that it saw some time ago",
        frozenset({"I5"}),
        _method(contact.Contact, "_attest", _attest_by_last_look),
    ),
)
