"""A clone that is killed half-way."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster, cluster, small_layout

FILL = """
CREATE TABLE big AS
SELECT number, repeat(md5(number::text), 30) AS text FROM generate_series(1, 200000) AS number
"""
"""Some 200 MB, of which a copy takes long enough to be hit in its middle."""


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(small_layout((1, 1))) as made:
        yield made


def test_a_clone_that_was_killed_half_way_is_made_again(running: Cluster) -> None:
    """Keeper and pg_basebackup die together; the keeper that comes back clones anew, as another life."""

    async def story() -> None:
        uid = running.standbys[0]
        root = running.root(uid)
        await running.value(running.primary, FILL)
        async with running.writing():
            await running.power_cut(uid)
            shutil.rmtree(running.data(uid))
            await running.start(uid)
            half = root / "data.new" / "base"
            await running.until_true(half.exists, "the clone has begun")
            await running.power_cut(uid)
            first = running.incarnation(uid)
            left = root / "data.new"
            assert left.exists()
            assert not running.data(uid).exists()

            await running.start(uid)
            await running.until_well()

        assert running.incarnation(uid) != first
        assert not left.exists()
        assert await running.value(uid, "SELECT count(*) FROM big") == 200_000
        report = running.report(uid)
        assert report is not None
        assert (report.state, report.role) == ("running", "standby")

    running.run(story())
