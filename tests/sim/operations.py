"""What operators do, well or badly, while the cluster runs: each returns what ends it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from common.model.requests import Continue, Pause, Resume

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


def pause_cluster(world: World, _: str, __: Random) -> Undo:
    """Somebody wants nothing to be done by itself for a while."""
    world.operators.ask(Pause())

    def undo() -> None:
        world.operators.ask(Resume())

    return undo
