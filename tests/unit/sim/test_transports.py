"""Simulated connections behave as TCP between real hosts and processes does."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from proxy.sockets import has_left, reset
from tests.sim.internet import prober
from tests.sim.tcp import SEND_BUFFER_BYTES
from tests.sim.wire import RECEIVE_BUFFER_BYTES
from tests.unit.sim.stage import Peer, Stage, kind_of


def test_what_is_sent_arrives_in_order_and_a_latency_later() -> None:
    """Both ways, in as many pieces as it was written."""
    stage = Stage()

    async def story() -> None:
        near, far = await stage.pair()
        for number in range(100):
            near.transport.write(b"%d," % number)
        far.transport.write(b"welcome")
        assert not far.received
        await asyncio.sleep(0.01)

        assert bytes(far.received) == b"".join(b"%d," % number for number in range(100))
        assert near.received == b"welcome"

    stage.run(story())


def test_a_port_without_a_listener_refuses_and_one_behind_a_partition_does_not_answer() -> None:
    """The one at once, the other by the caller's own deadline."""
    stage = Stage()

    async def story() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(ConnectionRefusedError):
            await stage.connect(stage.client, Peer(), "s")
        assert loop.time() < 0.01

        stage.serve()
        stage.network.cut("c", "s")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stage.connect(stage.client, Peer(), "s"), 5)
        assert loop.time() > 5
        assert stage.served == []

    stage.run(story())


def test_a_connection_that_is_begun_during_a_cut_comes_about_when_that_ends() -> None:
    """The first packet is sent again after 1, 3 and 7 seconds."""
    stage = Stage()

    async def story() -> None:
        stage.serve()
        stage.network.cut("s", "c")
        stage.loop.call_later(5, stage.network.heal_all)
        await stage.connect(stage.client, Peer(), "s")

        assert 7 < stage.loop.time() < 7.1

    stage.run(story())


def test_what_a_cut_swallows_is_sent_again_and_arrives_once() -> None:
    """In either direction of the cut: when only acknowledgements are lost nothing comes twice."""
    for cut in (("c", "s"), ("s", "c")):
        stage = Stage()

        async def story(stage: Stage = stage, cut: tuple[str, str] = cut) -> None:
            near, far = await stage.pair()
            stage.network.cut(*cut)
            near.transport.write(b"one,")
            await asyncio.sleep(1)
            near.transport.write(b"two,")
            assert bytes(far.received) in {b"", b"one,"}
            stage.network.heal_all()
            await asyncio.sleep(5)

            assert far.received == b"one,two,"
            assert far.events == ["made"]

        stage.run(story())


def test_a_half_close_leaves_the_other_direction_open() -> None:
    """The end of one direction comes behind what was sent in it."""
    stage = Stage()

    async def story() -> None:
        near, far = await stage.pair(Peer(keeps_open=True), lambda: Peer(keeps_open=True))
        near.transport.write(b"question")
        near.transport.write_eof()
        await asyncio.sleep(0.1)
        far.transport.write(b"answer")
        await asyncio.sleep(0.1)
        far.transport.write_eof()
        await asyncio.sleep(0.1)

        assert (bytes(far.received), bytes(near.received)) == (b"question", b"answer")
        assert near.events == far.events == ["made", "end"]

    stage.run(story())


def test_a_receiver_that_does_not_read_slows_the_sender_down() -> None:
    """What is under way is bounded, and all of it arrives once the receiver reads on."""
    stage = Stage()

    async def story() -> None:
        near, far = await stage.pair()
        far.transport.pause_reading()
        sent = 0
        while "slow" not in near.events:
            assert sent < 16 * 1024 * 1024
            near.transport.write(bytes(16 * 1024))
            sent += 16 * 1024
            await asyncio.sleep(0.01)
        held = near.transport.get_write_buffer_size()
        assert sent - held <= SEND_BUFFER_BYTES + RECEIVE_BUFFER_BYTES + 16 * 1024

        far.transport.resume_reading()
        await asyncio.sleep(1)
        assert len(far.received) == sent
        assert near.events[-1] == "caught up"

    stage.run(story())


def test_a_reset_reaches_the_peer_and_what_has_left_is_known_before_it_is_read() -> None:
    """What the proxy asks of sockets beyond asyncio's own transports."""
    stage = Stage()

    async def story() -> None:
        near, far = await stage.pair()
        far.transport.pause_reading()
        assert not has_left(far.transport)
        near.transport.write(b"unread")
        near.transport.write_eof()
        await asyncio.sleep(0.1)
        assert has_left(far.transport)

        reset(far.transport)
        await asyncio.sleep(0.1)
        assert far.events == ["made", "lost"]
        assert [kind_of(error) for error in near.lost] == [errno.ECONNRESET]

    stage.run(story())


def test_a_port_is_taken_once_and_free_again_when_its_process_is_dead() -> None:
    """EADDRINUSE, as from a kernel."""
    stage = Stage()

    async def story() -> None:
        stage.serve()
        with pytest.raises(OSError, match="in use") as raised:
            stage.serve()
        assert raised.value.errno == errno.EADDRINUSE
        stage.server.kill()
        stage.server = stage.network.start("s", "another")
        stage.serve()
        await stage.connect(stage.client, Peer(), "s")

    stage.run(story())


def test_a_name_that_no_host_has_is_not_known() -> None:
    """As getaddrinfo says it, which is an OSError too."""
    stage = Stage()

    async def story() -> None:
        with pytest.raises(socket.gaierror):
            await stage.connect(stage.client, Peer(), "nobody")

    stage.run(story())


def test_a_probe_tells_a_server_that_answers_from_one_that_does_not() -> None:
    """A stopped postmaster is connected to and says nothing; a dead one refuses."""
    stage = Stage()

    async def story() -> None:
        answers = prober(stage.internet)

        async def asked() -> bool:
            return await stage.client.spawn(answers("s", 5432))  # type: ignore[arg-type]

        assert not await asked()
        stage.serve(lambda: Peer(echoes=True))
        assert await asked()
        stage.server.pause()
        began = stage.loop.time()
        assert not await asked()
        assert stage.loop.time() - began == pytest.approx(1, abs=0.01)
        stage.server.resume()
        assert await asked()
        stage.network.cut("s", "c")
        assert not await asked()

    stage.run(story())


def test_asyncio_streams_run_on_it() -> None:
    """Whoever would rather read lines may."""
    stage = Stage()

    async def story() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.readline()).upper())
            await writer.drain()
            writer.close()

        await stage.server.spawn(asyncio.start_server(serve, "s", 7))

        async def ask() -> bytes:
            reader, writer = await asyncio.open_connection("s", 7)
            writer.write(b"echo\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

        assert await stage.client.spawn(ask()) == b"ECHO\n"

    stage.run(story())
