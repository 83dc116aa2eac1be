"""The HTTP APIs of the services, and how to ask one.

Every limit is explicit: the size of a request, of its headers and of an answer; how long a client may
take to send its headers, and a request to be answered. Errors are JSON, as answers are.
"""

from __future__ import annotations

import asyncio
import errno
import json
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from common.errors import CannotListen, PeerUnavailable
from common.runtime.tail import LogTail

BODY_LIMIT_BYTES: Final = 64 * 1024
HEADER_LIMIT_BYTES: Final = 8 * 1024
HEADER_TIMEOUT_S: Final = 10.0
"""Also how long a connection may be idle between two requests."""
REQUEST_TIMEOUT_S: Final = 10.0
HEALTH_PATHS: Final = ("/livez", "/liveness", "/healthz", "/health", "/readyz")
END_TIMEOUT_S: Final = 2.0
ANSWER_LIMIT_BYTES: Final = 1024 * 1024

_log = structlog.get_logger()


@asynccontextmanager
async def http_server(
    routes: Iterable[web.RouteDef],
    *,
    host: str,
    port: int,
    setting: str,
    problems: Callable[[], Sequence[str]],
) -> AsyncIterator[str]:
    """Serve the routes within the context; yields the URL at which they are.

    ``/livez``, ``/healthz``, ``/health`` and ``/readyz`` say whether this process is well, unless the routes
    have their own.

    ``problems`` says what is wrong with this process now, nothing for healthy (503 or 200).
    ``setting`` names the flag of the port for the message of CannotListen.
    """

    async def healthz(_: web.Request) -> web.Response:
        found = list(problems())
        status = HTTPStatus.SERVICE_UNAVAILABLE if found else HTTPStatus.OK
        return json_response({"healthy": not found, "problems": found}, status=status)

    application = web.Application(middlewares=[_bounded], client_max_size=BODY_LIMIT_BYTES)
    given = list(routes)
    taken = {route.path for route in given}
    application.add_routes([*given, *(web.get(path, healthz) for path in HEALTH_PATHS if path not in taken)])
    runner = web.AppRunner(
        application,
        access_log=None,
        keepalive_timeout=HEADER_TIMEOUT_S,
        max_line_size=HEADER_LIMIT_BYTES,
        max_field_size=HEADER_LIMIT_BYTES,
        shutdown_timeout=END_TIMEOUT_S,
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise cannot_listen(host, port, setting, error) from error
        bound = runner.addresses[0][1]
        yield str(URL.build(scheme="http", host=host, port=bound))
    finally:
        await runner.cleanup()


def log_route(tail: LogTail) -> web.RouteDef:
    """``/log?after=N``: the newest lines of this process's log after number N, oldest first."""

    async def log(request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        if not re.fullmatch(r"[0-9]{1,18}", after):
            raise web.HTTPBadRequest(text=f"after = {after[:20]!r}: must be the number of a line, 0 or more")
        return json_response(tail.since(int(after)))

    return web.get("/log", log)


def json_response(content: object, *, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """An answer that nobody keeps: it is true now."""
    return web.json_response(content, status=status, headers={"Cache-Control": "no-store"})


@web.middleware
async def _bounded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer within the limit, and answer errors as JSON."""
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return _error(HTTPStatus(error.status), error.text or error.reason)
    except TimeoutError:
        _log.warning("request_timed_out", path=request.path, limit_s=REQUEST_TIMEOUT_S)
        return _error(HTTPStatus.GATEWAY_TIMEOUT, f"no answer within {REQUEST_TIMEOUT_S:g} s")
    except Exception:  # noqa: BLE001 - one broken answer must not end the server; it is logged
        _log.exception("request_failed", path=request.path)
        return _error(HTTPStatus.INTERNAL_SERVER_ERROR, "this is our fault; the log says more")


def _error(status: HTTPStatus, text: str) -> web.Response:
    return json_response({"error": text}, status=status)


def cannot_listen(host: str, port: int, setting: str, error: OSError) -> CannotListen:
    """Say which address cannot be bound, why, and which setting changes it."""
    if error.errno == errno.EADDRINUSE:
        why = "another program listens there already"
    elif error.errno == errno.EADDRNOTAVAIL:
        why = "this machine has no such address"
    elif error.errno == errno.EACCES:
        why = "this user may not listen on that port"
    elif isinstance(error, socket.gaierror):
        why = "the name is not known"
    else:
        why = str(error)
    return CannotListen(f"cannot listen on {host} port {port}: {why}; choose another with {setting}")


async def get_json(url: str, *, timeout_s: float, query: Mapping[str, str] | None = None) -> Any:
    """Ask once and return the parsed answer; raises PeerUnavailable, whatever went wrong."""
    status, answer = await call_json("GET", url, timeout_s=timeout_s, query=query)
    if status != HTTPStatus.OK:
        raise PeerUnavailable(f"{url}: HTTP status {status}")
    return answer


async def call_json(
    method: str, url: str, *, timeout_s: float, query: Mapping[str, str] | None = None, body: Any = None
) -> tuple[int, Any]:
    """Call once and return the status and the parsed answer, be it an error.

    Raises PeerUnavailable when there is no answer in time, or none that is JSON.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session,
            session.request(method, url, params=query, json=body, allow_redirects=False) as response,
        ):
            raw = await _read(response)
            try:
                return response.status, json.loads(raw)
            except ValueError:
                if response.status == HTTPStatus.OK:
                    raise
                return response.status, None
    except TimeoutError as error:
        raise PeerUnavailable(f"{url}: no answer within {timeout_s:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise PeerUnavailable(f"{url}: {error}") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    read = bytearray()
    async for piece in response.content.iter_chunked(64 * 1024):
        read += piece
        if len(read) > ANSWER_LIMIT_BYTES:
            raise ValueError(f"the answer is longer than {ANSWER_LIMIT_BYTES} bytes")
    return bytes(read)
