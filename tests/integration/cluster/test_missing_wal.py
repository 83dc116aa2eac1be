"""A member was away for so long that the primary no longer has the WAL that it needs next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from common.model.spec import ClusterSpec
from tests.support.cluster import SMALL, Cluster, cluster, small_layout

LIMITED = ClusterSpec.from_plain(
    {
        "durability": {"survive": "node"},
        "postgres": {
            "parameters": {**SMALL, "max_wal_size": "16MB", "min_wal_size": "8MB"},
            "max_slot_wal_keep_size": "8MB",
        },
    }
)
"""A slot gives up once it would hold back more than is kept anyway (wal_keep_size, 128 MB)."""

FILL = "SELECT count(pg_logical_emit_message(true, 'fill', repeat('x', 1000000))) FROM generate_series(1, 20)"


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(small_layout((2, 1)), LIMITED) as made:
        yield made


def test_a_standby_whose_wal_is_gone_is_cloned_anew_by_itself(running: Cluster) -> None:
    """It says so meanwhile, nobody else is disturbed, and afterwards it has everything."""

    async def story() -> None:
        term, away = running.view.term, running.standbys[0]
        life = running.incarnation(away)
        async with running.writing():
            await running.more_writes()
            await running.power_cut(away)
            for _ in range(12):
                await running.value(running.primary, FILL)
                await running.value(running.primary, "SELECT pg_switch_wal()")
                await running.value(running.primary, "CHECKPOINT")
            await running.start(away)
            await running.until(
                lambda _: f"standby_not_streaming {away}" in running.reasons(),
                "it is said that it does not stream",
            )
            await running.until(lambda _: running.incarnation(away) not in {None, life}, "a new life")
            await running.until_well(term=term)

        kinds = [event.kind for event in await running.history()]
        assert "rebuild" in kinds
        assert running.view.term == term
        assert running.incarnation(away) != life

    running.run(story())
