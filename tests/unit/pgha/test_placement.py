"""Which site each etcd member stands on."""

from __future__ import annotations

import pytest

from common.store.port import StoreMember, StorePeer
from pgha.placement import Placement, place
from tests.support.healthy import documents, keeper, sentinel


def asked(*peers: StorePeer, problem: str = "") -> StoreMember:
    return StoreMember(
        "http://x:2379", peers[0].name, is_leader=False, version="3.5", problem=problem, peers=peers
    )


@pytest.mark.parametrize(
    ("name", "site"),
    [
        ("etcd-sandun", "sandun"),
        ("sandun.etcd.1", "sandun"),
        ("SHIQIAO_etcd", "shiqiao"),
        ("sandun2", ""),
        ("infra1", ""),
    ],
)
def test_a_member_is_found_by_the_site_in_its_name(name: str, site: str) -> None:
    """As a whole word only: ``sandun2`` may be another site."""
    assert place(documents(), [asked(StorePeer(name, ("http://127.0.0.1:1",)))]).site_of == {name: site}


def test_a_member_is_found_by_an_address_that_one_site_has() -> None:
    """An address that two sites share says nothing."""
    found = documents(
        keepers={"sandun-1": keeper("sandun-1").changed(host="10.1.0.1")},
        sentinels={"w": sentinel("witness").changed(api_url="http://10.3.0.1:7433")},
        proxies={},
    )
    peers = tuple(StorePeer(f"m{n}", (f"http://10.{n}.0.1:2379",)) for n in (1, 2, 3))

    assert place(found, [asked(*peers)]).site_of == {"m1": "sandun", "m2": "", "m3": "witness"}


def test_a_learner_has_no_vote() -> None:
    """It adds nothing to a majority."""
    found = place(documents(), [asked(StorePeer("a", ()), StorePeer("b", (), votes=False))])

    assert set(found.site_of) == {"a"}


def test_a_majority_counts_only_who_answers_now() -> None:
    """With one member dead already the loss of another site may be one too many."""
    sites = {"a": "sandun", "b": "shiqiao", "c": "witness"}

    assert Placement(sites).survives("sandun") is True
    assert Placement(sites, frozenset({"c"})).survives("sandun") is False
    assert Placement({"a": "sandun"}).survives("sandun") is False
    assert Placement({"a": "", "b": "sandun"}).survives("sandun") is None
    assert Placement({}).survives("sandun") is None
    assert Placement(sites).at("sandun") == ("a",)
