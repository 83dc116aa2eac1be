"""``/api/v1/requests``: what operators ask for, at any sentinel; a follower's answer is as good.

A request is only a write of the store. Until the API knows who asks, it takes one from this host alone, and
from no page in a browser there: browsers name the page's origin with each POST and DELETE.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from pydantic import AwareDatetime, ConfigDict, Field, ValidationError

from common.errors import Conflict, InvalidDocument, StoreUnavailable, UnsafeOperation
from common.model.base import Value, describe
from common.model.requests import AnyOperation, Request
from common.runtime.clock import Clock
from common.runtime.http import json_response
from common.runtime.ids import new_id
from common.status.documents import Documents
from common.store.requests import NoSuchRequest, RequestStore
from sentinel.decide.preview import preview

PATH: Final = "/api/v1/requests"

BODY_LIMIT_BYTES: Final = 16 * 1024

Handler = Callable[[web.Request], Coroutine[Any, Any, web.Response]]


class Draft(Value):
    """The body of a POST. ``id`` may be given, so that the same request can be sent again without harm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operation: AnyOperation
    by: str
    id: str = Field(default_factory=new_id)
    not_before: AwareDatetime | None = None
    dry_run: bool = False


def routes(requests: RequestStore, clock: Clock, documents: Callable[[], Documents]) -> list[web.RouteDef]:
    """GET all or one, POST a new one (``dry_run``: only what it would do), DELETE to cancel one."""

    async def ask(http: web.Request) -> web.Response:
        draft = await _draft(http)
        seen = documents()
        if seen.view is None:
            raise web.HTTPServiceUnavailable(text="this sentinel has not read a view of the cluster yet")
        now = clock.wall()
        try:
            request = Request(
                id=draft.id,
                by=draft.by,
                at=now,
                term=seen.view.term,
                operation=draft.operation,
                not_before=draft.not_before,
            )
        except ValidationError as error:
            raise web.HTTPBadRequest(text=describe(error)) from error
        if draft.dry_run:
            plan = preview(seen, request.operation, now)
            return json_response(
                {"will": plan.will, "refused": plan.refused, "already": plan.already, "harms": plan.harms}
            )
        created = await requests.create(request)
        return _answer(created, HTTPStatus.ACCEPTED)

    async def everything(_: web.Request) -> web.Response:
        return json_response({"requests": [_plain(each) for each in await requests.all()]})

    async def one(http: web.Request) -> web.Response:
        return _answer(await requests.get(http.match_info["id"]))

    async def cancel(http: web.Request) -> web.Response:
        by = http.query.get("by", "")
        if not by:
            raise web.HTTPBadRequest(text="by = '': who cancels it is needed, as ?by=NAME")
        return _answer(await requests.cancel(http.match_info["id"], by=by, at=clock.wall()))

    return [
        web.post(PATH, _guarded(_local(ask))),
        web.get(PATH, _guarded(everything)),
        web.get(PATH + "/{id}", _guarded(one)),
        web.delete(PATH + "/{id}", _guarded(_local(cancel))),
    ]


async def _draft(http: web.Request) -> Draft:
    if http.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(
            text=f"Content-Type = {http.content_type!r}: must be application/json"
        )
    raw = await http.read()
    if len(raw) > BODY_LIMIT_BYTES:
        raise web.HTTPRequestEntityTooLarge(
            BODY_LIMIT_BYTES, len(raw), text=f"the body is longer than {BODY_LIMIT_BYTES} bytes"
        )
    try:
        return Draft.model_validate_json(raw)
    except ValidationError as error:
        raise web.HTTPBadRequest(text=describe(error)) from error


def _plain(request: Request) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(request.to_bytes())
    return plain


def _answer(request: Request, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return json_response(_plain(request), status=status)


def _local(handler: Handler) -> Handler:
    """Refuse who does not ask from this host."""

    async def checked(http: web.Request) -> web.Response:
        try:
            is_local = ipaddress.ip_address(http.remote or "").is_loopback
        except ValueError:
            is_local = False
        if not is_local:
            raise web.HTTPForbidden(text="requests are taken from this host alone: run pgha here, or by etcd")
        if "Origin" in http.headers:
            raise web.HTTPForbidden(text="requests are not taken from pages in a browser")
        return await handler(http)

    return checked


def _guarded(handler: Handler) -> Handler:
    """Say what went wrong with a status of its own."""

    async def checked(http: web.Request) -> web.Response:
        try:
            return await handler(http)
        except NoSuchRequest as error:
            raise web.HTTPNotFound(text=str(error)) from error
        except (UnsafeOperation, Conflict) as error:
            raise web.HTTPConflict(text=str(error)) from error
        except InvalidDocument as error:
            raise web.HTTPUnprocessableEntity(text=str(error)) from error
        except StoreUnavailable as error:
            raise web.HTTPServiceUnavailable(text=f"the store does not answer: {error}") from error

    return checked
