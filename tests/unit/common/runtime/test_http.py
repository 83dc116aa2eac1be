"""What the HTTP APIs answer, refuse, and how one asks them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from common.errors import CannotListen, PeerUnavailable
from common.runtime import http
from common.runtime.http import get_json, http_server, json_response
from tests.support.aio import LIMIT_S, run
from tests.support.ports import free_port


async def status(request: web.Request) -> web.Response:
    return json_response({"role": "primary", "nonce": request.query.get("nonce")})


async def echo(request: web.Request) -> web.Response:
    return json_response({"length": len(await request.read())})


async def breaks(_: web.Request) -> web.Response:
    raise RuntimeError("password=hunter2")


async def slow(_: web.Request) -> web.Response:
    await asyncio.sleep(60)
    raise AssertionError("was not ended")


async def huge(_: web.Request) -> web.Response:
    return json_response("x" * (http.ANSWER_LIMIT_BYTES + 1))


async def no_json(_: web.Request) -> web.Response:
    return web.Response(text="<html>")


async def moved(_: web.Request) -> web.Response:
    raise web.HTTPFound("/status")


ROUTES = (
    web.get("/status", status),
    web.post("/echo", echo),
    web.get("/breaks", breaks),
    web.get("/slow", slow),
    web.get("/huge", huge),
    web.get("/no-json", no_json),
    web.get("/moved", moved),
)


@asynccontextmanager
async def serving(*problems: str, port: int = 0) -> AsyncIterator[str]:
    async with http_server(
        ROUTES, host="127.0.0.1", port=port, setting="--api-port", problems=lambda: problems
    ) as url:
        yield url


async def ask(url: str, *, method: str = "GET", data: bytes | None = None) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.request(method, url, data=data) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.status, await answer.json()


def test_it_serves_its_routes_at_the_url_that_it_says() -> None:
    """Port 0 becomes a real one there."""

    async def main() -> Any:
        async with serving() as url:
            return await get_json(f"{url}/status", timeout_s=LIMIT_S, query={"nonce": "a b"})

    assert run(main()) == {"role": "primary", "nonce": "a b"}


def test_health_is_said_with_status_and_reasons() -> None:
    """200 without problems, 503 with them."""

    async def main(*problems: str) -> tuple[int, Any]:
        async with serving(*problems) as url:
            return await ask(f"{url}/healthz")

    assert run(main()) == (200, {"healthy": True, "problems": []})
    assert run(main("the loop stands")) == (503, {"healthy": False, "problems": ["the loop stands"]})


@pytest.mark.parametrize(
    ("path", "method", "code", "says"),
    [
        ("/nothing", "GET", 404, "Not Found"),
        ("/status", "DELETE", 405, "Method Not Allowed"),
        ("/breaks", "GET", 500, "our fault"),
    ],
)
def test_errors_are_json(path: str, method: str, code: int, says: str) -> None:
    """One field says what is wrong; of our own mistakes only the log knows more."""

    async def main() -> tuple[int, Any]:
        async with serving() as url:
            return await ask(f"{url}{path}", method=method)

    with capture_logs() as logs:
        got, answer = run(main())

    assert got == code
    assert says in answer["error"]
    assert "hunter2" not in answer["error"]
    assert [line["event"] for line in logs] == (["request_failed"] if code == 500 else [])


def test_a_body_beyond_the_limit_is_refused() -> None:
    """One at the limit is taken."""

    async def main() -> tuple[tuple[int, Any], tuple[int, Any]]:
        async with serving() as url:
            return (
                await ask(f"{url}/echo", method="POST", data=b"x" * http.BODY_LIMIT_BYTES),
                await ask(f"{url}/echo", method="POST", data=b"x" * (http.BODY_LIMIT_BYTES + 1)),
            )

    taken, (code, answer) = run(main())

    assert taken == (200, {"length": http.BODY_LIMIT_BYTES})
    assert code == 413
    assert "error" in answer


def test_headers_beyond_the_limit_are_refused() -> None:
    """Before anything is made of them."""

    async def main() -> int:
        async with (
            serving() as url,
            aiohttp.ClientSession() as session,
            session.get(f"{url}/status", headers={"X-Long": "x" * 20_000}) as answer,
        ):
            return answer.status

    assert run(main()) == 400


def test_a_request_that_takes_too_long_is_answered_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler is ended."""
    monkeypatch.setattr(http, "REQUEST_TIMEOUT_S", 0.05)

    async def main() -> tuple[int, Any]:
        async with serving() as url:
            return await ask(f"{url}/slow")

    with capture_logs() as logs:
        assert run(main()) == (504, {"error": "no answer within 0.05 s"})

    assert logs[0]["event"] == "request_timed_out"


@pytest.mark.parametrize("sent", [b"", b"GET /status HTTP/1.1\r\nHost: x\r\n"])
def test_a_client_that_does_not_finish_its_headers_is_let_go(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """Whether it began them or not: it holds a connection for a limited time."""
    monkeypatch.setattr(http, "HEADER_TIMEOUT_S", 0.1)

    async def main() -> bytes:
        port = free_port()
        async with serving(port=port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            async with asyncio.timeout(LIMIT_S):
                received = await reader.read()
            writer.close()
            return received

    assert run(main()) == b""


def test_a_port_in_use_is_named_with_its_setting() -> None:
    """And with the reason."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        async def main() -> None:
            async with serving(port=port):
                raise AssertionError("it listens")

        with pytest.raises(CannotListen) as caught:
            run(main())

    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1 port {port}: another program listens there already; "
        "choose another with --api-port"
    )


@pytest.mark.parametrize(
    ("host", "why"),
    [("192.0.2.1", "this machine has no such address"), ("no-such-host.invalid", "the name is not known")],
)
def test_an_address_that_is_not_ours_is_named(host: str, why: str) -> None:
    """With what is wrong with it."""

    async def main() -> None:
        async with http_server((), host=host, port=0, setting="--api-host", problems=tuple):
            raise AssertionError("it listens")

    with pytest.raises(CannotListen, match=why):
        run(main())


def test_the_port_is_free_again_after_the_end() -> None:
    """Idle connections do not hold it up."""
    port = free_port()

    async def main() -> None:
        for _ in range(2):
            async with (
                serving(port=port) as url,
                aiohttp.ClientSession() as session,
                session.get(f"{url}/healthz") as answer,
            ):
                assert answer.status == 200

    run(main())


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/nothing", "HTTP status 404"),
        ("/moved", "HTTP status 302"),
        ("/slow", "no answer within 0.2 s"),
        ("/huge", "longer than"),
        ("/no-json", "Expecting value"),
    ],
)
def test_an_answer_that_is_of_no_use_is_one_error(
    path: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the URL and what was wrong."""
    monkeypatch.setattr(http, "END_TIMEOUT_S", 0.1)

    async def main() -> None:
        async with serving() as url:
            await get_json(f"{url}{path}", timeout_s=0.2 if path == "/slow" else LIMIT_S)

    with pytest.raises(PeerUnavailable, match=says) as caught:
        run(main())

    assert path in str(caught.value)


def test_nobody_there_is_the_same_error() -> None:
    """A refused connection, and a URL that is none."""
    port = free_port()

    for url in (f"http://127.0.0.1:{port}/", "nonsense"):
        with pytest.raises(PeerUnavailable):
            run(get_json(url, timeout_s=LIMIT_S))


def test_answers_are_plain_json() -> None:
    """Nobody keeps them."""
    answer = json_response({"a": 1})

    assert json.loads(answer.text or "") == {"a": 1}
    assert answer.headers["Cache-Control"] == "no-store"
