"""A keeper and a store that is not the one it knew."""

from __future__ import annotations

from typing import cast

import pytest

from common.model.identity import Acceptance
from common.model.keys import Keys
from common.model.reasons import SUSPENDED
from common.model.view import Primary
from common.store.mirror import Mirror
from keeper import steps
from keeper.actions import STATE, Actions
from keeper.documents import Documents
from keeper.local import Local
from keeper.postgres.port import Postgres
from keeper.standing import Standing
from keeper.state import KeeperState
from tests.support.disk import MemoryDisk
from tests.support.facts import local_settings, upstream
from tests.support.healthy import NOW, view
from tests.unit.common.store.builders import World, in_a_world

KEYS = Keys("demo")

NAMED = Primary(uid="sandun-1", incarnation="0000000a", timeline=3)


class Keeper:
    """As much of a keeper as reads the store, on a disk of its own."""

    def __init__(self, world: World, disk: MemoryDisk, state: KeeperState | None = None) -> None:
        self.local = Local(local_settings(), state or KeeperState(keeper_id="k"), "1", "0")
        actions = Actions(cast("Postgres", None), disk, self.local, lambda: "0000000b", 1.0)
        mirrors = [Mirror(world.store, world.clock, prefix) for prefix in (KEYS.view, KEYS.spec, KEYS.store)]
        self.actions = actions
        self.documents = Documents(KEYS, self.local.settings.uid)
        self.standing = Standing(
            KEYS, view=mirrors[0], spec=mirrors[1], store=mirrors[2], local=self.local, actions=actions
        )
        for loop in self.standing.loops(lambda: None):
            world.start(loop)

    async def obeys(self) -> bool:
        """Look once, as the loop does, and remember what is obeyed; return whether it is another view."""
        another = await self.standing.take(self.documents)
        if another and (seen := self.documents.view) is not None:
            digest = self.documents.view_digest
            await self.actions.save(lambda kept: kept.obeying(seen, digest))
        return another


def test_a_restored_view_is_not_obeyed_until_an_operator_has_accepted_it() -> None:
    """Nor after a restart; then the view that follows is, and the new store is the one that is known."""

    async def story(world: World) -> None:
        world.put(KEYS.store_id, b"s")
        world.put(KEYS.view, view(generation=9).to_bytes())
        backup = world.server.backup()
        world.put(KEYS.view, view(generation=17).to_bytes())
        disk = MemoryDisk()
        first = Keeper(world, disk)
        await world.clock.advance(1)
        obeyed = await first.obeys()
        world.server.restore(backup, cluster_id=2)
        await world.clock.advance(3)
        refused = await first.obeys()
        kept = await disk.read(STATE)
        again = Keeper(world, disk, KeeperState.model_validate(kept))
        was_suspended = again.standing.suspended
        await world.clock.advance(1)
        refused_again = await again.obeys()
        said = again.local.reasons["store"]
        word = Acceptance(by="op", at=NOW, store_id="s", cluster_id="2", generation=17, term=4)
        world.put(KEYS.acceptance, word.to_bytes())
        await world.clock.advance(1)
        waits = await again.obeys()
        waits_for = again.local.reasons["store"].text
        world.put(KEYS.view, view(generation=117).to_bytes())
        await world.clock.advance(1)
        follows = await again.obeys()

        assert (obeyed, refused, refused_again, waits, follows) == (True, False, False, False, True)
        assert was_suspended
        assert first.documents.view == view(generation=17)
        assert (said.code, said.severity) == (SUSPENDED, "critical")
        assert "etcd cluster id 2 instead of 1" in said.text
        assert "waits for the view" in waits_for
        assert again.local.state.memory.cluster_id == "2"
        assert again.local.state.generation == 117
        assert "store" not in again.local.reasons
        assert again.standing.shows(again.documents)

    in_a_world(story)()


def test_while_suspended_the_store_shows_nothing_that_could_prove_a_primary() -> None:
    """Not even with the very view that is obeyed: it may be read on the wrong one of two stores."""

    async def story(world: World) -> None:
        world.put(KEYS.view, view().to_bytes())
        keeper = Keeper(world, MemoryDisk())
        await world.clock.advance(1)
        await keeper.obeys()
        before = keeper.standing.shows(keeper.documents)
        world.server.restore(world.server.backup(), cluster_id=2)
        await world.clock.advance(3)
        await keeper.obeys()

        assert before
        assert not keeper.standing.shows(keeper.documents)

    in_a_world(story)()


def test_a_disk_that_fails_suspends_all_the_same() -> None:
    """What it does not take is not obeyed either."""

    async def story(world: World) -> None:
        world.put(KEYS.view, view().to_bytes())
        keeper = Keeper(world, MemoryDisk())
        await world.clock.advance(1)
        await keeper.obeys()
        world.server.restore(world.server.backup(), cluster_id=2)
        await world.clock.advance(3)

        async def fails(_: object) -> None:
            raise OSError("No space left on device")

        keeper.actions.save = fails  # type: ignore[method-assign,assignment]
        another = await keeper.obeys()

        assert not another
        assert keeper.standing.suspended

    in_a_world(story)()


ALLOWED = (
    steps.Stop("superseded"),
    steps.StartStandby(None, "to follow"),
    steps.Seal(4),
    steps.Follow(upstream("sandun-2")),
    steps.ConfirmPromotion(4, NAMED),
    steps.Serve(4),
)

FORBIDDEN = (
    steps.Claim("another life"),
    steps.Initialize(1),
    steps.StartWritable(4),
    steps.Promote(4, NAMED),
    steps.Clone("sandun-1", 4, "diverged"),
    steps.Rewind("sandun-1", 4, "diverged"),
)


@pytest.mark.parametrize("step", [*ALLOWED, *FORBIDDEN], ids=lambda step: type(step).__name__)
def test_while_suspended_nothing_makes_a_primary_or_destroys_data(step: steps.Step) -> None:
    """All else goes on: a standby that ends is needed for every commit."""

    async def story(world: World) -> None:
        keeper = Keeper(world, MemoryDisk())
        at_rest = keeper.standing.hold_back(step)
        held = Keeper(
            world,
            MemoryDisk(),
            KeeperState(keeper_id="k").changed(
                store=keeper.local.state.memory.changed(suspended=("no view",))
            ),
        ).standing.hold_back(step)

        assert at_rest == step
        assert (held == step) == (step in ALLOWED)
        assert held == step or isinstance(held, steps.Wait)

    in_a_world(story)()


def test_a_seal_and_the_view_that_asked_for_it_are_remembered_in_one_write() -> None:
    """A promise of a term whose view no keeper holds would make the newest view unknowable."""
    asked = view(generation=18, term=5, phase="sealing", route=None)
    state = KeeperState(keeper_id="k").sealed(5).obeying(asked)

    assert (state.sealed_term, state.term, state.view) == (5, 5, asked)
    assert state.memory.view_digest == ""
    assert state.obeying(asked, "d").memory.view_digest == "d"
    assert state.obeying(asked, "d").obeying(asked).memory.view_digest == "d"
