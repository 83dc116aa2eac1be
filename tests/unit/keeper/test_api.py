"""What a keeper tells load balancers: 200 for what its PostgreSQL is good for now, 503 for all else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import aiohttp
import pytest

from common.errors import StoreUnavailable
from common.model.reports import KeeperReport
from common.runtime.http import http_server
from keeper.api import routes
from keeper.checks import check_routes
from keeper.peers import Peers
from keeper.readiness import Standing
from keeper.service import KeeperService
from tests.support.aio import run
from tests.support.builders import SANDUN_1, keeper

PRIMARY = Standing(
    state="running",
    role="primary",
    is_primary=True,
    is_replica=False,
    streams=False,
    is_sync=False,
    lag_bytes=None,
    why_not_primary="",
)
SYNC = Standing(
    state="running",
    role="standby",
    is_primary=False,
    is_replica=True,
    streams=True,
    is_sync=True,
    lag_bytes=20_000,
    why_not_primary="PostgreSQL is running as a standby",
)
ASYNC = replace(SYNC, is_sync=False)
ALONE = replace(SYNC, is_sync=False, streams=False, lag_bytes=None)
UNFENCED = replace(PRIMARY, is_primary=False, why_not_primary="nothing has proven it")
DOWN = replace(UNFENCED, state="down", role=None)

PATHS = ("primary", "replica", "read-only", "sync", "async", "standby-leader", "health", "readyz", "livez")


@dataclass
class Service:
    """As much of a keeper as these answers are made from."""

    standing: Standing

    view = None
    kept_view = None

    @property
    def readiness(self) -> Service:
        return self

    def now(self) -> Standing:
        return self.standing

    def report(self) -> KeeperReport:
        return keeper(SANDUN_1)


class NoStore:
    async def cluster(self) -> Any:
        raise StoreUnavailable("etcd did not answer")

    async def history(self) -> Any:
        return [[1, 7, "why", "", SANDUN_1]]


def ask(standing: Standing, *paths: str, method: str = "GET") -> dict[str, tuple[int, Any]]:
    async def story() -> dict[str, tuple[int, Any]]:
        service = cast("KeeperService", Service(standing))
        found = {}
        given = (*routes(service), *check_routes(service, cast("Peers", NoStore())))
        serving = http_server(given, host="127.0.0.1", port=0, setting="--api-port", problems=tuple)
        async with serving as url, aiohttp.ClientSession() as session:
            for path in paths:
                async with session.request(method, f"{url}/{path}") as answer:
                    body = await answer.json() if method == "GET" else await answer.read()
                    found[path] = (answer.status, body)
        return found

    return run(story())


@pytest.mark.parametrize(
    ("standing", "good"),
    [
        (PRIMARY, {"primary", "read-only", "health", "readyz"}),
        (SYNC, {"replica", "read-only", "sync", "health", "readyz"}),
        (ASYNC, {"replica", "read-only", "async", "health", "readyz"}),
        (ALONE, {"replica", "read-only", "async", "health"}),
        (UNFENCED, {"health"}),
        (DOWN, set()),
    ],
    ids=["primary", "sync", "async", "not streaming", "not fenced in", "down"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_server_is_offered_only_as_what_it_is_while_it_runs(
    standing: Standing, good: set[str], method: str
) -> None:
    """The keeper itself lives all the time; HAProxy asks by OPTIONS, others by GET or HEAD."""
    paths = [path for path in PATHS if path != "livez" or method != "OPTIONS"]
    found = ask(standing, *paths, method=method)

    assert {path for path, (code, _) in found.items() if code == 200} == {*good, "livez"} & {*paths}
    assert {code for code, _ in found.values()} <= {200, 503}


def test_other_names_of_a_path_say_the_same() -> None:
    """Checks were written for several releases of Patroni."""
    names = (
        "",
        "read-write",
        "leader",
        "master",
        "standby",
        "synchronous",
        "asynchronous",
        "liveness",
        "readiness",
    )
    found = ask(PRIMARY, *names)

    assert [code for code, _ in found.values()] == [200] * 4 + [503] * 3 + [200] * 2


@pytest.mark.parametrize(
    ("standing", "lag", "code"),
    [
        (SYNC, "20000", 200),
        (SYNC, "19999", 503),
        (SYNC, "16kB", 503),
        (SYNC, "1MB", 200),
        (ALONE, "1TB", 503),
        (SYNC, "-1", 400),
        (SYNC, "", 400),
        (SYNC, "5 parsecs", 400),
    ],
)
def test_a_standby_that_is_too_far_behind_or_of_whom_nobody_knows_is_not_offered(
    standing: Standing, lag: str, code: int
) -> None:
    """Bytes, or PostgreSQL's units; anything else is refused with field, value and rule."""
    paths = [f"{path}?lag={lag.replace(' ', '%20')}" for path in ("replica", "read-only")]
    found = ask(standing, *paths)

    assert [status for status, _ in found.values()] == [code, code]
    if code == 400:
        assert all(f"lag = {lag!r}: " in body["error"] for _, body in found.values())


def test_a_primary_is_never_behind() -> None:
    """Read-only clients may go to it, whatever lag they bear."""
    assert ask(PRIMARY, "read-only?lag=0")["read-only?lag=0"][0] == 200


def test_the_answer_says_why_it_is_no_primary() -> None:
    """An operator with curl sees what a balancer only counts."""
    _, body = ask(UNFENCED, "primary")["primary"]

    assert body["role"] == "primary"
    assert body["why_not_primary"] == "nothing has proven it"
    assert body["pgha"]["uid"] == SANDUN_1


def test_what_needs_the_store_fails_alone_when_it_is_away() -> None:
    """503 with the reason; the checks need no store."""
    found = ask(PRIMARY, "cluster", "history", "primary")

    assert found["cluster"] == (503, {"error": "etcd did not answer"})
    assert found["history"] == (200, [[1, 7, "why", "", SANDUN_1]])
    assert found["primary"][0] == 200
