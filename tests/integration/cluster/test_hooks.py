"""Hooks of a real cluster: what each keeper tells, and that nothing waits for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keeper.hooks.events import EVENTS
from tests.support.cluster import Cluster, cluster, small_layout

HOOK = """#!/bin/sh
# One line for each call; a file named "wait" holds it up, one named "fail" lets it fail.
document=$(cat)
while test -e {here}/wait; do sleep 0.05; done
echo "$document" >> {here}/told
if test -e {here}/fail; then echo "the switch refuses" >&2; exit 3; fi
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(small_layout((1, 1)), started=False) as made:
        for place in made.demo.layout.keepers:
            here = tmp_path / place.uid
            here.mkdir()
            (here / "hook").write_text(HOOK.format(here=here))
            (here / "hook").chmod(0o755)
            service = made.demo.services[place.uid]
            hooks = {f"PGHA_KEEPER_HOOKS_{event.upper()}": str(here / "hook") for event in EVENTS}
            service.environment = {**service.environment, **hooks, "PGHA_KEEPER_HOOKS_TIMEOUT_S": "600"}
        made.run(made.demo.start())
        yield made


def test_a_failover_is_told_in_order_and_waits_for_no_hook(running: Cluster, tmp_path: Path) -> None:
    """The old primary's hook hangs through all of it; later its status is a reason, until one is well."""

    def documents(uid: str) -> list[dict[str, Any]]:
        path = tmp_path / uid / "told"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def told(uid: str) -> list[str]:
        return [each["event"] for each in documents(uid)]

    async def story() -> None:
        old, [new] = running.primary, running.standbys
        await running.until_true(
            lambda: told(old) == ["started", "primary_ready"] and told(new) == ["started"],
            "the new cluster has been told",
        )
        (tmp_path / old / "wait").touch()
        term = running.view.term
        await running.crash(old)
        await running.until_well(term=term + 1)
        held_up = told(old)
        await running.until_true(lambda: "failed_over" in told(new), "the new primary has told it")
        (tmp_path / old / "fail").touch()
        (tmp_path / old / "wait").unlink()
        await running.until(
            lambda _: f"hook_failed {old}" in running.reasons(), "the failed hook is a reason"
        )
        await running.until_true(lambda: len(told(old)) == 5, "all has been told")
        text = running.reasons()[f"hook_failed {old}"]
        (tmp_path / old / "fail").unlink()
        await running.stop_service(old)
        await running.start(old)
        await running.until(lambda _: f"hook_failed {old}" not in running.reasons(), "no hook fails any more")
        await running.until_true(lambda: len(told(old)) == 6, "the next life of the keeper tells it again")
        last, taken = documents(old)[-1], documents(new)[-1]

        assert running.primary == new
        assert held_up == ["started", "primary_ready"]
        assert told(old) == ["started", "primary_ready", "demoted", "stopped", "started", "started"]
        assert told(new)[-2:] == ["primary_ready", "failed_over"]
        assert (taken["primary"], taken["previous_primary"], taken["switchover"]) == (new, old, False)
        assert (taken["term"], taken["repeated"]) == (running.view.term, False)
        assert (last["event"], last["repeated"]) == ("started", True)
        assert "ended with status 3: the switch refuses" in text

    running.run(story())
