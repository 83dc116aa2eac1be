"""What a proxy answers over HTTP."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from common.runtime.http import json_response
from proxy.service import ProxyService


def routes(service: ProxyService) -> tuple[web.RouteDef, ...]:
    """``/status`` for people and programs, ``/readyz`` for load balancers: 200 while there is a route."""

    async def status(_: web.Request) -> web.Response:
        return json_response(service.status())

    async def readyz(_: web.Request) -> web.Response:
        decision = service.decision
        ready = decision.target is not None
        return json_response(
            {"ready": ready, "because": decision.parked_because},
            status=HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE,
        )

    return (web.get("/status", status), web.get("/readyz", readyz))
