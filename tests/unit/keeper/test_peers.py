"""The cluster and its history in Patroni's shape."""

from __future__ import annotations

from common.model.history import HistoryEvent
from common.model.keys import Keys
from common.status.documents import Documents
from keeper.peers import Peers, as_cluster, as_history
from tests.support.builders import SANDUN_1, SANDUN_2, SHIQIAO_1, at, keeper, running_view
from tests.support.healthy import NOW, UIDS, documents, stored
from tests.unit.common.store.builders import World, in_a_world


def test_members_have_patronis_roles_and_states() -> None:
    """leader, sync_standby, replica; the lag counts from the primary's report."""
    keepers = {uid: keeper(uid) for uid in UIDS if uid != SANDUN_2}
    keepers[SHIQIAO_1] = keeper(SHIQIAO_1, lsn=at(4))
    shown = {
        each["name"]: each for each in as_cluster(documents(view=running_view(), keepers=keepers))["members"]
    }

    assert (shown[SANDUN_1]["role"], shown[SANDUN_1]["state"]) == ("leader", "running")
    assert (shown[SHIQIAO_1]["role"], shown[SHIQIAO_1]["state"]) == ("sync_standby", "streaming")
    assert shown[SHIQIAO_1]["lag"] == at(5) - at(4)
    assert (shown[SANDUN_2]["role"], shown[SANDUN_2]["state"]) == ("replica", "unknown")
    assert as_cluster(Documents("demo")) == {"scope": "demo", "members": []}


def test_history_has_a_row_for_each_timeline_that_ended() -> None:
    """With the reason and the time where the events still have them."""
    event = HistoryEvent(
        generation=9,
        term=4,
        at=NOW,
        kind="primary_named",
        text="the furthest",
        timeline=2,
        new_primary=SANDUN_1,
    )

    assert as_history(running_view(), [event]) == [[1, int(at(3)), "the furthest", NOW.isoformat(), SANDUN_1]]
    assert as_history(running_view(), [])[0][2:] == ["term 4 began", "", SANDUN_1]
    assert as_history(None, [event]) == []


@in_a_world
async def test_the_store_is_read_once_for_many_who_ask(world: World) -> None:
    """A balancer for each client must not become a load of the store."""
    for key, value in stored(documents(view=running_view())).items():
        world.put(key, value)
    peers = Peers(world.store, Keys("demo"), world.clock)
    first = await peers.cluster()
    world.put(Keys("demo").view, running_view(members=()).to_bytes())
    again = await peers.cluster()
    await world.clock.advance(1.5)
    later = await peers.cluster()

    assert len(first["members"]) == len(again["members"]) == 4
    assert later["members"] == []
    assert await peers.history() != []
