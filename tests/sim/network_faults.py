"""Faults of the network and of the store's traffic: each begins at once, and returns what ends it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from tests.sim.network import BETWEEN_SITES, CLIENT, ETCD, REPLICATION, WITHIN_SITE, Link
from tests.sim.scenario import SITES
from tests.sim.services import KEYS

if TYPE_CHECKING:
    from tests.sim.world import World

Undo = Callable[[], None]

FLAPS_EVERY_S: Final = 1.5


def _keeper_host(world: World, whom: str, chance: Random) -> str:
    return whom if whom in world.keeper_hosts else chance.choice(world.keeper_hosts)


def cut_host(world: World, whom: str, _: Random) -> Undo:
    return _cut(world, [(whom, other) for other in _others(world, whom)], both=True)


def cut_but_one(world: World, whom: str, chance: Random) -> Undo:
    """Cut a server off from all others but one, while its clients and the proxies reach it."""
    whom = _keeper_host(world, whom, chance)
    friend = chance.choice([host for host in world.keeper_hosts if host != whom])
    others = (*world.keeper_hosts, *world.sentinel_hosts, *world.etcd_hosts)
    return _cut(world, [(whom, other) for other in others if other not in {whom, friend}], both=True)


def one_streams(world: World, whom: str, chance: Random) -> Undo:
    """WAL flows between a server and one that acknowledges alone: elsewhere the network for it has failed."""
    whom = _keeper_host(world, whom, chance)
    counted = {member.uid for member in world.view.sync.target.members} if world.view else set()
    others = [host for host in world.keeper_hosts if host != whom]
    friend = chance.choice([host for host in others if host in counted] or others)
    others = [host for host in world.keeper_hosts if host not in {whom, friend}]
    pairs = [(one, other) for one in others for other in world.keeper_hosts if one != other]
    return _cut(world, pairs, both=True, kind=REPLICATION)


def cut_one_way(world: World, whom: str, chance: Random) -> Undo:
    pairs = [(whom, other) for other in _others(world, whom)]
    return _cut(world, pairs if chance.random() < 0.5 else [(b, a) for a, b in pairs], both=False)


def cut_etcd(world: World, whom: str, _: Random) -> Undo:
    return _cut(world, [(whom, other) for other in _others(world, whom)], both=True, kind=ETCD)


def cut_in_write(world: World, whom: str, chance: Random) -> Undo:
    """A sentinel's link to one member of etcd breaks as it writes the view, which arrives much later."""
    whom = whom if whom in world.sentinels else chance.choice(world.sentinel_hosts)
    network, in_write, undone = world.network, world.etcd.in_write, list[Undo]()
    near = [member for member in world.etcd_hosts if network.site_of(member) == network.site_of(whom)]
    pairs = [(whom, member) for member in near]
    in_write[whom] = KEYS.view, lambda: undone.append(_cut(world, pairs, both=True, kind=ETCD))

    def undo() -> None:
        in_write.pop(whom, None)
        for heal in undone:
            heal()

    return undo


def cut_replication(world: World, whom: str, chance: Random) -> Undo:
    whom = _keeper_host(world, whom, chance)
    return _cut(world, [(whom, other) for other in _others(world, whom)], both=True, kind=REPLICATION)


def cut_replication_but_one(world: World, whom: str, chance: Random) -> Undo:
    """Cut replication of all servers but one and the one that it follows: the others lag behind anybody."""
    whom = _keeper_host(world, whom, chance)
    friend = chance.choice([host for host in world.keeper_hosts if host != whom])
    lag = [host for host in world.keeper_hosts if host not in {whom, friend}]
    pairs = [(one, other) for one in lag for other in _others(world, one)]
    return _cut(world, pairs, both=True, kind=REPLICATION)


def cut_clients(world: World, whom: str, chance: Random) -> Undo:
    whom = _keeper_host(world, whom, chance)
    return _cut(world, [(whom, other) for other in _others(world, whom)], both=True, kind=CLIENT)


def cut_proxies(world: World, _: str, chance: Random) -> Undo:
    """Every proxy loses the keepers, or the store; all else hears each other."""
    from_store = chance.random() < 0.5
    others = world.etcd_hosts if from_store else world.keeper_hosts
    pairs = [(proxy, other) for proxy in world.proxy_hosts for other in others]
    return _cut(world, pairs, both=chance.random() < 0.7, kind=ETCD if from_store else "")


def split_sites(world: World, _: str, chance: Random) -> Undo:
    return _cut(world, _between_sites(world, chance), both=chance.random() < 0.7)


def cut_site(world: World, whom: str, _: Random) -> Undo:
    """The site of a host hears nothing of the others; who is in it goes on among themselves."""
    network = world.network
    site = network.site_of(whom)
    inside = [host for host in network.hosts if network.site_of(host) == site]
    outside = [host for host in network.hosts if network.site_of(host) != site]
    return _cut(world, [(one, other) for one in inside for other in outside], both=True)


def split_sites_replication(world: World, _: str, chance: Random) -> Undo:
    return _cut(world, _between_sites(world, chance), both=True, kind=REPLICATION)


def flap(world: World, whom: str, chance: Random) -> Undo:
    others = _others(world, whom)
    pairs = [(whom, other) for other in others]
    state: dict[str, Undo | None] = {"undo": None}
    ended: list[bool] = []

    def turn() -> None:
        if state["undo"] is not None:
            state["undo"]()
            state["undo"] = None
        elif not ended:
            state["undo"] = _cut(world, pairs, both=True)
            world.causes += 1
        if not ended:
            world.loop.world_after(FLAPS_EVERY_S * chance.random(), turn)

    def end() -> None:
        ended.append(True)
        if state["undo"] is not None:
            turn()

    turn()
    return end


def slow_links(world: World, whom: str, chance: Random) -> Undo:
    network = world.network
    link = Link(0.02 + 0.1 * chance.random(), 0.1 * chance.random(), loss=0.3 * chance.random())
    pairs = [pair for other in _others(world, whom) for pair in ((whom, other), (other, whom))]
    for pair in pairs:
        network.set_link(*pair, link)

    def undo() -> None:
        for source, target in pairs:
            same = network.site_of(source) == network.site_of(target)
            network.set_link(source, target, WITHIN_SITE if same else BETWEEN_SITES)

    return undo


def late_watches(world: World, _: str, chance: Random) -> Undo:
    etcd = world.etcd
    etcd.watch_lag_s = chance.choice((1.0, 2.0, 6.0)) * chance.random()
    return lambda: setattr(etcd, "watch_lag_s", 0.0)


def deaf_watches(world: World, whom: str, _: Random) -> Undo:
    etcd = world.etcd
    etcd.deaf[whom] = None
    return lambda: etcd.deaf.pop(whom, None)


def lossy_store(world: World, _: str, chance: Random) -> Undo:
    etcd = world.etcd
    etcd.lost_requests, etcd.lost_answers = 0.3 * chance.random(), 0.3 * chance.random()

    def undo() -> None:
        etcd.lost_requests = etcd.lost_answers = 0.0

    return undo


def doubled_requests(world: World, _: str, chance: Random) -> Undo:
    """What a client may ask of two members is done twice, the second time late."""
    world.etcd.doubled = 0.2 + 0.6 * chance.random()
    return lambda: setattr(world.etcd, "doubled", 0.0)


def _others(world: World, whom: str) -> list[str]:
    return [host for host in world.network.hosts if host != whom]


def _between_sites(world: World, chance: Random) -> list[tuple[str, str]]:
    network = world.network
    apart = chance.choice(SITES)
    inside = [host for host in network.hosts if network.site_of(host) == apart]
    with_witness = chance.random() < 0.7
    outside = [
        host
        for host in network.hosts
        if network.site_of(host) != apart and (with_witness or network.site_of(host) in SITES)
    ]
    return [(one, other) for one in inside for other in outside]


def _cut(world: World, pairs: list[tuple[str, str]], *, both: bool, kind: str = "") -> Undo:
    """Cut, and count how many faults cut the same: the last one to end heals."""
    cuts = world.cuts
    ways = [*pairs, *((b, a) for a, b in pairs)] if both else pairs
    for one, other in ways:
        cuts[one, other, kind] += 1
        world.network.cut(one, other, kind)

    def undo() -> None:
        for one, other in ways:
            cuts[one, other, kind] -= 1
            if not cuts[one, other, kind]:
                world.network.heal(one, other, kind)

    return undo
