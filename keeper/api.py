"""What a keeper answers over HTTP."""

from __future__ import annotations

import json
from typing import Any, Final

from aiohttp import web
from pydantic import ValidationError

from common.errors import PostgresUnavailable, UnsafeOperation
from common.model.base import describe
from common.model.spec import PostgresSpec
from common.runtime.http import json_response
from keeper.examiner import NAMES_LIMIT
from keeper.service import KeeperService

NONCE_LIMIT: Final = 100


def what_is_kept(service: KeeperService) -> dict[str, Any]:
    """The report of this moment, and the newest view obeyed, as ``/kept`` shows them."""
    view = service.kept_view
    return {
        "report": json.loads(service.report().to_bytes()),
        "view": json.loads(view.to_bytes()) if view is not None else None,
    }


def routes(service: KeeperService) -> tuple[web.RouteDef, ...]:
    """``/status`` with the figures of this moment; what load balancers ask stands in :mod:`keeper.checks`.

    ``/kept``, without a word of PostgreSQL: the report and the newest view obeyed, for a restored store.
    ``/examine?names=A,B``, what ``pgha doctor`` and ``pgha spec`` ask of the host and its server; ``POST
    /judge``, what PostgreSQL finds wrong with ``postgres`` of a spec that nobody has written yet.
    ``/attestation?nonce=N`` proves to a proxy without the store that this primary is still the only one.
    """

    async def status(_: web.Request) -> web.Response:
        problem, received = "", service.report().reported_at
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
                "received": received.isoformat(),
                "wall": report.reported_at.isoformat(),
                "problem": problem,
                "reasons": [reason.model_dump(mode="json") for reason in report.reasons],
                "report": json.loads(report.to_bytes()),
            }
        )

    async def kept(_: web.Request) -> web.Response:
        return json_response(what_is_kept(service))

    async def attestation(request: web.Request) -> web.Response:
        nonce = request.query.get("nonce", "")
        if not 1 <= len(nonce) <= NONCE_LIMIT:
            raise web.HTTPBadRequest(text=f"nonce = {nonce[:8]!r}: 1 to {NONCE_LIMIT} characters are needed")
        try:
            attested = await service.attestation(nonce)
        except (PostgresUnavailable, UnsafeOperation) as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        return json_response(attested.model_dump(mode="json"))

    return (
        web.get("/status", status),
        web.get("/kept", kept),
        _examine(service),
        _judge(service),
        web.get("/attestation", attestation),
    )


def _judge(service: KeeperService) -> web.RouteDef:
    async def judge(request: web.Request) -> web.Response:
        try:
            spec = PostgresSpec.model_validate_json(await request.read())
        except ValidationError as error:
            raise web.HTTPBadRequest(text=describe(error)) from error
        return json_response((await service.examiner.judge(spec)).model_dump(mode="json"))

    return web.post("/judge", judge)


def _examine(service: KeeperService) -> web.RouteDef:
    async def examine(request: web.Request) -> web.Response:
        names = [name for name in request.query.get("names", "").split(",") if name]
        if len(names) > NAMES_LIMIT:
            raise web.HTTPBadRequest(text=f"names = {len(names)} names: at most {NAMES_LIMIT} at a time")
        return json_response((await service.examiner.examine(names)).model_dump(mode="json"))

    return web.get("/examine", examine)
