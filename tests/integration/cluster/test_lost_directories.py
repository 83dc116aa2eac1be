"""Members whose data directory was wiped, exchanged, removed or moved away, while they ran or before."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from keeper.postgres.data import MARKER
from keeper.processes import find
from tests.support.cluster import Cluster, cluster
from tests.support.postgres import copy_data


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def test_a_directory_wiped_while_it_was_stopped_is_cloned_as_a_new_life(running: Cluster) -> None:
    """A known uid without its data counts for nothing until it has been cloned."""

    async def story() -> None:
        uid = running.standbys[0]
        before = running.incarnation(uid)
        await running.power_cut(uid)
        shutil.rmtree(running.data(uid))
        async with running.writing():
            await running.start(uid)
            await running.until(
                lambda _: running.incarnation(uid) not in {None, before}, "the view names a new life"
            )
            await running.until_well()

        assert all(life.incarnation != before for life in running.view.sync.current.members)

    running.run(story())


def test_an_older_directory_put_in_its_place_is_a_new_life(running: Cluster) -> None:
    """Restored from before its last clone: it counts for nothing until it has caught up as that."""

    async def story() -> None:
        uid = running.standbys[0]
        data, root = running.data(uid), running.root(uid)
        await running.power_cut(uid)
        copy_data(data, root / "kept")
        older = running.incarnation(uid)
        shutil.rmtree(data)
        await running.start(uid)
        await running.until(
            lambda _: running.incarnation(uid) not in {None, older}, "the view names a new life"
        )
        await running.until_well()
        before = running.incarnation(uid)
        async with running.writing():
            await running.more_writes()
            await running.power_cut(uid)
            shutil.rmtree(data)
            (root / "kept").rename(data)
            await running.start(uid)
            await running.until(
                lambda _: running.incarnation(uid) not in {None, older, before}, "the view names a third life"
            )
            await running.until_well()

        assert (data / MARKER).read_text().split() == [running.incarnation(uid)]

    running.run(story())


def test_the_wiped_directory_of_a_primary_that_died_is_never_promoted(running: Cluster) -> None:
    """It comes back at once with nothing, while the others fail over: cloned from the new primary."""

    async def story() -> None:
        uid, term, before = running.primary, running.view.term, running.incarnation(running.primary)
        promoted: set[tuple[int, str]] = set()
        async with running.writing():
            await running.more_writes()
            await running.power_cut(uid)
            shutil.rmtree(running.data(uid))
            await running.start(uid)

            def note(_: object) -> bool:
                named = running.view.primary
                if running.view.term > term and named is not None:
                    promoted.add((running.view.term, named.uid))
                return running.view.route is not None and running.view.term > term

            await running.until(note, "a route in a new term")
            await running.more_writes()
            await running.until_well(term=term + 1)

        assert uid not in {name for _, name in promoted}
        assert running.primary != uid
        assert running.incarnation(uid) != before

    running.run(story())


@pytest.mark.parametrize("how", ["removed", "moved away"])
def test_the_directory_of_a_running_primary_may_vanish(running: Cluster, how: str) -> None:
    """Its keeper ends what is left; another member goes on with everything acknowledged, and it is cloned."""

    async def story() -> None:
        uid, term, before = running.primary, running.view.term, running.incarnation(running.primary)
        async with running.writing():
            await running.more_writes()
            postmaster = running.postmaster(uid)
            if how == "removed":
                # The server writes on meanwhile, so that the directory itself may stay behind.
                shutil.rmtree(running.data(uid), ignore_errors=True)
            else:
                running.data(uid).rename(running.root(uid) / "elsewhere")
            await running.until(
                lambda seen: seen.view and seen.view.term > term and seen.view.route, "a route in a new term"
            )
            await running.more_writes()
            await running.until_well(term=term + 1)

        assert running.primary != uid
        assert running.incarnation(uid) != before
        assert running.postmaster(uid) != postmaster
        assert find(running.root(uid) / "elsewhere") == []
        assert "directory_lost" in running.log(uid)

    running.run(story())


def test_the_directory_of_a_running_standby_may_vanish(running: Cluster) -> None:
    """It is cloned anew in the same term, and no client notices."""

    async def story() -> None:
        uid, term = running.standbys[0], running.view.term
        before = running.incarnation(uid)
        async with running.writing() as statements:
            await running.more_writes()
            shutil.rmtree(running.data(uid), ignore_errors=True)
            await running.until(
                lambda _: running.incarnation(uid) not in {None, before}, "the view names a new life"
            )
            await running.until_well()
            await running.more_writes()

        assert running.view.term == term
        assert [each for each in statements if each.result != "ok"] == []

    running.run(story())
