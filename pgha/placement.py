"""Which site each member of etcd stands on, and whether a majority is left without a site. Pure.

etcd does not know sites. A member counts to the site whose name stands in its own (``etcd-sandun``), else to
the one site whose services have its address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from common.status.documents import Documents
from common.store.port import StoreMember, StorePeer


@dataclass(frozen=True)
class Placement:
    """The voting members of etcd by name, with the site of each, empty where it is not known."""

    site_of: Mapping[str, str]
    unhealthy: frozenset[str] = frozenset()

    @property
    def majority(self) -> int:
        """How many members must agree."""
        return len(self.site_of) // 2 + 1

    @property
    def unknown(self) -> tuple[str, ...]:
        """Members whose site is not known."""
        return tuple(sorted(name for name, site in self.site_of.items() if not site))

    def at(self, site: str) -> tuple[str, ...]:
        """The members of one site."""
        return tuple(sorted(name for name, where in self.site_of.items() if where == site))

    def left_without(self, site: str) -> int:
        """How many members that answer now would be left without a site."""
        return sum(where != site and name not in self.unhealthy for name, where in self.site_of.items())

    def survives(self, site: str) -> bool | None:
        """Whether a majority is left without a site; None where the members' sites are not known."""
        if not self.site_of or self.unknown:
            return None
        return self.left_without(site) >= self.majority


def known_sites(documents: Documents) -> tuple[str, ...]:
    """Every site that the view, a service or the spec names."""
    found = {report.site for report in documents.keepers.values()}
    found |= {report.site for report in documents.sentinels.values()}
    found |= {report.site for report in documents.proxies.values()}
    found |= {member.site for member in documents.view.members} if documents.view else set()
    found |= {site.name for site in documents.spec.sites} if documents.spec else set()
    return tuple(sorted(found))


def place(documents: Documents, members: Iterable[StoreMember]) -> Placement:
    """Find the site of each voting member of etcd."""
    asked = tuple(members)
    peers = {peer.name: peer for member in asked for peer in member.peers if peer.votes}
    sites, hosts = known_sites(documents), _sites_of_hosts(documents)
    return Placement(
        {name: _by_name(name, sites) or _by_host(peer, hosts) for name, peer in sorted(peers.items())},
        frozenset(member.name for member in asked if member.problem and member.name),
    )


def _by_name(name: str, sites: Iterable[str]) -> str:
    """The longest site whose name stands in the member's, as a whole word."""
    found = [
        site for site in sites if re.search(rf"(?<![^\W_]){re.escape(site)}(?![^\W_])", name, re.IGNORECASE)
    ]
    return max(found, key=len, default="")


def _by_host(peer: StorePeer, hosts: Mapping[str, frozenset[str]]) -> str:
    sites = {site for url in peer.client_urls for site in hosts.get(urlsplit(url).hostname or "", ())}
    return sites.pop() if len(sites) == 1 else ""


def _sites_of_hosts(documents: Documents) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}

    def note(host: str | None, site: str) -> None:
        if host:
            found[host] = found.get(host, frozenset()) | {site}

    for keeper in documents.keepers.values():
        note(keeper.host, keeper.site)
        note(urlsplit(keeper.api_url).hostname, keeper.site)
    for proxy in documents.proxies.values():
        note(proxy.host, proxy.site)
    for sentinel in documents.sentinels.values():
        note(urlsplit(sentinel.api_url).hostname, sentinel.site)
    return found
