"""When the demo calls its cluster well."""

from __future__ import annotations

from typing import Any

import pytest

from common.model.reasons import Reason
from common.model.spec import ClusterSpec
from common.model.view import SyncMember, SyncSet, SyncState
from common.status.documents import Documents
from pgha.demo.health import why_not_healthy
from pgha.demo.layout import plan_layout
from tests.support.healthy import INCARNATIONS, TERM, UIDS, documents, keeper, proxy, view

LAYOUT = plan_layout([2, 2], 1, 24800)


def without(uid: str) -> Documents:
    return documents(keepers={each: keeper(each) for each in UIDS if each != uid})


def with_keeper(uid: str, **fields: Any) -> Documents:
    return documents(keepers={**{each: keeper(each) for each in UIDS}, uid: keeper(uid, **fields)})


def test_a_healthy_cluster_is_well() -> None:
    """With the primary on either site."""
    assert why_not_healthy(documents(), LAYOUT) == ""
    assert why_not_healthy(documents("shiqiao-2"), LAYOUT) == ""


def test_with_node_durability_all_standbys_belong_into_the_set() -> None:
    """The set that is full for sites is not full for nodes."""
    node = ClusterSpec.from_plain({"durability": {"survive": "node"}})

    assert "sync set" in why_not_healthy(documents(spec=node), LAYOUT)


@pytest.mark.parametrize(
    ("sick", "said"),
    [
        (documents(view=None), "no view"),
        (documents(view=view(route=None, phase="promoting")), "no route"),
        (without("sandun-2"), "sandun-2"),
        (with_keeper("sandun-1", standbys=keeper("sandun-1").standbys[:2]), "not streaming: shiqiao-2"),
        (documents(leader=None), "leads"),
        (documents(sentinels={}), "leads"),
        (documents(proxies={"proxy-sandun": proxy("sandun")}), "proxy-shiqiao"),
        (
            documents(
                proxies={"proxy-sandun": proxy("sandun"), "proxy-shiqiao": proxy("shiqiao", term=TERM - 1)}
            ),
            "proxy-shiqiao does not serve",
        ),
        (
            documents(reasons=(Reason(code="x", severity="warning", text="something is wrong"),)),
            "something is wrong",
        ),
    ],
)
def test_each_thing_that_is_missing_is_named(sick: Documents, said: str) -> None:
    """A person who waits for the demo reads what it waits for."""
    assert said in why_not_healthy(sick, LAYOUT)


def test_a_change_of_the_sync_set_that_is_under_way_is_not_well_yet() -> None:
    """The next exercise would begin in the middle of it."""
    current = view().sync.current
    pending = SyncSet(id=18, k=1, members=frozenset({SyncMember("sandun-2", INCARNATIONS["sandun-2"])}))

    found = documents(view=view(sync=SyncState(current=current, pending=(pending,))))

    assert "sync set" in why_not_healthy(found, LAYOUT)
