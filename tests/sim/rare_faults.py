"""Faults that need a moment or a directory of their own: each begins at once, and returns what ends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Final

from tests.sim.host_faults import keeper_host, lose
from tests.sim.network_faults import cut_etcd
from tests.sim.postgres.directory import Directory

if TYPE_CHECKING:
    from tests.sim.postgres.server import Server
    from tests.sim.world import World

Undo = Callable[[], None]

IN_FLIGHT_S: Final = 0.001
STANDS_S: Final = (0.2, 3.0)
FAILS_AFTER_S: Final = 0.15


def stop_in_keepalive(world: World, whom: str, chance: Random) -> Undo:
    """A keeper stands still while a keepalive is under way; meanwhile its link to the store fails."""
    whom = keeper_host(world, whom, chance)
    unit, in_keepalive, undone = world.units_on(whom)[0], world.etcd.in_keepalive, list[Undo]()
    least_s, most_s = STANDS_S
    stands_s = least_s * (most_s / least_s) ** chance.random()
    stops_s, fails_s = IN_FLIGHT_S * chance.random(), FAILS_AFTER_S * chance.random()
    process = unit.process

    def befall() -> None:
        world.loop.world_after(stops_s, process.pause)
        world.loop.world_after(stops_s + fails_s, lambda: undone.append(cut_etcd(world, whom, chance)))
        world.loop.world_after(stops_s + stands_s, unit.resume, process)

    in_keepalive[whom] = befall

    def undo() -> None:
        in_keepalive.pop(whom, None)
        unit.resume(process)
        for heal in undone:
            heal()

    return undo


def restore_backup(world: World, whom: str, chance: Random) -> None:
    """Somebody puts a base backup of another member in the place of a standby's data directory.

    It was taken when this begins, and carries the marker of whom it was taken from. It counts as a lost
    directory: what only the standby had is gone.
    """
    whom = keeper_host(world, whom, chance)
    host, chosen = world.fleet.hosts[whom], world.view.primary if world.view is not None else None
    if chosen is None or chosen.uid == whom:
        return
    source = world.fleet.hosts[chosen.uid].server
    if source is None or source.in_recovery or not source.accepting or host.data is None:
        return
    backup = _base_backup(source)

    def put_back() -> None:
        is_standby = host.server is None or host.server.in_recovery
        same_cluster = host.data is not None and host.data.system_identifier == backup.system_identifier
        if is_standby and same_cluster and not host.rewinding and lose(world, whom):
            world.say(f"{whom} gets back a backup of {chosen.uid} that ends at {backup.wal.end}")
            host.kill()
            host.data = backup
            world.units_on(whom)[0].kill()

    world.loop.world_after(0.3 + 3.5 * chance.random(), put_back)


def _base_backup(source: Server) -> Directory:
    """What pg_basebackup makes of a primary: all but its slots."""
    source.checkpoint()
    origin = source.directory
    wal = origin.wal.copy(origin.wal.flushed)
    control = replace(origin.control, state="in production")
    backup = Directory(
        origin.system_identifier,
        wal,
        control,
        dict(origin.histories),
        settings=origin.settings,
        marker=origin.marker,
    )
    last = wal.records[-1]
    backup.must_replay_until(last.end, last.timeline)
    return backup
