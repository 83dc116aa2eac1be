"""The tree of sites, as a value and as text."""

from __future__ import annotations

import io

from rich.console import Console

from common.model.wal import Lsn
from common.status.documents import Documents
from common.status.model import LiveFigures
from common.store.port import StoreMember, StorePeer
from pgha.commands.topology import render
from pgha.topology import Topology, topology
from tests.support.builders import SANDUN_1, SANDUN_2, SHIQIAO_1, hears, keeper
from tests.support.healthy import NOW, UIDS, documents

PEERS = (StorePeer("etcd-witness", ()), StorePeer("m2", ()))
ETCD = (StoreMember("http://x", "m2", is_leader=True, version="3.5", problem="", peers=PEERS),)


def found(cluster: Documents, live: dict[str, LiveFigures] | None = None) -> Topology:
    return topology(cluster, live or {}, ETCD, NOW)


def well() -> Documents:
    return documents(keepers={uid: keeper(uid) for uid in UIDS})


def text(tree: Topology) -> str:
    out = io.StringIO()
    render(tree, Console(file=out, width=160, markup=False))
    return out.getvalue()


def test_each_site_holds_what_stands_on_it() -> None:
    """Members, proxies, sentinels and etcd; a member of etcd that cannot be placed is named apart."""
    tree = found(well())
    sandun, _, witness = tree.sites

    assert [site.name for site in tree.sites] == ["sandun", "shiqiao", "witness"]
    assert [node.row.uid for node in sandun.members] == [SANDUN_1, SANDUN_2]
    assert [proxy.uid for proxy in sandun.proxies] == ["proxy-sandun"]
    assert witness.sentinels == ("sentinel-witness",)
    assert witness.etcd == ("etcd-witness",)
    assert tree.etcd_elsewhere == ("m2",)


def test_who_follows_whom_is_the_standbys_own_evidence() -> None:
    """A primary follows nobody; a standby that hears nothing does not stream."""
    cluster = documents(
        keepers={uid: keeper(uid) for uid in UIDS}
        | {SHIQIAO_1: keeper(SHIQIAO_1, upstream=hears(SANDUN_1, receiving=False))}
    )
    nodes = {node.row.uid: node for site in found(cluster).sites for node in site.members}

    assert (nodes[SANDUN_1].follows, nodes[SANDUN_1].streams) == (None, None)
    assert (nodes[SANDUN_2].follows, nodes[SANDUN_2].streams) == (SANDUN_1, True)
    assert nodes[SHIQIAO_1].streams is False


def test_the_text_is_a_tree_with_lag_and_roles() -> None:
    """A line for each; what does not stream is said in words."""
    end = Lsn.parse("0/6000000")
    live = {
        SANDUN_1: LiveFigures("running", "primary", 2, end, None),
        SHIQIAO_1: LiveFigures("running", "standby", 2, Lsn(end - 2048), 0.4),
    }
    shown = text(found(well(), live))

    assert shown.startswith("cluster demo: healthy, term 4, running\n")
    assert "sandun-1  primary, running, at 127.0.0.1:24820, timeline 2\n" in shown
    assert "streams from sandun-1, lag 2.0 kB and 0.4 s, acknowledges\n" in shown
    assert "proxy proxy-sandun at 127.0.0.1:24800, serves sandun-1, 3 sessions, 0 parked" in shown
    assert "sentinel sentinel-witness, leads" in shown
    assert "etcd, site not known: m2" in shown


def test_a_member_without_a_report_has_its_place() -> None:
    """The view knows where it stands."""
    keepers = {uid: keeper(uid) for uid in UIDS if uid != SHIQIAO_1}

    assert "shiqiao-1  no role, no report, at 127.0.0.1:24822" in text(found(documents(keepers=keepers)))
