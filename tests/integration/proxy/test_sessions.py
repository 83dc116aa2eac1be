"""What a session does with bytes, ends, slow readers and cuts."""

from __future__ import annotations

import asyncio
import resource

import pytest

from common.errors import CannotListen
from tests.integration.proxy.stage import HOST, Connection, fake_server, run, stage
from tests.support.aio import LIMIT_S, eventually

MB = 1024 * 1024
PATTERN = bytes(range(251)) * 4200


async def swallow(connection: Connection, count: int) -> bytes:
    """Receive so many bytes that they would not fit into any buffer on the way."""
    parts = []
    while count:
        part = await asyncio.wait_for(connection.reader.read(count), LIMIT_S)
        assert part
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def test_bytes_pass_unchanged_in_both_directions_at_once() -> None:
    """Megabytes, in whatever pieces they come."""

    async def story() -> None:
        async with fake_server() as server, stage() as proxy:
            proxy.route(1, server.port)
            client, there = await proxy.session(server)
            data = PATTERN * 8
            client.send(data)
            there.send(data[::-1])

            to_server, to_client = await asyncio.gather(swallow(there, len(data)), swallow(client, len(data)))

            assert to_server == data
            assert to_client == data[::-1]

    run(story())


@pytest.mark.parametrize("client_first", [True, False])
def test_an_end_of_one_direction_is_passed_on_while_the_other_goes_on(client_first: bool) -> None:
    """And the session is over when both have ended."""

    async def story() -> None:
        async with fake_server() as server, stage() as proxy:
            proxy.route(1, server.port)
            client, there = await proxy.session(server)
            one, other = (client, there) if client_first else (there, client)
            one.send(b"last words")
            one.writer.write_eof()
            heard = await other.rest()
            other.send(PATTERN)
            answer = await swallow(one, len(PATTERN))
            open_after_one_end = proxy.listener.figures.sessions
            other.writer.write_eof()

            assert heard == b"last words"
            assert answer == PATTERN
            assert open_after_one_end == 1
            assert await one.rest() == b""
            await eventually(lambda: proxy.listener.figures.sessions == 0, "the session is over")

    run(story())


def test_a_client_that_does_not_read_holds_its_server_back_and_loses_nothing() -> None:
    """What is on the way is bounded by the buffers of kernel and session, not by what the server has."""

    async def story() -> None:
        async with fake_server() as server, stage() as proxy:
            proxy.route(1, server.port)
            client, there = await proxy.session(server)
            client.stop_reading()
            memory_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            sent = await there.send_until_stuck(PATTERN)
            grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_kb
            client.read_again()
            received = await swallow(client, sent)

            assert sent < 40 * MB
            assert grown_kb < 8 * 1024
            assert received == PATTERN * (sent // len(PATTERN))

    run(story())


def test_a_new_term_closes_the_old_sessions_on_both_sides_at_once() -> None:
    """The client sees the end, the server a reset, also when there is no new route yet."""

    async def story() -> None:
        async with fake_server() as server, stage() as proxy:
            proxy.route(1, server.port)
            pairs = [await proxy.session(server) for _ in range(20)]
            loop = asyncio.get_running_loop()
            cut_at = loop.time()
            proxy.route(2, None)
            for client, there in pairs:
                assert await client.rest() == b""
                with pytest.raises(ConnectionResetError):
                    await there.rest()

            assert loop.time() - cut_at < LIMIT_S
            assert proxy.listener.figures.sessions == 0

    run(story())


def test_nothing_that_waits_for_the_old_server_reaches_it_after_a_cut() -> None:
    """Invariant I5: of what a slow server has not taken yet nothing is written any more."""

    async def story() -> None:
        async with fake_server() as server, stage() as proxy:
            proxy.route(1, server.port)
            client, there = await proxy.session(server)
            there.stop_reading()
            sent = await client.send_until_stuck(PATTERN)
            proxy.route(2, None)
            there.read_again()
            with pytest.raises(ConnectionResetError):
                await swallow(there, sent)

            await eventually(lambda: proxy.listener.figures.sessions == 0, "the session is over")

    run(story())


def test_a_client_that_does_not_read_is_cut_as_fast_as_others() -> None:
    """What the old server had said to it is dropped."""

    async def story() -> None:
        async with fake_server() as server, stage() as proxy:
            proxy.route(1, server.port)
            client, there = await proxy.session(server)
            client.stop_reading()
            await there.send_until_stuck(PATTERN)
            proxy.route(2, None)

            await eventually(lambda: proxy.listener.figures.sessions == 0, "no session")

    run(story())


def test_a_route_that_goes_within_its_term_leaves_sessions_alone() -> None:
    """They go on until the term changes."""

    async def story() -> None:
        async with fake_server() as server, stage() as proxy:
            proxy.route(1, server.port)
            client, there = await proxy.session(server)
            unrouted = proxy.decision.obeyed
            assert unrouted is not None
            proxy.listener.apply(proxy.decision.__class__(unrouted, None, "no route", ()))
            client.send(b"still there?")

            assert await there.receive(12) == b"still there?"

    run(story())


def test_a_side_that_vanishes_ends_the_other() -> None:
    """A client that was killed leaves nothing at the server, and the other way round."""

    async def story() -> None:
        async with fake_server() as server, stage() as proxy:
            proxy.route(1, server.port)
            killed, left_alone = await proxy.session(server)
            client, killed_server = await proxy.session(server)
            killed.reset()
            killed_server.reset()

            with pytest.raises(ConnectionResetError):
                await left_alone.rest()
            assert await client.rest() == b""
            await eventually(lambda: proxy.listener.figures.sessions == 0, "no session")

    run(story())


def test_what_a_server_says_before_it_leaves_reaches_the_client() -> None:
    """Such as why it ends the session."""

    async def story() -> None:
        async with fake_server() as server, stage() as proxy:
            proxy.route(1, server.port)
            client, there = await proxy.session(server)
            there.send(b"FATAL: terminating connection")
            there.writer.close()

            assert await client.rest() == b"FATAL: terminating connection"

    run(story())


def test_a_port_that_is_taken_is_named() -> None:
    """With the setting that chooses another."""

    async def story() -> None:
        async with stage() as proxy, stage() as other:
            with pytest.raises(CannotListen, match=f"{HOST} port {proxy.port}: another program.*--port"):
                await other.listener.listen([HOST], proxy.port)

    run(story())
