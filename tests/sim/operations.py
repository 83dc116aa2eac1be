"""What operators do, well or badly, while the cluster runs: each returns what ends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from common.model.requests import (
    Continue,
    Fence,
    Pause,
    Reinit,
    Reload,
    Request,
    Restart,
    Resume,
    Switchover,
    Unfence,
)
from common.model.spec import ClusterSpec, FenceSpec
from common.model.view import Word
from common.store.port import Put
from tests.sim.fences import AGENT
from tests.sim.host_faults import keeper_host
from tests.sim.services import KEYS

if TYPE_CHECKING:
    from tests.sim.world import World

Undo = Callable[[], None]

THINKS_S: Final = 12.0
"""How long at most until somebody sees that the cluster is suspended, while faults go on."""


def restore_store(world: World, _: str, chance: Random) -> Undo | None:
    """Etcd is put back to a backup, at once or after an outage; somebody says later that it may be used."""

    def restore() -> None:
        world.restores.restore(chance)
        world.loop.world_after(THINKS_S * chance.random() ** 2, world.operators.resume)

    if chance.random() < 0.5:
        restore()
        return None
    world.etcd.stop()
    return restore


def resume(world: World, _: str, __: Random) -> None:
    """Somebody wants to go on with a restored store, be there one or not."""
    world.operators.resume()


def continue_failover(world: World, _: str, __: Random) -> None:
    """Somebody lets a failover begin that may be held back."""
    world.operators.ask(Continue())


def change_members(world: World, _: str, chance: Random) -> None:
    """Somebody sets priorities, and whom not to promote."""
    members = {uid: {"priority": chance.randrange(5), "no_failover": False} for uid in world.keeper_hosts}
    if chance.random() < 0.4:
        members[chance.choice(world.keeper_hosts)]["no_failover"] = True
    world.operators.set_spec(partial(_with_members, members))


def change_limits(world: World, _: str, chance: Random) -> None:
    """Somebody sets what a failover may lose, and how long a primary may hang."""
    lag = chance.choice((0, 1 << 10, 8 << 10, 1 << 20))
    timings = {
        "hang_timeout_s": chance.choice((1.0, 2.0, 5.0)),
        "calm_after_s": chance.choice((3.0, 10.0, 600.0)),
    }

    def change(spec: ClusterSpec) -> ClusterSpec:
        durability = spec.durability.model_copy(update={"max_lag_on_failover": lag})
        return spec.model_copy(
            update={"durability": durability, "timings": spec.timings.model_copy(update=timings)}
        )

    world.operators.set_spec(change)


def configure_fences(world: World, _: str, chance: Random) -> None:
    """Somebody gives some members a fence agent, or takes it away."""
    agent = FenceSpec(agent=AGENT)
    members = {uid: {"fence": agent if chance.random() < 0.7 else None} for uid in world.keeper_hosts}
    world.operators.set_spec(partial(_with_members, members))


def _with_members(wanted: Mapping[str, Mapping[str, object]], spec: ClusterSpec) -> ClusterSpec:
    members = tuple(spec.member(uid).model_copy(update=dict(fields)) for uid, fields in wanted.items())
    return spec.model_copy(update={"members": members})


def pause_cluster(world: World, _: str, __: Random) -> Undo:
    """Somebody wants nothing to be done by itself for a while."""
    world.operators.ask(Pause())

    def undo() -> None:
        world.operators.ask(Resume())

    return undo


def fence_member(world: World, whom: str, chance: Random) -> Undo:
    """Somebody keeps one member's PostgreSQL down for a while: a standby, or the primary."""
    uid = keeper_host(world, whom, chance)
    world.operators.ask(Fence(uid=uid))

    def undo() -> None:
        world.operators.ask(Unfence(uid=uid))

    return undo


def reinit_member(world: World, whom: str, chance: Random) -> None:
    """Somebody has a standby cloned anew, from the primary or from another standby."""
    uid = keeper_host(world, whom, chance)
    others = sorted(set(world.keepers) - {uid})
    source = chance.choice(others) if others and chance.random() < 0.5 else None
    world.operators.ask(Reinit(uid=uid, source=source))


def restart_member(world: World, whom: str, chance: Random) -> None:
    """Somebody restarts one member, or several; and has all read their files once more."""
    uids = {keeper_host(world, whom, chance), keeper_host(world, "any", chance)}
    world.operators.ask(Restart(uids=tuple(sorted(uids))))
    world.operators.ask(Reload())


def switchover(world: World, _: str, chance: Random) -> None:
    """Somebody wants another primary: one by name, the best of a site, or whoever suits best."""
    site = chance.choice(("sandun", "shiqiao"))
    operation = chance.choice(
        (
            Switchover(drain_s=chance.random()),
            Switchover(to=chance.choice(world.keeper_hosts), drain_s=0.0),
            Switchover(site=site, drain_s=chance.choice((0.0, 0.2, 3.0))),
        )
    )
    world.operators.ask(operation)


def cancel(world: World, _: str, __: Random) -> None:
    """Somebody takes back whatever is open."""
    for key, item in list(world.etcd.data._items.items()):
        if key.startswith(KEYS.requests) and (request := Request.from_bytes(item.value)).is_open:
            word = Word(by="an operator", at=request.at)
            world.etcd.data.transact([], [Put(key, request.changed(cancel=word).to_bytes())])
