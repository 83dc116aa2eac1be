"""One story of a cluster's life, on each other PostgreSQL that is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.model.wal import ZERO, Switch
from keeper.postgres.port import PromotionOrder
from tests.support.aio import LIMIT_S, run
from tests.support.postgres import BY_ITSELF, SPEC, other_versions, servers, sync_of


@pytest.mark.parametrize("bin_dir", other_versions(), ids=lambda path: path.parent.name)
def test_a_failover_and_the_old_primarys_return(bin_dir: Path) -> None:
    """Created, cloned, sync set applied, sealed, promoted over a gap, rewound, followed again."""

    async def story() -> None:
        async with servers(bin_dir) as group:
            one = await group.primary("one")
            two = group.make("two", empty=True)
            await one.server.keep_slots({two.name(1): ZERO}, drop_others=True)
            source = one.source_for(two, 1)
            await two.server.clone(source, two.life, SPEC, progress=lambda *_: None, timeout_s=60)
            await two.start(source=source)
            await one.server.apply_sync(sync_of(1, two), [BY_ITSELF, sync_of(1, two)], LIMIT_S)
            await one.value("CREATE TABLE t AS SELECT 1 AS id")
            await one.caught_up(two)
            final = await two.server.seal(LIMIT_S)
            await one.value("INSERT INTO t VALUES (2)")
            await one.server.kill()
            promoted = await two.server.promote(PromotionOrder(5, final.lsn, BY_ITSELF), LIMIT_S)
            await two.server.ensure_roles()
            await two.server.checkpoint(30)
            one.life = "0000f00d"
            await two.server.keep_slots({one.name(2): ZERO}, drop_others=True)
            await one.start()
            await one.server.seal(LIMIT_S)
            await one.server.stop("fast", LIMIT_S)
            back = two.source_for(one, 2)
            await one.server.rewind(back, one.life, SPEC, timeline=5, timeout_s=60)
            await one.start(source=back)
            await two.caught_up(one)
            seen = await one.server.observe()

            assert promoted.history == seen.history == (Switch(1, final.lsn),)
            assert seen.timeline == 5
            assert seen.receiver is not None
            assert await one.value("SELECT array_agg(id) FROM t") == [1]

    run(story())
