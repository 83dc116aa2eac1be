"""One GET without a library."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from common.runtime.http import http_server, json_response
from common.runtime.http_get import HEAD_LIMIT_BYTES, get
from tests.support.aio import run
from tests.support.ports import free_port

LIMIT_BYTES = 1000


async def status(request: web.Request) -> web.Response:
    return json_response({"asked": request.path_qs, "host": request.host})


async def away(_: web.Request) -> web.Response:
    raise web.HTTPServiceUnavailable


async def moved(_: web.Request) -> web.Response:
    raise web.HTTPFound("/sandun-1/status")


async def huge(_: web.Request) -> web.Response:
    return web.Response(body=b"x" * (LIMIT_BYTES + HEAD_LIMIT_BYTES + 1))


ROUTES = (
    web.get("/", status),
    web.get("/sandun-1/status", status),
    web.get("/away", away),
    web.get("/moved", moved),
    web.get("/huge", huge),
)


def got(path: str) -> bytes:
    """The body that one of our own APIs answers with."""

    async def ask() -> bytes:
        async with http_server(
            ROUTES, host="127.0.0.1", port=free_port(), setting="port", problems=list
        ) as url:
            return await get(f"{url}{path}", limit_bytes=LIMIT_BYTES)

    return run(ask())


def answered(raw: bytes) -> bytes:
    """What is made of the bytes of some server."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()

    async def ask() -> bytes:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await get(f"http://127.0.0.1:{port}/status", limit_bytes=LIMIT_BYTES)

    return run(ask())


def test_the_body_of_the_answer_is_returned() -> None:
    """The whole path is asked for, with its query; the host is named."""
    body = got("/sandun-1/status?nonce=7")

    assert b'"asked": "/sandun-1/status?nonce=7"' in body
    assert b'"host": "127.0.0.1:' in body
    assert b'"asked": "/"' in got("")


@pytest.mark.parametrize(("path", "said"), [("/away", "503"), ("/moved", "302"), ("/nothing", "404")])
def test_any_other_status_is_no_answer(path: str, said: str) -> None:
    """Nobody is redirected."""
    with pytest.raises(ValueError, match=said):
        got(path)


def test_an_answer_that_is_too_long_is_given_up() -> None:
    """Whoever answers must not fill our memory."""
    with pytest.raises(ValueError, match="longer than 1000 bytes"):
        got("/huge")


@pytest.mark.parametrize("raw", [b"", b"220 smtp ready\r\n", b"<html>\r\n\r\n"])
def test_what_is_not_http_is_no_answer(raw: bytes) -> None:
    """Another program listens at that port."""
    with pytest.raises(ValueError, match="it answers"):
        answered(raw)


def test_an_answer_of_http_1_0_is_one() -> None:
    """Some servers answer in the version in which they are asked."""
    assert answered(b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n{}") == b"{}"


def test_nobody_there_is_an_os_error() -> None:
    """As with any other client."""
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        run(get(f"http://127.0.0.1:{free_port()}/status", limit_bytes=LIMIT_BYTES))


@pytest.mark.parametrize("url", ["https://sandun-1:7431/status", "sandun-1:7431", "http://", ""])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    """The rule is named."""
    with pytest.raises(ValueError, match="must be a URL like"):
        run(get(url, limit_bytes=LIMIT_BYTES))
