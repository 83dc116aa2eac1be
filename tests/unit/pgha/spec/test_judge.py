"""Asking keepers what their PostgreSQL finds wrong with a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from common.model.spec import PostgresSpec
from common.runtime.http import http_server, json_response
from pgha.spec.effects import Judged
from pgha.spec.judge import judge
from tests.support.aio import run
from tests.support.healthy import UIDS, keeper
from tests.support.ports import free_port

ASKED = PostgresSpec(parameters={"work_mem": "much"}, max_slot_wal_keep_size="1GB")
WRONG = "postgres.parameters.work_mem = 'much': invalid value"


def judged(answers: Mapping[str, dict[str, Any] | None]) -> Judged:
    """What comes of these answers by uid; None: a keeper of an older release."""

    async def answer(request: web.Request) -> web.Response:
        assert PostgresSpec.model_validate_json(await request.read()) == ASKED
        said = answers[request.match_info["uid"]]
        if said is None:
            raise web.HTTPNotFound
        return json_response(said)

    async def ask() -> Judged:
        routes = [web.post("/{uid}/judge", answer)]
        serving = http_server(routes, host="127.0.0.1", port=free_port(), setting="port", problems=list)
        async with serving as url:
            return await judge([keeper(uid, api_url=f"{url}/{uid}") for uid in answers], ASKED)

    return run(ask())


def test_members_that_say_the_same_are_named_together() -> None:
    """The whole of ``postgres`` is sent, so that keepers judge what they would write."""
    found = judged({uid: {"uid": uid, "refused": [WRONG] if uid != UIDS[2] else []} for uid in UIDS})

    assert found.members == UIDS
    assert found.refused == {WRONG: (UIDS[0], UIDS[1], UIDS[3])}


def test_who_cannot_judge_is_not_counted() -> None:
    """An older release, a PostgreSQL that could not be asked, another keeper at that address, nonsense."""
    found = judged(
        {
            "sandun-1": None,
            "sandun-2": {"uid": "sandun-2", "problem": "postgres did not end within 5 s"},
            "shiqiao-1": {"uid": "shiqiao-2", "refused": [WRONG]},
            "shiqiao-2": {"refused": 7},
        }
    )

    assert found == Judged()


def test_nobody_there_is_nobody_to_judge() -> None:
    """A keeper that has gone, or has no API."""
    gone = keeper("sandun-1", api_url=f"http://127.0.0.1:{free_port()}")

    assert run(judge([gone, keeper("sandun-2", api_url="")], ASKED)) == Judged()
