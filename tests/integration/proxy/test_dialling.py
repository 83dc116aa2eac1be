"""Servers that refuse, do not answer, or are left behind while they are dialled."""

from __future__ import annotations

import asyncio

import pytest

from proxy.admission import DIALS_AT_ONCE
from proxy.session import Session
from tests.integration.proxy.stage import (
    STARTUP,
    deaf_server,
    fake_server,
    fields_of,
    parked,
    run,
    stage,
)
from tests.support.aio import LIMIT_S, eventually


def test_a_server_that_refuses_is_tried_again_until_it_takes_connections() -> None:
    """The client stays parked meanwhile, and people are told."""

    async def story() -> None:
        async with fake_server() as server, stage() as proxy:
            await server.stop()
            proxy.route(1, server.port)
            client = await proxy.connect(STARTUP)
            await parked(proxy, 1)
            during = proxy.listener.reasons
            await server.start()
            there = await server.accept()
            proxy.listener.settle()
            proxy.listener.settle()

            assert await there.receive(len(STARTUP)) == STARTUP
            assert [reason.code for reason in during] == ["dial_failed"]
            assert "Connection refused" in during[0].text
            assert proxy.listener.reasons == ()
            there.send(b"R")
            assert await client.receive(1) == b"R"

    run(story())


def test_a_dial_that_nobody_answers_is_given_up_when_the_route_changes() -> None:
    """Not when its limit has passed: the client is at the new server at once."""

    async def story() -> None:
        async with (
            deaf_server() as deaf,
            fake_server() as server,
            stage(dial_timeout_s=10 * LIMIT_S) as proxy,
        ):
            proxy.route(1, deaf)
            await proxy.connect(STARTUP)
            await asyncio.sleep(0.2)
            proxy.route(2, server.port)
            there = await server.accept()

            assert await there.receive(len(STARTUP)) == STARTUP
            assert proxy.listener.figures.failed_dials == 0

    run(story())


def test_a_route_that_moves_as_its_server_answers_the_dial_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Invariant I5 in the last moment there is: the client goes to the new one."""

    async def story() -> None:
        async with fake_server() as old, fake_server() as new, stage() as proxy:
            admission = proxy.listener._admission
            dial = admission._dial

            async def dial_and_move(session: Session) -> None:
                await dial(session)
                if session.target.term == 1:
                    proxy.route(2, new.port)

            monkeypatch.setattr(admission, "_dial", dial_and_move)
            proxy.route(1, old.port)
            await proxy.session(new)

            assert await (await old.accept()).rest() == b""
            assert [session.target.term for session in proxy.listener._sessions] == [2]

    run(story())


def test_a_server_that_swallows_packets_is_no_answer_within_the_limit() -> None:
    """Each attempt has its own deadline, and the client hears of it in the end."""

    async def story() -> None:
        async with deaf_server() as deaf, stage(dial_timeout_s=0.1, park_timeout_s=2.0) as proxy:
            proxy.route(1, deaf)
            client = await proxy.connect(STARTUP)
            error = fields_of(await client.rest())

            assert error["C"] == "57P03"
            assert "does not take connections: no answer within 0.1 s" in error["M"]
            assert proxy.listener.figures.failed_dials > 1

    run(story())


def test_a_server_that_refuses_is_not_stormed_by_those_who_wait_for_it() -> None:
    """One of them tries at a time; when it takes connections, all get there at once."""

    async def story() -> None:
        async with fake_server() as server, stage() as proxy:
            await server.stop()
            clients = [await proxy.connect(STARTUP) for _ in range(3 * DIALS_AT_ONCE)]
            await parked(proxy, len(clients))
            proxy.route(1, server.port)
            await eventually(lambda: proxy.listener.reasons != (), "a dial has failed")
            figures, loop = proxy.listener.figures, asyncio.get_running_loop()
            before, began_at = figures.failed_dials, loop.time()
            await eventually(lambda: proxy.listener.figures.failed_dials >= before + 6, "six more tries")
            six_took_s = loop.time() - began_at
            await server.start()
            async with asyncio.timeout(LIMIT_S):
                for _ in clients:
                    await server.accept()

            assert before <= DIALS_AT_ONCE + 10
            assert six_took_s > 0.5

    run(story())
