"""What each exercise breaks."""

from __future__ import annotations

import pytest

from common.model.requests import Restart, Switchover
from common.model.spec import Timings
from common.model.view import SyncSet, SyncState
from pgha.demo.faults import FAULTS
from pgha.demo.layout import plan_layout
from pgha.demo.run import ASYNC_TIMINGS
from tests.support.healthy import documents, view

LAYOUT = plan_layout([2, 2], 3, 24800)


def test_a_crash_kills_the_postmaster_and_nothing_else() -> None:
    """The keeper lives: it is the one to notice."""
    fault = FAULTS["crash"](documents("shiqiao-1"), LAYOUT)

    assert fault.postmaster_of == "shiqiao-1"
    assert (fault.services, fault.postgres_of) == ((), ())


def test_a_keeper_crash_touches_no_postgresql() -> None:
    """Nothing may happen to the clients."""
    fault = FAULTS["keeper-crash"](documents(), LAYOUT)

    assert (fault.services, fault.postgres_of, fault.postmaster_of) == (("sandun-1",), (), None)
    assert not fault.failover


def test_a_site_dies_with_everything_that_stands_on_it() -> None:
    """Keepers, PostgreSQL, sentinel, proxy, etcd member; the clients of the other site count."""
    fault = FAULTS["site"](documents(), LAYOUT)

    assert set(fault.services) == {
        "sandun-1",
        "sandun-2",
        "sentinel-sandun",
        "proxy-sandun",
        "etcd-sandun",
    }
    assert fault.postgres_of == ("sandun-1", "sandun-2")
    assert fault.sites == ("shiqiao",)


def test_a_sync_standby_is_one_that_acknowledges() -> None:
    """Never the primary, never somebody outside the set."""
    fault = FAULTS["sync-standby"](documents(), LAYOUT)

    assert fault.postgres_of == ("shiqiao-1",)
    assert not fault.failover


def test_the_leader_dies_together_with_the_primarys_host() -> None:
    """At one instant."""
    fault = FAULTS["sentinel"](documents(), LAYOUT)

    assert (fault.services, fault.postgres_of) == (("sentinel-witness", "sandun-1"), ("sandun-1",))


def test_etcd_dies_whole() -> None:
    """All members, back after five seconds."""
    fault = FAULTS["etcd"](documents(), LAYOUT)

    assert set(fault.services) == {"etcd-witness", "etcd-sandun", "etcd-shiqiao"}
    assert fault.back_after_s == 5


def test_an_outage_of_the_store_is_longer_than_every_timeout() -> None:
    """So that only attestation keeps the cluster at work."""
    fault, timings = FAULTS["etcd-outage"](documents(), LAYOUT), Timings()

    assert fault.services == FAULTS["etcd"](documents(), LAYOUT).services
    assert fault.back_after_s > 2 * max(timings.fence_after_s, timings.proxy_timeout_s, timings.lease_ttl_s)


@pytest.mark.parametrize("name", sorted(FAULTS.keys() - {"etcd-outage", "freeze", "deadman"}))
def test_what_was_killed_comes_back(name: str) -> None:
    """As systemd or a repaired host would bring it: no sooner than that, and not much later."""
    fault = FAULTS[name](documents(), LAYOUT)

    assert bool(fault.services) == (3 <= fault.back_after_s <= 8)


def test_a_frozen_host_stands_still_for_longer_than_its_lease_and_nothing_is_killed() -> None:
    """Somebody goes on committing at its own address."""
    fault = FAULTS["freeze"](documents(), LAYOUT)

    assert fault.frozen
    assert fault.failover
    assert (fault.services, fault.postgres_of, fault.straggler) == (("sandun-1",), ("sandun-1",), "sandun-1")
    assert fault.back_after_s == 30.0
    assert fault.back_after_s > Timings().fence_after_s > Timings().lease_ttl_s


def test_a_deadman_is_left_alone_with_its_primary() -> None:
    """The keeper stands still for longer than its lease; PostgreSQL itself is not touched."""
    unprotected = SyncState(current=SyncSet(id=15, k=0))
    fault = FAULTS["deadman"](documents(view=view(sync=unprotected)), LAYOUT)

    assert (fault.frozen, fault.failover, fault.deadman) == (True, True, True)
    assert (fault.services, fault.postgres_of, fault.postmaster_of) == (("sandun-1",), (), None)
    assert fault.back_after_s > float(ASYNC_TIMINGS["lease_ttl"].removesuffix("s"))


def test_without_a_lease_to_keep_there_is_no_deadman_to_try() -> None:
    """Where standbys acknowledge none is armed."""
    with pytest.raises(ValueError, match="--mode async"):
        FAULTS["deadman"](documents(), LAYOUT)


def test_a_switchover_hurts_nobody_and_goes_to_the_other_site() -> None:
    """And back the next time; the old primary has to come back as a standby."""
    there = FAULTS["switchover"](documents("sandun-1"), LAYOUT)
    back = FAULTS["switchover"](documents("shiqiao-1"), LAYOUT)

    assert (there.asks, back.asks) == (Switchover(site="shiqiao"), Switchover(site="sandun"))
    assert (there.services, there.postgres_of, there.victim) == ((), (), "sandun-1")


def test_a_rolling_restart_is_asked_for_and_ends_with_another_primary() -> None:
    """All members, whatever waits for a restart; the old primary has to come back as a standby."""
    fault = FAULTS["rolling-restart"](documents(), LAYOUT)

    assert fault.asks == Restart()
    assert (fault.failover, fault.victim) == (True, "sandun-1")
    assert (fault.services, fault.postgres_of, fault.postmaster_of) == ((), (), None)
