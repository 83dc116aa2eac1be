"""What a keeper tells load balancers: 200 for what its PostgreSQL is now, 503 for all else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import pytest

from common.model.reports import KeeperReport
from common.runtime.http import http_server
from keeper.api import routes
from keeper.service import KeeperService
from tests.support.aio import run
from tests.support.builders import SANDUN_1, SHIQIAO_1, keeper


@dataclass
class Reporting:
    """As much of a keeper as these answers are made from."""

    said: KeeperReport

    def report(self) -> KeeperReport:
        return self.said


def codes(report: KeeperReport) -> dict[str, int]:
    async def ask() -> dict[str, int]:
        service = cast("KeeperService", Reporting(report))
        serving = http_server(
            routes(service), host="127.0.0.1", port=0, setting="--api-port", problems=lambda: ()
        )
        found = {}
        async with serving as url, aiohttp.ClientSession() as session:
            for path in ("primary", "standby", "healthz"):
                async with session.get(f"{url}/{path}") as answer:
                    found[path] = answer.status
        return found

    return run(ask())


@pytest.mark.parametrize(
    ("uid", "fields", "primary", "standby"),
    [
        (SANDUN_1, {}, 200, 503),
        (SHIQIAO_1, {}, 503, 200),
        (SANDUN_1, {"state": "stopping"}, 503, 503),
        (SHIQIAO_1, {"state": "starting", "role": None}, 503, 503),
        (SHIQIAO_1, {"state": "down", "role": None}, 503, 503),
    ],
    ids=["primary", "standby", "stopping", "starting", "down"],
)
def test_a_server_is_offered_only_as_what_it_is_while_it_runs(
    uid: str, fields: dict[str, Any], primary: int, standby: int
) -> None:
    """The keeper itself is healthy all the time: it does its work whatever PostgreSQL does."""
    found = codes(keeper(uid, **fields))

    assert found == {"primary": primary, "standby": standby, "healthz": 200}
