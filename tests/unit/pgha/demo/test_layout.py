"""Who stands where."""

from __future__ import annotations

import pytest

from pgha.demo.layout import PORTS, plan_layout


def test_two_keepers_on_each_site_a_sentinel_everywhere_a_proxy_on_each_site() -> None:
    """The demo that the README shows."""
    layout = plan_layout([2, 2], 1, 24800)

    assert [place.uid for place in layout.keepers] == ["sandun-1", "sandun-2", "shiqiao-1", "shiqiao-2"]
    assert [place.site for place in layout.sentinels] == ["sandun", "shiqiao", "witness"]
    assert [place.site for place in layout.proxies] == ["sandun", "shiqiao"]
    assert [place.site for place in layout.etcd] == ["witness"]


@pytest.mark.parametrize("keepers", [[2, 2], [2, 1], [0, 3], [9, 9]])
@pytest.mark.parametrize("etcd", [1, 3])
def test_no_port_is_given_twice(keepers: list[int], etcd: int) -> None:
    """Every listener has a port of its own, within the announced range."""
    layout = plan_layout(keepers, etcd, 24800)
    listeners = 2 * sum(keepers) + len(layout.sentinels) + 2 * len(layout.proxies) + 2 * etcd

    assert len(layout.ports) == listeners
    assert all(24800 <= port < 24800 + PORTS for port in layout.ports)


@pytest.mark.parametrize(
    ("keepers", "etcd", "port_base"),
    [([2], 1, 24800), ([0, 0], 1, 24800), ([10, 1], 1, 24800), ([2, 2], 2, 24800), ([2, 2], 1, 80)],
)
def test_what_cannot_be_placed_is_refused(keepers: list[int], etcd: int, port_base: int) -> None:
    """Before anything is started."""
    with pytest.raises(ValueError, match=r"keepers|etcd|port"):
        plan_layout(keepers, etcd, port_base)
