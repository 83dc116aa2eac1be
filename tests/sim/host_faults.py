"""Faults of processes, hosts, servers, disks, etcd, and what operators do: each returns what ends it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from common.model.spec import ClusterSpec
from common.store.port import Put
from tests.sim.histories import last_copy
from tests.sim.scenario import draw_durability, draw_timings
from tests.sim.services import KEYS, Unit

if TYPE_CHECKING:
    from common.model.view import ClusterView
    from tests.sim.postgres.directory import Directory
    from tests.sim.postgres.host import SimHost
    from tests.sim.world import World

Undo = Callable[[], None]

LOADS_EVERY_S: Final = 0.05
LOADS_LEAST, LOADS_MOST = 10, 17
"""Powers of two: bytes of what a bulk load writes at a time."""


def keeper_host(world: World, whom: str, chance: Random) -> str:
    return whom if whom in world.keeper_hosts else chance.choice(world.keeper_hosts)


def _unit(world: World, whom: str) -> Unit:
    return world.units_on(whom)[0]


def kill(world: World, whom: str, _: Random) -> None:
    _unit(world, whom).kill()


def stop(world: World, whom: str, _: Random) -> None:
    _unit(world, whom).stop()


def hold_down(world: World, whom: str, _: Random) -> Undo:
    unit = _unit(world, whom)
    unit.is_wanted = False
    unit.kill()

    def undo() -> None:
        unit.is_wanted = True
        unit.restart_later()

    return undo


def pause(world: World, whom: str, _: Random) -> Undo:
    unit = _unit(world, whom)
    process = unit.process
    process.pause()
    return lambda: unit.resume(process)


def stop_in_write(world: World, whom: str, chance: Random) -> Undo:
    """A sentinel stands still between what it has decided and its next write of the view."""
    whom = whom if whom in world.sentinels else chance.choice(world.sentinel_hosts)
    unit, in_write = _unit(world, whom), world.etcd.in_write
    process = unit.process
    in_write[whom] = KEYS.view, process.pause

    def undo() -> None:
        in_write.pop(whom, None)
        unit.resume(process)

    return undo


def pause_host(world: World, whom: str, chance: Random) -> Undo:
    """A virtual machine that stands still."""
    whom = keeper_host(world, whom, chance)
    unit, host = _unit(world, whom), world.fleet.hosts[whom]
    process, deadman = unit.process, world.keepers[whom].deadman.process
    world.stood_still[whom] = None
    process.pause()
    host.pause()
    if deadman is not None:
        deadman.pause()

    def undo() -> None:
        host.resume()
        if deadman is not None:
            deadman.resume()
        unit.resume(process)

    return undo


def kill_deadman(world: World, whom: str, chance: Random) -> None:
    deadman = world.keepers[keeper_host(world, whom, chance)].deadman.process
    if deadman is not None:
        deadman.kill()


def crash_host(world: World, whom: str, _: Random) -> Undo:
    world.crash_host(whom)
    return lambda: world.boot_host(whom)


def crash_site(world: World, whom: str, _: Random) -> Undo:
    site = world.network.site_of(whom)
    hosts = [host for host in world.network.hosts if world.network.site_of(host) == site]
    lost = [host for host in hosts if not host.startswith("clients-")]
    for host in lost:
        world.crash_host(host)

    def undo() -> None:
        for host in lost:
            world.boot_host(host)

    return undo


def crash_site_and_leader(world: World, whom: str, chance: Random) -> Undo:
    """A whole site is lost, and the leading sentinel with it, wherever that is."""
    undo_site = crash_site(world, whom, chance)
    leading = [unit.host for unit in world.sentinels.values() if unit.leads]
    for host in leading:
        world.crash_host(host)

    def undo() -> None:
        undo_site()
        for host in leading:
            world.boot_host(host)

    return undo


def jump_clock(world: World, whom: str, chance: Random) -> None:
    world.clock(whom).jump_wall(chance.choice((-1, 1)) * 10 ** (4 * chance.random()))


def kill_postgres(world: World, whom: str, chance: Random) -> None:
    world.fleet.hosts[keeper_host(world, whom, chance)].kill()


def kill_postmaster(world: World, whom: str, chance: Random) -> None:
    world.fleet.hosts[keeper_host(world, whom, chance)].kill_postmaster()


def pause_postgres(world: World, whom: str, chance: Random) -> Undo:
    host = world.fleet.hosts[keeper_host(world, whom, chance)]
    host.pause()
    return host.resume


def pause_replay(world: World, whom: str, chance: Random) -> Undo | None:
    """Somebody pauses replay on a standby, for a report that takes its time; it goes on to receive."""
    server = world.fleet.hosts[keeper_host(world, whom, chance)].server
    if server is None or not server.in_recovery:
        return None
    server.life.do(server.startup.pause)

    def undo() -> None:
        if server.postmaster_alive and server.in_recovery:
            server.life.do(server.startup.resume)

    return undo


def busy_host(world: World, whom: str, chance: Random) -> Undo:
    """Processes wait for a processor: signals are handled late."""
    host = world.fleet.hosts[keeper_host(world, whom, chance)]
    host.is_busy = True
    return lambda: setattr(host, "is_busy", False)


def bulk_load(world: World, whom: str, chance: Random) -> Undo:
    """A job on the server itself writes much in one transaction, and is ended before it commits."""
    server = world.fleet.hosts[keeper_host(world, whom, chance)].server
    writes = [True]
    row_bytes = int(2 ** (LOADS_LEAST + (LOADS_MOST - LOADS_LEAST) * chance.random()))

    def write() -> None:
        if server is not None and writes and not server.in_recovery and not server.stopping:
            rows = server.writer.insert("rows", size_bytes=row_bytes)
            server.flush(rows.end, lambda: None)
            server.life.later(LOADS_EVERY_S, write)

    if server is not None:
        server.life.do(write)
    return writes.clear


def fail_starts(world: World, whom: str, chance: Random) -> Undo:
    host = world.fleet.hosts[keeper_host(world, whom, chance)]
    host.start_fails = True
    return lambda: setattr(host, "start_fails", False)


def slow_starts(world: World, whom: str, chance: Random) -> Undo:
    host = world.fleet.hosts[keeper_host(world, whom, chance)]
    host.start_takes_s = 5 * chance.random()
    return lambda: setattr(host, "start_takes_s", 0.0)


def hang_disk(world: World, whom: str, chance: Random) -> Undo:
    whom = keeper_host(world, whom, chance)
    host, disk = world.fleet.hosts[whom], _unit(world, whom).disk
    host.hang_disk()
    disk.hangs = True

    def undo() -> None:
        disk.hangs = False
        host.heal_disk()

    return undo


def fill_disk(world: World, whom: str, chance: Random) -> Undo:
    whom = keeper_host(world, whom, chance)
    host, disk = world.fleet.hosts[whom], _unit(world, whom).disk
    host.disk_full = True
    disk.errno = errno.ENOSPC if chance.random() < 0.5 else 0

    def undo() -> None:
        host.disk_full = False
        disk.errno = 0

    return undo


def _has_left(data: Directory, view: ClusterView) -> bool:
    """Whether a directory's newest timeline is none of the lineage."""
    return data.greatest_timeline not in {entry.timeline for entry in view.lineage}


def _may_be_lost(world: World, host: SimHost) -> bool:
    """Whether a data directory may be lost: once in a run, and never the last copy: that loses by design.

    Under ``k = 0`` the others may be behind the floor or on a timeline that was left, or, with a store that
    was restored, nobody knows where it ended: then nobody may ever be promoted without an operator who takes
    any loss.
    """
    others = [
        other.data
        for other in world.fleet.hosts.values()
        if other is not host and other.data is not None and not other.data.torn and not other.rewinding
    ]
    if world.has_wiped or host.data is None or not others:
        return False
    if last_copy(world.ledger, host.data, others) is not None:
        return False
    view = world.view
    if view is None:
        return True
    if view.sync.lease_protects and world.restores.may_happen:
        return False
    return not all(other.wal.flushed < view.floor or _has_left(other, view) for other in others)


def lose(world: World, whom: str) -> bool:
    """Have a host's data directory lost, if it may be; return whether it is."""
    host = world.fleet.hosts[whom]
    if host.data is None or not _may_be_lost(world, host):
        return False
    world.has_wiped = True
    world.lost_lives.append((whom, host.data.marker))
    host.data = host.old = host.new = None
    return True


def wipe(world: World, whom: str, chance: Random) -> None:
    """A data directory is lost."""
    whom = keeper_host(world, whom, chance)
    if lose(world, whom) and chance.random() < 0.5:
        _unit(world, whom).disk.restore({})
        _unit(world, whom).kill()
        world.fleet.hosts[whom].kill()


def etcd_outage(world: World, _: str, __: Random) -> Undo:
    etcd = world.etcd
    etcd.stop()
    return etcd.start


def etcd_member(world: World, _: str, chance: Random) -> Undo:
    etcd = world.etcd
    member = chance.choice((etcd.leader or etcd.members[0], *etcd.members))
    etcd.process(member).kill()
    return etcd.start


def etcd_pause(world: World, _: str, chance: Random) -> Undo:
    etcd = world.etcd
    process = etcd.process(chance.choice((etcd.leader or etcd.members[0], *etcd.members)))
    process.pause()
    return process.resume


def etcd_compaction(world: World, _: str, __: Random) -> None:
    world.etcd.end_streams()
    world.etcd.data.compact()


def etcd_revokes(world: World, _: str, __: Random) -> None:
    """Leaders that had stalled have revoked live leases."""
    world.etcd.data.revoke_leases()


def change_spec(world: World, _: str, chance: Random) -> None:
    spec = ClusterSpec(
        durability=draw_durability(chance, world.scenario.keepers), timings=draw_timings(chance)
    )
    world.note_spec(spec)
    world.etcd.data.transact([], [Put(KEYS.spec, spec.to_bytes())])
