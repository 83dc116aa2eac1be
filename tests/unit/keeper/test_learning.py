"""What a keeper makes of the directory that it finds: whose it is, and in which life."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from common.errors import PostgresUnavailable
from common.model.wal import ZERO
from keeper.actions import Actions
from keeper.evidence import UpstreamProbe
from keeper.local import Local
from keeper.postgres.port import ControlData, DataState, Postgres
from keeper.state import KeeperState
from tests.support.aio import run
from tests.support.facts import local_settings
from tests.support.healthy import NOW, SYSTEM, view

KNOWN = KeeperState(keeper_id="k").born("0000000a", 1).completed()
FRESH = "0000ffff"


@dataclass
class Ground:
    """A data directory and a disk that keep a diary of what is done to them, in its order."""

    found: DataState
    diary: list[str] = field(default_factory=list)
    full: bool = False

    async def recover(self) -> DataState:
        return self.found

    async def inspect(self) -> DataState:
        return self.found

    async def mark(self, incarnation: str) -> None:
        if self.full:
            raise OSError("No space left on device")
        self.diary.append(f"marked {incarnation}")

    async def write(self, name: str, value: Mapping[str, Any]) -> None:
        del name
        life = value["life"]
        self.diary.append(f"remembered {life and life['incarnation']}")


def directory(marker: str | None, system: str = SYSTEM, **fields: Any) -> DataState:
    """A stopped server's directory."""
    control = ControlData(system, "shut down", 1, ZERO, ZERO, ZERO, 0)
    return DataState("ours", marker, **{"control": control} | fields)


def keeper_on(ground: Ground, state: KeeperState = KNOWN) -> tuple[Actions, Local]:
    """A keeper with a memory, on a directory."""
    local = Local(settings=local_settings(), state=state, life_id="1", version="0")
    return Actions(cast("Postgres", ground), cast("Any", ground), local, lambda: FRESH, 1.0), local


def reported(local: Local) -> tuple[str | None, str | None]:
    """The incarnation and the system identifier that it says it has."""
    report = local.report(NOW, cast("UpstreamProbe", _Silent()), "http://127.0.0.1:1")
    return report.incarnation, report.system_identifier


class _Silent:
    def report(self, *, receiving: bool, term: int) -> None:
        del receiving, term


def test_a_directory_as_it_was_left_goes_on_in_its_life() -> None:
    """Nothing is written at all."""
    ground = Ground(directory("0000000a"))
    actions, local = keeper_on(ground)

    run(actions.learn_data())

    assert reported(local) == ("0000000a", SYSTEM)
    assert (local.postgres, local.unclaimed) == ("down", "")
    assert ground.diary == []


@pytest.mark.parametrize("marker", [None, "0000000b"])
def test_a_directory_in_another_life_is_only_noted(marker: str | None) -> None:
    """Neither it nor the memory changes: given back its own directory the keeper goes on as before."""
    ground = Ground(directory(marker, "1"))
    actions, local = keeper_on(ground)

    run(actions.learn_data())

    assert ground.diary == []
    assert reported(local) == (None, "1")
    assert local.unclaimed
    ground.found = directory("0000000a")
    run(actions.learn_data())
    assert reported(local) == ("0000000a", SYSTEM)


def test_a_new_life_is_remembered_before_the_directory_is_marked() -> None:
    """It counts only after both."""
    ground = Ground(directory("0000000b"))
    actions, local = keeper_on(ground)

    run(actions.learn_data())
    before = reported(local)
    run(actions.claim(view()))

    assert before == (None, SYSTEM)
    assert ground.diary == [f"remembered {FRESH}", f"marked {FRESH}"]
    assert reported(local) == (FRESH, SYSTEM)
    assert local.unclaimed == ""


def test_a_directory_that_cannot_be_marked_stays_unclaimed() -> None:
    """The new life does not count; the next try takes another one."""
    ground = Ground(directory("0000000b"), full=True)
    actions, local = keeper_on(ground)

    run(actions.learn_data())
    with pytest.raises(OSError, match="No space"):
        run(actions.claim(view()))

    assert reported(local) == (None, SYSTEM)
    ground.full = False
    run(actions.claim(view()))
    assert reported(local) == (FRESH, SYSTEM)


def test_a_directory_that_was_exchanged_meanwhile_is_not_claimed() -> None:
    """It is looked at once more, since the view may have come hours after the start."""
    ground = Ground(directory("0000000b"))
    actions, local = keeper_on(ground)

    run(actions.learn_data())
    ground.found = directory("0000000b", "1")
    with pytest.raises(PostgresUnavailable, match="was replaced"):
        run(actions.claim(view()))

    assert ground.diary == []
    assert reported(local) == (None, "1")


def test_a_running_server_that_is_claimed_is_complete() -> None:
    """It has accepted a connection, whatever was known of the life that lay there before."""
    ground = Ground(directory("0000000b"))
    half = KeeperState(keeper_id="k").born("0000000b", 1).born("0000000c", 2)
    actions, local = keeper_on(ground, half)

    run(actions.learn_data())
    local.postgres = "running"
    run(actions.claim(view()))

    assert local.life is not None
    assert local.life.complete


@pytest.mark.parametrize("marker", ["0000000a", "0000000b"])
def test_a_half_rewound_directory_is_left_to_a_clone(marker: str) -> None:
    """Its marker may be the source's: it is not judged, nor written."""
    ground = Ground(directory(marker, control=None, unfinished="rewind"))
    actions, local = keeper_on(ground)

    run(actions.learn_data())

    assert local.postgres == "failed"
    assert local.unclaimed == ""
    assert local.life is not None
    assert not local.life.complete
    assert not [line for line in ground.diary if line.startswith("marked")]


def test_a_wiped_directory_is_of_nobody() -> None:
    """The life is forgotten, and so is whose data lay there."""
    ground = Ground(directory("0000000a"))
    actions, local = keeper_on(ground)

    run(actions.learn_data())
    ground.found = DataState("absent")
    run(actions.learn_data())

    assert ground.diary == ["remembered None"]
    assert reported(local) == (None, None)
    assert local.postgres == "no_data"
