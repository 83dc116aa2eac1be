"""What a keeper says of what failed, and for how long."""

from __future__ import annotations

from typing import Any, cast

from common.errors import StoreUnavailable
from keeper.local import Local
from keeper.pauses import LONGEST_S, Pauses
from keeper.sayings import Sayings
from keeper.state import KeeperState
from tests.support.aio import run
from tests.support.clock import ManualClock
from tests.support.facts import local_settings


class Keeper:
    """As much of a keeper as says that a step has failed."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.local = Local(local_settings(), KeeperState(keeper_id="k"), "1", "test")
        self.local.postgres = "running"
        nothing = cast("Any", None)
        self.sayings = Sayings(
            local=self.local,
            hooks=nothing,
            clock=self.clock,
            documents=nothing,
            pauses=Pauses(),
            probe=nothing,
            publisher=nothing,
            api_url="",
            lease_ttl_s=lambda: 3.0,
        )
        self.sayings.failed("step", StoreUnavailable("no answer"))

    def says(self) -> str:
        """What it says after a look that found nothing to do."""
        self.sayings.nothing_failed()
        reason = self.local.reasons.get("step")
        return reason.code if reason else ""


def test_what_failed_is_over_once_nothing_is_left_to_do() -> None:
    """The store was away for a look, say; not before the pause has passed, after which it is tried again."""
    keeper = Keeper()
    at_once = keeper.says()
    run(keeper.clock.advance(LONGEST_S))

    assert at_once == "keeper_step_failed"
    assert keeper.says() == ""


def test_what_is_being_tried_again_has_not_ended_well_yet() -> None:
    """A start, or a clone: its own end says how it went."""
    starting, cloning = Keeper(), Keeper()
    starting.local.postgres = "starting"
    cloning.local.busy = "clone"
    for keeper in (starting, cloning):
        run(keeper.clock.advance(LONGEST_S))

    assert (starting.says(), cloning.says()) == ("keeper_step_failed", "keeper_step_failed")
