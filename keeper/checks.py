"""The paths and codes that load balancers, Kubernetes and Consul checks written for Patroni expect.

Each answers 200 or 503 to GET, HEAD and OPTIONS, with the same document. Source: Patroni's documentation,
"Patroni REST API", "Health check endpoints"; where pgha means something else :mod:`keeper.readiness` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from common.errors import StoreUnavailable
from common.model.units import parse_size
from common.runtime.http import json_response
from keeper.peers import Peers
from keeper.readiness import Standing
from keeper.service import KeeperService

Test = Callable[[Standing], bool]

PRIMARY: Final = ("/", "/primary", "/read-write", "/leader", "/master")
REPLICA: Final = ("/replica", "/standby")
READ_ONLY: Final = ("/read-only",)
SYNC: Final = ("/sync", "/synchronous")
ASYNC: Final = ("/async", "/asynchronous")
STANDBY_LEADER: Final = ("/standby-leader", "/standby_leader")


def check_routes(service: KeeperService, peers: Peers) -> tuple[web.RouteDef, ...]:
    """All of them; ``lag`` may be given where standbys are asked for: bytes, or with kB, MB or GB."""

    def checks(paths: tuple[str, ...], test: Test) -> list[web.RouteDef]:
        async def check(request: web.Request) -> web.Response:
            limit_bytes = _lag_limit(request)
            now = service.readiness.now()
            good = test(now) and (now.is_primary or _within(now, limit_bytes))
            status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
            return json_response(_document(service, now), status=status)

        return [web.route(method, path, check) for path in paths for method in ("GET", "OPTIONS")]

    async def cluster(_: web.Request) -> web.Response:
        return json_response(await _from_store(peers.cluster))

    async def history(_: web.Request) -> web.Response:
        return json_response(await _from_store(peers.history))

    return (
        *checks(PRIMARY, lambda now: now.is_primary),
        *checks(REPLICA, lambda now: now.is_replica),
        *checks(READ_ONLY, lambda now: now.is_replica or now.is_primary),
        *checks(SYNC, lambda now: now.is_sync),
        *checks(ASYNC, lambda now: now.is_replica and not now.is_sync),
        *checks(STANDBY_LEADER, lambda _: False),  # there are no standby clusters in this release
        *checks(("/health",), lambda now: now.state == "running"),
        *checks(("/readyz", "/readiness"), lambda now: now.is_ready),
        web.get("/cluster", cluster),
        web.get("/history", history),
    )


def _within(now: Standing, limit_bytes: int | None) -> bool:
    """Whether a standby is no farther behind; how far is not known while it does not stream."""
    return limit_bytes is None or (now.lag_bytes is not None and now.lag_bytes <= limit_bytes)


def _lag_limit(request: web.Request) -> int | None:
    text = request.query.get("lag")
    if text is None:
        return None
    try:
        limit_bytes = int(text) if text.isascii() and text.isdigit() else parse_size(text)
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"lag = {text[:40]!r}: {error}, or a number of bytes") from error
    return limit_bytes


def _document(service: KeeperService, now: Standing) -> dict[str, Any]:
    report = service.report()
    view = service.view or service.kept_view
    return {
        "state": now.state,
        "role": now.role,
        "primary": now.is_primary,
        "why_not_primary": now.why_not_primary,
        "streams": now.streams,
        "sync": now.is_sync,
        "lag_bytes": now.lag_bytes,
        "timeline": report.timeline,
        "lsn": str(report.lsn),
        "server_version": report.postgres_version,
        "database_system_identifier": report.system_identifier,
        "term": view.term if view is not None else None,
        "pgha": {"uid": report.uid, "site": report.site, "version": report.version},
    }


async def _from_store(ask: Callable[[], Any]) -> Any:
    try:
        return await ask()
    except StoreUnavailable as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from error
