"""A hanging primary is killed once the view has taken its term, and by nothing less."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from common.errors import PostgresUnavailable
from common.model.keys import Keys
from common.model.view import ClusterView, Primary
from common.store.mirror import Mirror
from keeper.local import Local
from keeper.postgres.port import Killed, Postgres
from keeper.state import KeeperState
from keeper.supersede import Supersede, is_superseded
from tests.support.builders import SANDUN_1, running_view, sealing_view
from tests.support.facts import local_settings
from tests.support.healthy import INCARNATIONS, SYSTEM
from tests.unit.common.store.builders import World, in_a_world

KEYS = Keys("demo")
OBEYED = running_view()


def primary(*, hanging: str = "SELECT 1") -> Local:
    """The primary of the healthy cluster, which has obeyed its view."""
    state = KeeperState(keeper_id="k").born(INCARNATIONS[SANDUN_1], 1).completed().obeying(OBEYED)
    local = Local(settings=local_settings(), state=state, life_id="1", version="0")
    local.postgres, local.start_id, local.hanging = "running", "one", hanging
    local.system_identifier = SYSTEM
    return local


class Server:
    """Counts how often it is killed; the first times may fail."""

    def __init__(self, *, fails: int = 0) -> None:
        self.killed = 0
        self._fails = fails

    async def kill(self) -> Killed:
        await asyncio.sleep(0)
        if self._fails > 0:
            self._fails -= 1
            raise PostgresUnavailable("left")
        self.killed += 1
        return Killed(3, (17,))


def watch(world: World, local: Local, server: Server, *, believed: bool = True) -> list[str]:
    """Begin to watch; returns the states that were told."""
    told: list[str] = []
    mirror = Mirror(world.store, world.clock, KEYS.view)
    supersede = Supersede(
        cast("Postgres", server),
        local,
        world.clock,
        view=mirror,
        view_key=KEYS.view,
        believed=lambda: believed,
        ended=lambda: told.append(local.postgres),
    )
    world.start(mirror.run())
    world.start(supersede.run())
    return told


def other_primary() -> ClusterView:
    return running_view(term=5, generation=20, primary=Primary(uid="shiqiao-1", incarnation="b", timeline=3))


@pytest.mark.parametrize("view", [sealing_view(generation=18), other_primary()], ids=["sealing", "named"])
def test_a_view_that_names_somebody_else_or_nobody_ends_the_term(view: ClusterView) -> None:
    """Whichever of the two is seen first."""
    assert is_superseded(view, primary())


@pytest.mark.parametrize(
    "view",
    [
        OBEYED,
        running_view(generation=18),
        sealing_view(generation=16),
        sealing_view(generation=18, system_identifier="another"),
    ],
    ids=["the one obeyed", "a newer one that names it", "an older one", "another cluster's"],
)
def test_no_other_view_does(view: ClusterView) -> None:
    """A primary is never killed on the word of the past, or of strangers."""
    assert not is_superseded(view, primary())


@in_a_world
async def test_a_hanging_primary_is_killed_when_the_view_has_taken_its_term(world: World) -> None:
    """At once, once, and it is told as down."""
    server, local = Server(), primary()
    world.put(KEYS.view, OBEYED.to_bytes())
    told = watch(world, local, server)
    await world.clock.advance(5)
    before = server.killed
    world.put(KEYS.view, sealing_view(generation=18).to_bytes())
    await world.clock.advance(0.1)
    await world.clock.advance(10)

    assert before == 0
    assert server.killed == 1
    assert told == ["down"]
    assert local.hanging == ""


@in_a_world
async def test_a_superseded_primary_that_does_not_hang_is_left_to_the_plan(world: World) -> None:
    """It is stopped in order."""
    server = Server()
    world.put(KEYS.view, sealing_view(generation=18).to_bytes())
    told = watch(world, primary(hanging=""), server)
    await world.clock.advance(10)

    assert (server.killed, told) == (0, [])


@in_a_world
async def test_nobody_is_killed_on_the_word_of_a_store_that_is_not_believed(world: World) -> None:
    """A restored backup may show any view."""
    server = Server()
    world.put(KEYS.view, sealing_view(generation=18).to_bytes())
    told = watch(world, primary(), server, believed=False)
    await world.clock.advance(10)

    assert (server.killed, told) == (0, [])


@in_a_world
async def test_one_that_could_not_be_killed_is_killed_a_moment_later(world: World) -> None:
    """What could not be proved is tried again."""
    server, local = Server(fails=2), primary()
    world.put(KEYS.view, sealing_view(generation=18).to_bytes())
    told = watch(world, local, server)
    await world.clock.advance(1)
    before = list(told)
    await world.clock.advance(5)

    assert before == []
    assert server.killed == 1
    assert told == ["down"]
