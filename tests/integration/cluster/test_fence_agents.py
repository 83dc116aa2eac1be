"""Fence agents on a whole cluster: whom the leader has switched off, and what everybody learns of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from common.model.spec import ClusterSpec
from common.model.view import Fenced
from tests.support.cluster import SMALL, UNDAMPED, Cluster, cluster, small_layout

AGENT = """#!/bin/sh
action=none
while IFS= read -r line; do
    case "$line" in
        action=*) action="${{line#action=}}";;
        plug=*) plug="${{line#plug=}}";;
    esac
done
echo "$action $plug" >> {here}/calls
test -e {here}/broken && {{ echo "the switch does not answer"; exit 1; }}
case "$action" in
    off) touch {here}/off-"$plug";;
    status) test -e {here}/off-"$plug" && exit 2; exit 0;;
    *) exit 1;;
esac
"""


class Switch:
    """What the agent was asked to do, and whether it does it."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.agent = here / "fence_switch"
        self.agent.write_text(AGENT.format(here=here))
        self.agent.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        path = self.here / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def breaks(self) -> None:
        (self.here / "broken").touch()


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Switch:
    return Switch(tmp_path_factory.mktemp("agents"))


@pytest.fixture(scope="module")
def running(switch: Switch) -> Iterator[Cluster]:
    """Three members, each with an agent; sentinels that look for agents where the test keeps its own."""
    layout = small_layout()
    members = [
        {"uid": place.uid, "fence": {"agent": str(switch.agent), "options": {"plug": place.uid}}}
        for place in layout.keepers
    ]
    spec = ClusterSpec.from_plain(
        {
            "durability": {"survive": "node"},
            "postgres": {"parameters": SMALL},
            "timings": UNDAMPED,
            "members": members,
        }
    )
    with cluster(layout, spec, started=False) as made:
        for place in layout.sentinels:
            service = made.demo.services[place.uid]
            service.command = [*service.command, "--fence-agents", str(switch.here)]
        made.run(made.demo.start())
        yield made


def test_a_lost_primary_is_switched_off_and_the_view_says_so(running: Cluster, switch: Switch) -> None:
    """By its own agent, confirmed, with an event in the history; the failover does not wait for it."""

    async def story() -> None:
        term, old = running.view.term, running.primary
        async with running.writing():
            await running.more_writes()
            await running.power_cut(old)
            await running.until(
                lambda seen: seen.view is not None and Fenced(old, term + 1) in seen.view.fenced,
                "the view says that it is off",
            )
            await running.until(
                lambda seen: seen.view is not None and seen.view.route is not None, "there is a route"
            )
            await running.more_writes()
            await running.start(old)
            await running.until_well(term=term + 1)
        events = [event for event in await running.history() if event.kind == "fenced"]

        assert switch.calls == [f"off {old}", f"status {old}"]
        assert [(event.term, event.old_primary) for event in events] == [(term + 1, old)]
        assert running.view.term == term + 1

    running.run(story())


def test_nobody_is_switched_off_whose_keeper_says_that_postgresql_is_down(
    running: Cluster, switch: Switch
) -> None:
    """A crash is no reason to take a host away."""

    async def story() -> None:
        before, term = switch.calls, running.view.term
        await running.crash(running.primary)
        await running.until_well(term=term + 1)

        assert switch.calls == before

    running.run(story())


def test_an_agent_that_fails_is_named_and_the_failover_goes_on_without_it(
    running: Cluster, switch: Switch
) -> None:
    """The quorum of seals is the fence; a human is told to see to the agent."""

    async def story() -> None:
        term, old = running.view.term, running.primary
        switch.breaks()
        async with running.writing():
            await running.more_writes()
            await running.power_cut(old)
            await running.until(lambda _: f"fence_failed {old}" in running.reasons(), "it is named")
            text = running.reasons()[f"fence_failed {old}"]
            await running.more_writes()
            await running.start(old)
            await running.until_well(term=term + 1)

        assert "the switch does not answer" in text
        assert all(each.term != term + 1 for each in running.view.fenced)
        assert running.view.term == term + 1

    running.run(story())
