"""``pgha topology``: the cluster as a tree of sites and members, with who follows whom."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from common.runtime.clock import SystemClock
from common.store.port import Store
from pgha.options import Target, with_target
from pgha.output import Format, console, dump
from pgha.status.gather import read_all
from pgha.status.render import SEVERITY_STYLE, age, headline, size
from pgha.topology import MemberNode, SiteNode, Topology, topology


@with_target
def show(
    target: Target,
    *,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to write it.")] = Format.TEXT,
) -> None:
    """Show the cluster as a tree: sites, members with their replication and lag, proxies, sentinels, etcd."""

    async def gather(store: Store) -> Topology:
        clock = SystemClock()
        documents, live, members = await read_all(store, target.keys, clock)
        return topology(documents, live, members, clock.wall())

    found = target.run(gather)
    if output is Format.TEXT:
        render(found, console())
    else:
        dump(found.model_dump(mode="json"), output)


def render(found: Topology, screen: Console) -> None:
    """Write the tree."""
    tree = Tree(headline(found.cluster, found.health, found.term, found.phase))
    for site in found.sites:
        _add_site(tree.add(Text(f"site {site.name}", "bold")), site, found)
    if found.etcd_elsewhere:
        tree.add(f"etcd, site not known: {', '.join(found.etcd_elsewhere)}")
    screen.print(tree)


def _add_site(branch: Tree, site: SiteNode, found: Topology) -> None:
    for member in site.members:
        branch.add(_member(member))
    for proxy in site.proxies:
        route = f"serves {proxy.route}" if proxy.route else "no route"
        branch.add(
            f"proxy {proxy.uid} at {proxy.address}, {route}, {proxy.sessions} sessions, {proxy.parked} parked"
        )
    for uid in site.sentinels:
        branch.add(f"sentinel {uid}{', leads' if uid == found.leader else ''}")
    for name in site.etcd:
        branch.add(f"etcd {name}")


def _member(node: MemberNode) -> Text:
    row = node.row
    text = Text(row.uid, "bold" if row.role == "primary" else "")
    text.append(f"  {row.role if row.role != '-' else 'no role'}, ")
    text.append(row.state, "" if row.state == "running" else SEVERITY_STYLE["warning"])
    text.append(f", at {row.address}" if row.address else "")
    if row.timeline:
        text.append(f", timeline {row.timeline}")
    if node.follows is not None:
        words = "streams from" if node.streams else "does not stream from"
        text.append(f", {words} {node.follows}", "" if node.streams else SEVERITY_STYLE["warning"])
    if row.lag_bytes is not None:
        text.append(f", lag {size(row.lag_bytes)}")
    if row.lag_s is not None:
        text.append(f" and {age(row.lag_s)}")
    if row.sync in {"sync", "pending"}:
        text.append(", acknowledges" if row.sync == "sync" else ", is to acknowledge")
    return text
