"""What a keeper answers over HTTP."""

from __future__ import annotations

import json
from http import HTTPStatus

from aiohttp import web

from common.errors import PostgresUnavailable
from common.runtime.http import json_response
from keeper.service import KeeperService


def routes(service: KeeperService) -> tuple[web.RouteDef, ...]:
    """``/status`` with the figures of this moment; ``/primary`` and ``/standby`` for load balancers."""

    async def status(_: web.Request) -> web.Response:
        problem = ""
        try:
            await service.look_now()
        except PostgresUnavailable as error:
            problem = str(error)
        report = service.report()
        return json_response(
            {
                "uid": report.uid,
                "state": report.state,
                "role": report.role,
                "timeline": report.timeline,
                "lsn": str(report.lsn),
                "lag_s": service.replay_delay_s,
                "problem": problem,
                "reasons": [reason.model_dump(mode="json") for reason in report.reasons],
                "report": json.loads(report.to_bytes()),
            }
        )

    def answers_when(role: str) -> web.RouteDef:
        async def is_role(_: web.Request) -> web.Response:
            report = service.report()
            good = report.state == "running" and report.role == role
            return json_response(
                {"uid": report.uid, "state": report.state, "role": report.role},
                status=HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE,
            )

        return web.get(f"/{role}", is_role)

    return (web.get("/status", status), answers_when("primary"), answers_when("standby"))
