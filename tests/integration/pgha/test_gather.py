"""Asking keepers for their live figures, over real HTTP."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from common.model.wal import Lsn
from common.runtime.clock import SystemClock
from pgha.status.gather import ask_live
from tests.support.aio import run
from tests.support.healthy import keeper
from tests.support.ports import free_port

ANSWER = {
    "uid": "sandun-1",
    "state": "running",
    "role": "standby",
    "timeline": 3,
    "lsn": "0/5000060",
    "received_lsn": "0/5000060",
    "replayed_lsn": "0/5000060",
    "lag_s": 0.5,
    "report": {},
    "reasons": [],
}

LIMIT_S = 4.0
"""More than a busy machine needs for an answer at once."""
NEVER_S = 100.0


async def serve(answers: dict[str, object]) -> tuple[web.AppRunner, str]:
    """Serve each name's answer below ``/<name>/status``; a float is a pause before an empty one."""

    async def status(request: web.Request) -> web.Response:
        answer = answers[request.match_info["name"]]
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return web.json_response(ANSWER)
        return web.Response(text=answer) if isinstance(answer, str) else web.json_response(answer)

    app = web.Application()
    app.router.add_get("/{name}/status", status)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner, f"http://127.0.0.1:{port}"


def test_who_answers_in_time_is_live_and_nobody_else() -> None:
    """A slow keeper, one that talks nonsense and one that is away cost nobody else their figures."""

    async def ask() -> tuple[dict[str, object], float]:
        answers = {"sandun-1": ANSWER, "sandun-2": NEVER_S, "shiqiao-1": "<html>"}
        runner, url = await serve(answers)
        reports = [keeper(uid).changed(api_url=f"{url}/{uid}") for uid in answers]
        reports.append(keeper("shiqiao-2").changed(api_url="http://127.0.0.1:1"))
        began = time.monotonic()
        found = await ask_live(reports, SystemClock(), LIMIT_S)
        took_s = time.monotonic() - began
        await runner.cleanup()
        return dict(found), took_s

    found, took_s = run(ask())

    assert set(found) == {"sandun-1"}
    assert took_s < NEVER_S / 2


def test_live_figures_are_read_from_the_answer() -> None:
    """State, role, timeline, position and lag, as the keeper's API says them."""

    async def ask() -> tuple[object, ...]:
        runner, url = await serve({"sandun-1": ANSWER})
        asked = keeper("sandun-1").changed(api_url=f"{url}/sandun-1")
        found = await ask_live([asked], SystemClock(), NEVER_S)
        await runner.cleanup()
        figures = found["sandun-1"]
        return figures.state, figures.role, figures.timeline, figures.lsn, figures.lag_s

    assert run(ask()) == ("running", "standby", 3, Lsn.parse("0/5000060"), 0.5)
