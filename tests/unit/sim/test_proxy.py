"""The real data path of the proxy in the simulator: clients, the listener, and a server on three hosts."""

from __future__ import annotations

import asyncio
import errno
import struct
from collections.abc import Awaitable, Callable

import pytest

from common.model.view import Route
from proxy.admission import ParkLimits
from proxy.listener import Listener
from proxy.route import Decision, Seen, decide
from proxy.session import BUFFER_BYTES
from tests.sim.tcp import SEND_BUFFER_BYTES
from tests.sim.wire import RECEIVE_BUFFER_BYTES
from tests.support.aio import eventually
from tests.support.builders import running_view, sealing_view
from tests.support.healthy import TERM
from tests.unit.sim.stage import Peer, Stage

STARTUP = struct.pack("!ii", 9, 196608) + b"\0"
PORT = 6432


def routed() -> Decision:
    """What the view of a running cluster says, whose primary is on host ``s``."""
    route = Route(uid="s", incarnation="11111111", term=TERM, host="s", port=5432)
    return decide(None, Seen(view=running_view(route=route), in_contact=True))


def sealed() -> Decision:
    """What the first view of the next term says: nobody is primary."""
    return decide(None, Seen(view=sealing_view(), in_contact=True))


class ProxyStage(Stage):
    """A proxy on host ``p`` in front of an echoing server on host ``s``."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__(seed)
        self.listener = Listener(
            limits=ParkLimits(100, 30.0),
            max_clients=100,
            startup_timeout_s=10,
            dial_timeout_s=2,
            peer_timeout_s=15,
        )
        self.serve(lambda: Peer(echoes=True, keeps_open=True))

    async def in_proxy(self, work: Callable[[], Awaitable[None] | None]) -> None:
        async def done() -> None:
            result = work()
            if result is not None:
                await result

        await self.middle.spawn(done())

    async def begin(self, decision: Decision) -> None:
        await self.in_proxy(lambda: self.listener.listen(["0.0.0.0"], PORT))  # noqa: S104 - simulated
        await self.in_proxy(lambda: self.listener.apply(decision))

    async def enter(self, *, keeps_open: bool = False) -> Peer:
        """A client that has sent its first packet."""
        client = await self.connect(self.client, Peer(keeps_open=keeps_open), "p", PORT)
        client.transport.write(STARTUP)
        return client

    async def session(self, *, keeps_open: bool = False) -> Peer:
        """A client that is at the server."""
        client = await self.enter(keeps_open=keeps_open)
        await eventually(lambda: client.received == STARTUP, "the echo")
        del client.received[:]
        return client


def test_a_client_reaches_the_server_through_the_proxy() -> None:
    """With its first packet and all that follows, both ways."""
    stage = ProxyStage()

    async def story() -> None:
        await stage.begin(routed())
        client = await stage.session()
        client.transport.write(b"select")
        await asyncio.sleep(0.1)

        assert client.received == b"select"
        assert stage.served[0].received == STARTUP + b"select"
        assert stage.listener.figures.sessions == 1

    stage.run(story())


def test_a_parked_client_is_connected_when_there_is_a_route() -> None:
    """It waits unanswered until then."""
    stage = ProxyStage()

    async def story() -> None:
        await stage.begin(sealed())
        client = await stage.enter()
        await asyncio.sleep(20)
        assert stage.listener.figures.parked == 1
        assert not client.received

        later = running_view(
            term=TERM + 2, route=Route(uid="s", incarnation="1", term=TERM + 2, host="s", port=5432)
        )
        await stage.in_proxy(lambda: stage.listener.apply(decide(None, Seen(view=later, in_contact=True))))
        await asyncio.sleep(0.1)
        assert client.received == STARTUP
        assert stage.listener.figures.parked == 0

    stage.run(story())


def test_a_cut_ends_a_session_on_both_sides_at_once() -> None:
    """The server gets a reset, so that it stops working for nobody."""
    stage = ProxyStage()

    async def story() -> None:
        await stage.begin(routed())
        client = await stage.session()
        await stage.in_proxy(lambda: stage.listener.apply(sealed()))
        await asyncio.sleep(0.1)

        (error,) = stage.served[0].lost
        assert isinstance(error, ConnectionResetError)
        assert client.events == ["made", "end", "lost"]
        assert stage.listener.figures.sessions == 0

    stage.run(story())


def test_a_server_that_refuses_is_told_from_one_that_a_partition_hides() -> None:
    """A refused dial fails at once, one into silence by its deadline; both are tried again."""
    for fault in ("killed", "cut off"):
        stage = ProxyStage()

        async def story(stage: ProxyStage = stage, fault: str = fault) -> None:
            if fault == "killed":
                stage.server.kill()
            else:
                stage.network.cut("p", "s")
            await stage.begin(routed())
            client = await stage.enter()
            await asyncio.sleep(1)
            assert (stage.listener.figures.failed_dials > 0) == (fault == "killed")
            await asyncio.sleep(2)
            assert stage.listener.figures.failed_dials > 0
            (reason,) = stage.listener.reasons
            assert ("refused" if fault == "killed" else "no answer within 2 s") in reason.text

            stage.network.heal_all()
            stage.server = stage.network.start("s", "again")
            if fault == "killed":
                stage.serve(lambda: Peer(echoes=True))
            await eventually(lambda: client.received == STARTUP, "the server", within_s=10)

        stage.run(story())


def test_a_partition_ends_a_session_by_the_peer_timeout_and_no_packet_tells() -> None:
    """The client hears nothing until the proxy has given the server up."""
    stage = ProxyStage()

    async def story() -> None:
        await stage.begin(routed())
        client = await stage.session()
        stage.network.power_off("s")
        client.transport.write(b"insert")
        began = stage.loop.time()
        await asyncio.sleep(10)
        assert client.events == ["made"]
        await eventually(lambda: bool(client.lost), "the end", within_s=10)

        assert stage.loop.time() - began == pytest.approx(15, abs=0.5)

    stage.run(story())


def test_a_half_close_is_passed_on() -> None:
    """A client that has said all still hears the rest."""
    stage = ProxyStage()

    async def story() -> None:
        await stage.begin(routed())
        client = await stage.session(keeps_open=True)
        client.transport.write(b"all")
        client.transport.write_eof()
        await asyncio.sleep(0.1)
        server = stage.served[0]
        assert server.events == ["made", "end"]

        server.transport.write(b" and the rest")
        await asyncio.sleep(0.1)
        server.transport.close()
        await asyncio.sleep(0.1)
        assert client.received == b"all and the rest"
        assert client.events == ["made", "end"]

    stage.run(story())


def test_a_slow_client_holds_back_the_server_and_loses_nothing() -> None:
    """What the proxy holds for it is bounded."""
    stage = ProxyStage()

    async def story() -> None:
        await stage.begin(routed())
        client = await stage.session()
        client.transport.pause_reading()
        server = stage.served[0]
        sent = 0
        while server.transport.get_write_buffer_size() == 0:
            assert sent < 16 * 1024 * 1024
            server.transport.write(bytes(32 * 1024))
            sent += 32 * 1024
            await asyncio.sleep(0.01)
        on_the_way = 2 * (SEND_BUFFER_BYTES + RECEIVE_BUFFER_BYTES)
        assert sent <= BUFFER_BYTES + on_the_way + 256 * 1024

        client.transport.resume_reading()
        await eventually(lambda: len(client.received) == sent, "all of it")

    stage.run(story())


def test_a_killed_proxy_ends_its_sessions_and_refuses() -> None:
    """Its kernel says so to both sides."""
    stage = ProxyStage()

    async def story() -> None:
        await stage.begin(routed())
        client = await stage.session()
        stage.middle.kill()
        await asyncio.sleep(0.1)

        assert "end" in client.events
        assert "end" in stage.served[0].events
        with pytest.raises(ConnectionRefusedError) as raised:
            await stage.enter()
        assert raised.value.errno == errno.ECONNREFUSED

    stage.run(story())


def test_a_stopped_proxy_passes_nothing_on_until_it_goes_on() -> None:
    """What clients sent meanwhile has waited in its sockets."""
    stage = ProxyStage()

    async def story() -> None:
        await stage.begin(routed())
        client = await stage.session()
        stage.middle.pause()
        client.transport.write(b"late")
        await asyncio.sleep(5)
        assert not client.received
        stage.middle.resume()
        await asyncio.sleep(0.1)
        assert client.received == b"late"

    stage.run(story())
