"""What a sentinel answers over HTTP."""

from __future__ import annotations

import json

from aiohttp import web

from common.runtime.http import json_response
from sentinel.service import SentinelService


def routes(service: SentinelService) -> tuple[web.RouteDef, ...]:
    """``/status``: who leads, the view, and why things are as they are."""

    async def status(_: web.Request) -> web.Response:
        documents = service.documents()
        leadership = service.leadership()
        said = documents.reasons
        return json_response(
            {
                "report": json.loads(service.report(documents, leadership).to_bytes()),
                "leader": leadership.leader_uid,
                "view": json.loads(documents.view.to_bytes()) if documents.view else None,
                "reasons": [reason.model_dump(mode="json") for reason in said.reasons] if said else [],
            }
        )

    return (web.get("/status", status),)
