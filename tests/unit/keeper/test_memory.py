"""What a keeper remembers while its loop and its long work both remember something."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from keeper.actions import Actions
from keeper.local import Local
from keeper.postgres.port import Postgres
from keeper.state import KeeperState
from tests.support.aio import run
from tests.support.facts import local_settings
from tests.support.healthy import view


class SlowDisk:
    """A disk that takes its time, and allows one write at a time, as a file with one temporary name does."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []
        self._busy = False

    async def read(self, name: str) -> dict[str, Any] | None:
        del name
        return self.written[-1] if self.written else None

    async def write(self, name: str, value: Mapping[str, Any]) -> None:
        del name
        assert not self._busy, "two writes at once"
        self._busy = True
        await asyncio.sleep(0.001)
        self._busy = False
        self.written.append(dict(value))

    async def remove(self, name: str) -> None:
        del name


def test_a_new_life_and_an_obeyed_view_are_both_remembered() -> None:
    """Neither change is made to a memory that the other has replaced meanwhile."""

    async def both() -> tuple[KeeperState, SlowDisk]:
        local = Local(settings=local_settings(), state=KeeperState(keeper_id="k"), life_id="1", version="0")
        disk = SlowDisk()
        actions = Actions(cast("Postgres", None), disk, local, lambda: "0000000a", 1.0)
        await asyncio.gather(
            actions.begin_life(view()), actions.save(lambda kept: kept.obeying(view(generation=99)))
        )
        return local.state, disk

    state, disk = run(both())

    assert state.generation == 99
    assert state.life is not None
    assert state.life.incarnation == "0000000a"
    assert disk.written[-1] == state.model_dump(mode="json")
