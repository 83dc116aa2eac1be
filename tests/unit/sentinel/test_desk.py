"""The sentinel's API for requests, over HTTP, on a store in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from common.model.keys import Keys
from common.model.requests import OPEN_LIMIT, Pause, Request
from common.runtime.clock import SystemClock
from common.runtime.http import http_server
from common.status.documents import Documents
from common.store.memory import MemoryEtcd, MemoryStore
from common.store.port import Put
from common.store.requests import RequestStore
from sentinel.desk import BODY_LIMIT_BYTES, PATH, routes
from tests.support import healthy
from tests.support.aio import run

KEYS = Keys("demo")
PAUSE = {"operation": {"kind": "pause"}, "by": "anna"}


@dataclass
class Desk:
    """One sentinel's desk and a client of it."""

    server: MemoryEtcd
    store: MemoryStore
    session: aiohttp.ClientSession
    url: str

    async def call(self, method: str, path: str = "", **options: Any) -> tuple[int, Any]:
        async with self.session.request(method, f"{self.url}{PATH}{path}", **options) as answer:
            return answer.status, json.loads(await answer.read())

    def stored(self) -> list[Request]:
        return [Request.from_bytes(item.value) for item in self.server.items(KEYS.requests)]


def at_a_desk(story: Callable[[Desk], Coroutine[Any, Any, None]], documents: Documents | None = None) -> None:
    async def main() -> None:
        clock = SystemClock()
        server = MemoryEtcd(clock)
        store = MemoryStore(server, timeout_s=0.1)
        found = documents or healthy.documents()
        desk = routes(RequestStore(store, KEYS), clock, lambda: found)
        serving = http_server(desk, host="127.0.0.1", port=0, setting="--api-port", problems=lambda: ())
        async with serving as url, aiohttp.ClientSession() as session:
            await story(Desk(server, store, session, url))

    run(main())


def test_a_request_is_handed_in_looked_at_and_taken_back() -> None:
    """It stands in the store with the term that this sentinel sees."""

    async def story(desk: Desk) -> None:
        status, made = await desk.call("POST", json=PAUSE)
        (stored,) = desk.stored()
        _, seen = await desk.call("GET", f"/{stored.id}")
        _, listed = await desk.call("GET")
        taken, back = await desk.call("DELETE", f"/{stored.id}", params={"by": "ben"})

        assert (status, taken) == (202, 200)
        assert (stored.kind, stored.by, stored.term) == ("pause", "anna", healthy.TERM)
        assert made == seen == listed["requests"][0]
        assert back["cancel"]["by"] == "ben"

    at_a_desk(story)


def test_the_same_request_can_be_sent_again() -> None:
    """By whoever had no answer; another one under its id is a conflict."""

    async def story(desk: Desk) -> None:
        first = await desk.call("POST", json={**PAUSE, "id": "mine"})
        second = await desk.call("POST", json={**PAUSE, "id": "mine"})
        status, said = await desk.call("POST", json={**PAUSE, "id": "mine", "by": "ben"})

        assert first == second
        assert (status, len(desk.stored())) == (409, 1)
        assert "mine" in said["error"]

    at_a_desk(story)


def test_a_dry_run_says_what_would_be_done_and_writes_nothing() -> None:
    """By the leader's own rules, at any sentinel."""

    async def story(desk: Desk) -> None:
        status, plan = await desk.call("POST", json={**PAUSE, "dry_run": True})

        assert status == 200
        assert plan["will"]
        assert plan["harms"] is True
        assert desk.stored() == []

    at_a_desk(story)


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
        ({"data": json.dumps(PAUSE), "headers": {"Content-Type": "text/plain"}}, 415, "application/json"),
        ({"json": {"by": "anna"}}, 400, "operation"),
        ({"json": {**PAUSE, "by": ""}}, 400, "by"),
        ({"json": {**PAUSE, "operation": {"kind": "explode"}}}, 400, "explode"),
        ({"json": {**PAUSE, "operation": {"kind": "pause", "for": "ever"}}}, 400, "unknown field"),
        ({"json": {**PAUSE, "state": "done"}}, 400, "state"),
        ({"json": {**PAUSE, "id": "../view"}}, 400, "id"),
        ({"json": {**PAUSE, "not_before": "2026-01-01T00:00:00"}}, 400, "not_before"),
        ({"json": {**PAUSE, "by": "x" * (BODY_LIMIT_BYTES + 1)}}, 413, "longer than"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_no_request_is_refused_with_the_field_and_the_rule(
    options: dict[str, Any], status: int, says: str
) -> None:
    """And nothing is written."""

    async def story(desk: Desk) -> None:
        answered, said = await desk.call("POST", **options)

        assert answered == status
        assert says in said["error"]
        assert desk.stored() == []

    at_a_desk(story)


def test_what_is_not_there_has_ended_or_cannot_be_read_has_a_status_of_its_own() -> None:
    """404, 409, 422; and who takes back must say who he is."""

    async def story(desk: Desk) -> None:
        over = Request(id="over", by="anna", at=healthy.NOW, term=4, operation=Pause())
        ended = over.ended("done", "", healthy.NOW)
        desk.server.transact(
            [], [Put(KEYS.request("over"), ended.to_bytes()), Put(KEYS.request("bad"), b"{")]
        )
        by = {"by": "ben"}

        assert (await desk.call("GET", "/none"))[0] == 404
        assert (await desk.call("DELETE", "/none", params=by))[0] == 404
        assert (await desk.call("DELETE", "/over", params=by))[0] == 409
        assert (await desk.call("DELETE", "/over"))[0] == 400
        assert (await desk.call("GET", "/bad"))[0] == 422
        assert (await desk.call("DELETE", "/bad", params=by))[0] == 422
        assert [each.id for each in desk.stored()] == ["over"]

    at_a_desk(story)


def test_a_page_in_a_browser_asks_for_nothing() -> None:
    """It could be anybody's page, seen by a person on the sentinel's host."""

    async def story(desk: Desk) -> None:
        headers = {"Origin": "http://127.0.0.1:7433"}
        posted, said = await desk.call("POST", json=PAUSE, headers=headers)
        await desk.call("POST", json={**PAUSE, "id": "mine"})
        deleted, _ = await desk.call("DELETE", "/mine", params={"by": "ben"}, headers=headers)

        assert (posted, deleted) == (403, 403)
        assert "browser" in said["error"]
        assert [each.cancel for each in desk.stored()] == [None]

    at_a_desk(story)


def test_too_many_open_requests_and_a_silent_store_are_said() -> None:
    """409 and 503; nothing is lost or done twice."""

    async def story(desk: Desk) -> None:
        for _ in range(OPEN_LIMIT):
            await desk.call("POST", json=PAUSE)
        full = await desk.call("POST", json=PAUSE)
        desk.store.cut()
        silent = await desk.call("GET")

        assert full[0] == 409
        assert "open already" in full[1]["error"]
        assert silent[0] == 503
        assert len(desk.stored()) == OPEN_LIMIT

    at_a_desk(story)


def test_without_a_view_nothing_can_be_asked_for() -> None:
    """The sentinel says that it does not know yet."""

    async def story(desk: Desk) -> None:
        status, said = await desk.call("POST", json=PAUSE)

        assert status == 503
        assert "view" in said["error"]

    at_a_desk(story, Documents("demo"))
