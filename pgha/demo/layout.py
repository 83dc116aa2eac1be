"""Who stands where in the demo, and on which ports of this machine. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SITES: Final = ("sandun", "shiqiao")
WITNESS: Final = "witness"
HOST: Final = "127.0.0.1"
KEEPERS_PER_SITE_LIMIT: Final = 9
ETCD_COUNTS: Final = (1, 3)

DEFAULT_PORT_BASE: Final = 24800
"""Below Linux's range for outgoing connections, so that a restarted service finds its port free."""

_PROXY, _PROXY_API, _POSTGRES, _KEEPER_API, _SENTINEL_API, _ETCD = 0, 10, 20, 40, 60, 70
PORTS: Final = 80
"""How many ports from the base on may be used."""


@dataclass(frozen=True, slots=True)
class Place:
    """One service and the site it stands on."""

    uid: str
    site: str


@dataclass(frozen=True, slots=True)
class KeeperPlace(Place):
    """One keeper with its PostgreSQL."""

    port: int
    api_port: int


@dataclass(frozen=True, slots=True)
class SentinelPlace(Place):
    """One sentinel."""

    api_port: int


@dataclass(frozen=True, slots=True)
class ProxyPlace(Place):
    """One proxy."""

    port: int
    api_port: int


@dataclass(frozen=True, slots=True)
class EtcdPlace(Place):
    """One etcd member."""

    client_port: int
    peer_port: int

    @property
    def client_url(self) -> str:
        """Where clients reach it."""
        return f"http://{HOST}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        """Where the other members reach it."""
        return f"http://{HOST}:{self.peer_port}"


@dataclass(frozen=True, slots=True)
class Layout:
    """The whole demo cluster."""

    keepers: tuple[KeeperPlace, ...]
    sentinels: tuple[SentinelPlace, ...]
    proxies: tuple[ProxyPlace, ...]
    etcd: tuple[EtcdPlace, ...]

    @property
    def ports(self) -> dict[int, str]:
        """Every port with the name of who listens there."""
        found = {place.port: f"proxy {place.uid}" for place in self.proxies}
        found |= {place.api_port: f"the API of proxy {place.uid}" for place in self.proxies}
        found |= {place.port: f"PostgreSQL of {place.uid}" for place in self.keepers}
        found |= {place.api_port: f"the API of keeper {place.uid}" for place in self.keepers}
        found |= {place.api_port: f"the API of sentinel {place.uid}" for place in self.sentinels}
        found |= {place.client_port: place.uid for place in self.etcd}
        found |= {place.peer_port: f"{place.uid} (peers)" for place in self.etcd}
        return found

    @property
    def places(self) -> tuple[Place, ...]:
        """Every service."""
        return (*self.etcd, *self.sentinels, *self.keepers, *self.proxies)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The etcd members' client URLs."""
        return tuple(place.client_url for place in self.etcd)

    def keeper(self, uid: str) -> KeeperPlace:
        """The place of one keeper."""
        return next(place for place in self.keepers if place.uid == uid)


def plan_layout(keepers: Sequence[int], etcd: int, port_base: int) -> Layout:
    """Place everything.

    ``keepers`` says how many stand on each site. Raises ValueError with the rule that is broken.
    """
    if len(keepers) != len(SITES):
        raise ValueError(f"give one number of keepers for each of the sites {' and '.join(SITES)}, like 2,2")
    if any(not 0 <= count <= KEEPERS_PER_SITE_LIMIT for count in keepers) or not sum(keepers):
        raise ValueError(f"a site has 0 to {KEEPERS_PER_SITE_LIMIT} keepers, and one site has one at least")
    if etcd not in ETCD_COUNTS:
        raise ValueError("run 1 or 3 etcd members")
    if not 1024 <= port_base <= 65535 - PORTS:  # noqa: PLR2004 - the ports of ordinary users
        raise ValueError(f"the port base must lie between 1024 and {65535 - PORTS}")
    uids = [
        (f"{site}-{number}", site)
        for site, count in zip(SITES, keepers, strict=True)
        for number in range(1, count + 1)
    ]
    return Layout(
        keepers=tuple(
            KeeperPlace(uid, site, port_base + _POSTGRES + index, port_base + _KEEPER_API + index)
            for index, (uid, site) in enumerate(uids)
        ),
        sentinels=tuple(
            SentinelPlace(f"sentinel-{site}", site, port_base + _SENTINEL_API + index)
            for index, site in enumerate((*SITES, WITNESS))
        ),
        proxies=tuple(
            ProxyPlace(f"proxy-{site}", site, port_base + _PROXY + index, port_base + _PROXY_API + index)
            for index, site in enumerate(SITES)
        ),
        etcd=tuple(
            EtcdPlace(f"etcd-{site}", site, port_base + _ETCD + 2 * index, port_base + _ETCD + 2 * index + 1)
            for index, site in enumerate((WITNESS, *SITES)[:etcd])
        ),
    )
