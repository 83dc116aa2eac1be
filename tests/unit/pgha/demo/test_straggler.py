"""The client that goes on at an old primary's own address."""

from __future__ import annotations

import itertools

from pgha.demo.straggler import Straggler
from tests.support.clock import ManualClock


def test_only_what_was_acknowledged_after_the_instant_counts() -> None:
    """What came at that very instant was sent before."""
    straggler = Straggler("", itertools.count(1), set(), ManualClock())
    straggler.acked_s += [9.0, 10.0, 10.1, 12.0]

    assert straggler.acks_after(10.0) == 2
    assert straggler.acks_after(12.0) == 0
