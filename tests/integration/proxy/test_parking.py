"""Clients that have no server yet: held, let through, refused, or gone."""

from __future__ import annotations

import struct

import pytest

from tests.integration.proxy.stage import (
    CANCEL_REQUEST,
    SSL_REQUEST,
    STARTUP,
    Connection,
    fake_server,
    fields_of,
    parked,
    run,
    stage,
)
from tests.support.aio import eventually


def test_parked_clients_get_through_when_the_route_comes() -> None:
    """With exactly what each has sent, more of them than are dialled for at a time."""

    async def story() -> None:
        async with fake_server() as server, stage() as proxy:
            clients = [await proxy.connect(STARTUP) for _ in range(300)]
            await parked(proxy, 300)
            proxy.route(1, server.port)
            for _ in clients:
                there = await server.accept()
                assert await there.receive(len(STARTUP)) == STARTUP
                there.send(b"R")
            for client in clients:
                assert await client.receive(1) == b"R"

            assert proxy.listener.figures.parked == 0
            assert proxy.listener.figures.sessions == proxy.listener.clients == 300

    run(story())


def test_clients_are_parked_through_a_failover() -> None:
    """From the cut to the route of the new term; an SSLRequest is held like any first packet."""

    async def story() -> None:
        async with fake_server() as old, fake_server() as new, stage() as proxy:
            proxy.route(1, old.port)
            proxy.route(2, None)
            client = await proxy.connect(SSL_REQUEST)
            await parked(proxy, 1)
            proxy.route(2, new.port)
            there = await new.accept()

            assert await there.receive(len(SSL_REQUEST)) == SSL_REQUEST
            assert old.taken == 0
            there.send(b"S")
            assert await client.receive(1) == b"S"

    run(story())


def test_of_a_client_that_leaves_while_it_is_parked_a_server_sees_nothing() -> None:
    """Its bytes are dropped with it."""

    async def story() -> None:
        async with fake_server() as server, stage() as proxy:
            polite = await proxy.connect(STARTUP)
            rude = await proxy.connect(STARTUP)
            await parked(proxy, 2)
            polite.writer.close()
            rude.abort()
            await parked(proxy, 0)
            proxy.route(1, server.port)
            await proxy.session(server)

            assert server.taken == 1

    run(story())


def test_a_client_that_left_while_its_server_was_dialled_is_not_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its end stands in the socket, unread: the server gets an empty connection, and its end."""

    async def story() -> None:
        async with fake_server() as server, stage() as proxy:
            client = await proxy.connect(STARTUP)
            await parked(proxy, 1)
            monkeypatch.setattr("proxy.guest.has_left", lambda _: server.taken > 0)
            proxy.route(1, server.port)
            there = await server.accept()

            assert await there.rest() == b""
            await parked(proxy, 0)
            assert proxy.listener.figures.sessions == 0
            client.abort()

    run(story())


def test_after_park_timeout_a_client_is_told_what_was_waited_for() -> None:
    """57P03, cannot_connect_now, with the reason from the view."""

    async def story() -> None:
        async with stage(park_timeout_s=0.1) as proxy:
            proxy.route(5, None)
            client = await proxy.connect(STARTUP)
            error = fields_of(await client.rest())

            assert error["C"] == "57P03"
            assert error["S"] == error["V"] == "FATAL"
            assert error["M"].startswith("pgha: no primary for 0.1 s: sealing term 5")
            assert proxy.listener.figures.refused == 1

    run(story())


def test_one_client_more_than_may_be_parked_is_refused_at_once() -> None:
    """The others wait on, and the place of one that leaves is free again."""

    async def story() -> None:
        async with stage(park_limit=2) as proxy:
            proxy.route(5, None)
            first, _ = [await proxy.connect(STARTUP) for _ in range(2)]
            await parked(proxy, 2)
            third = await proxy.connect(STARTUP)
            error = fields_of(await third.rest())
            full = proxy.listener.reasons
            first.abort()
            await parked(proxy, 1)
            await proxy.connect(STARTUP)
            await parked(proxy, 2)

            assert error["C"] == "57P03"
            assert "too many wait for one already: sealing term 5" in error["M"]
            assert [reason.code for reason in full] == ["park_full"]

    run(story())


def test_a_refused_client_that_asked_for_encryption_is_declined_first() -> None:
    """Only then does it understand an error."""

    async def story() -> None:
        async with stage(park_timeout_s=0.1) as proxy:
            client = await proxy.connect(struct.pack("!iI", 8, 80877104))
            assert await client.receive(1) == b"N"
            client.send(SSL_REQUEST)
            assert await client.receive(1) == b"N"
            client.send(STARTUP)

            assert fields_of(await client.rest())["C"] == "57P03"

    run(story())


@pytest.mark.parametrize(
    ("sent", "heard", "startup_timeout_s", "refusal_limit_s"),
    [
        (SSL_REQUEST * 3, b"NN", 30.0, 30.0),
        (SSL_REQUEST, b"N", 30.0, 0.1),
        (b"\x16\x03\x01tls", b"", 30.0, 30.0),
        (b"\0\0", b"", 0.2, 30.0),
    ],
    ids=["asks on", "asks and is silent", "tls", "silent"],
)
def test_a_refused_client_that_cannot_be_told_why_is_closed(
    sent: bytes,
    heard: bytes,
    startup_timeout_s: float,
    refusal_limit_s: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within a limit, whatever it does; at once where that is clear."""
    monkeypatch.setattr("proxy.guest.REFUSAL_LIMIT_S", refusal_limit_s)

    async def story() -> None:
        async with stage(park_timeout_s=0.1, startup_timeout_s=startup_timeout_s) as proxy:
            client = await proxy.connect(sent)

            assert await client.rest() == heard
            await eventually(lambda: proxy.listener.clients == 0, "nobody is left")

    run(story())


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n\r\n", b"", b"\0\0\0"], ids=["rubbish", "nothing", "too little"]
)
def test_who_does_not_say_what_it_wants_costs_no_server_connection(sent: bytes) -> None:
    """It is dropped, rubbish at once and silence after a limit."""

    async def story() -> None:
        async with fake_server() as server, stage(startup_timeout_s=0.2) as proxy:
            proxy.route(1, server.port)
            client = await proxy.connect(sent)
            try:
                assert await client.rest() == b""
            except ConnectionResetError:
                assert sent.startswith(b"GET")

            await eventually(lambda: proxy.listener.clients == 0, "nobody is left")
            assert server.taken == 0

    run(story())


def test_a_parked_client_that_goes_on_sending_is_refused() -> None:
    """What is held of it is bounded by the size of a first packet."""

    async def story() -> None:
        async with stage() as proxy:
            client = await proxy.connect(STARTUP)
            await parked(proxy, 1)
            client.send(b"x" * 10_000)
            error = fields_of(await client.rest())

            assert error["C"] == "08P01"
            await parked(proxy, 0)

    run(story())


@pytest.mark.parametrize("leaves_at_once", [False, True])
def test_a_cancel_request_reaches_the_server(leaves_at_once: bool) -> None:
    """Also that of a client which does not wait: some close as soon as it is sent."""

    async def story() -> None:
        async with fake_server() as server, stage() as proxy:
            proxy.route(1, server.port)
            client = await proxy.connect(CANCEL_REQUEST)
            if leaves_at_once:
                client.writer.write_eof()
            there = await server.accept()

            assert await there.receive(len(CANCEL_REQUEST)) == CANCEL_REQUEST
            there.writer.close()
            assert await client.rest() == b""

    run(story())


def test_a_cancel_request_is_not_parked() -> None:
    """When the route comes the query that it is about is gone, and the number may be another's."""

    async def story() -> None:
        async with stage() as proxy:
            client = await proxy.connect(CANCEL_REQUEST)

            assert await client.rest() == b""
            assert proxy.listener.figures.parked == 0

    run(story())


def test_more_clients_than_may_be_are_refused_with_postgresqls_own_code() -> None:
    """53300, too_many_connections; those who are in are not disturbed."""

    async def story() -> None:
        async with fake_server() as server, stage(max_clients=1) as proxy:
            proxy.route(1, server.port)
            client, there = await proxy.session(server)
            refused: Connection = await proxy.connect(STARTUP)
            error = fields_of(await refused.rest())
            client.send(b"ping")

            assert error["C"] == "53300"
            assert await there.receive(4) == b"ping"
            assert [reason.code for reason in proxy.listener.reasons] == ["clients_full"]

    run(story())
