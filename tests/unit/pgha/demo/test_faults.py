"""What each exercise breaks."""

from __future__ import annotations

import pytest

from pgha.demo.faults import FAULTS
from pgha.demo.layout import plan_layout
from tests.support.healthy import documents

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


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_what_was_killed_comes_back(name: str) -> None:
    """As systemd or a repaired host would bring it: no sooner than that, and not much later."""
    fault = FAULTS[name](documents(), LAYOUT)

    assert bool(fault.services) == (3 <= fault.back_after_s <= 8)
