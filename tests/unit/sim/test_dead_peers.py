"""What a simulated connection tells of a peer that was killed, stopped, cut off, or lost its power."""

from __future__ import annotations

import asyncio
import errno

import pytest

from proxy.sockets import tune
from tests.support.aio import eventually
from tests.unit.sim.stage import Peer, Stage, kind_of


def test_a_peer_that_does_not_acknowledge_is_given_up_after_the_user_timeout() -> None:
    """TCP_USER_TIMEOUT of tune(); without it the connection would last for a quarter of an hour."""
    stage = Stage()

    async def story() -> None:
        near, _ = await stage.pair()
        tune(near.transport.get_extra_info("socket"), peer_timeout_s=15)
        stage.network.cut("c", "s")
        near.transport.write(b"lost")
        began = stage.loop.time()
        await eventually(lambda: bool(near.lost), "the error", within_s=60)

        assert kind_of(near.lost[0]) == errno.ETIMEDOUT
        assert stage.loop.time() - began == pytest.approx(15, abs=0.2)

    stage.run(story())


def test_an_idle_connection_to_a_host_that_lost_its_power_is_noticed_by_keepalive() -> None:
    """Nobody sends anything: first a probe after 30 s, then the user timeout."""
    stage = Stage()

    async def story() -> None:
        near, _ = await stage.pair()
        tune(near.transport.get_extra_info("socket"), peer_timeout_s=15)
        await asyncio.sleep(100)
        assert near.lost == []

        stage.network.power_off("s")
        await asyncio.sleep(80)
        assert [kind_of(error) for error in near.lost] == [errno.ETIMEDOUT]

    stage.run(story())


def test_a_killed_process_is_said_goodbye_for_by_its_kernel() -> None:
    """Its listener refuses, who was connected sees the end, and a reset if it says more."""
    stage = Stage()

    async def story() -> None:
        near, far = await stage.pair(Peer(keeps_open=True))
        stage.server.kill()
        await asyncio.sleep(0.1)
        assert near.events == ["made", "end"]

        near.transport.write(b"more")
        await asyncio.sleep(0.1)
        near.transport.write(b"and more")
        await asyncio.sleep(0.1)
        assert kind_of(near.lost[0]) == errno.ECONNRESET
        assert far.events == ["made"]
        with pytest.raises(ConnectionRefusedError):
            await stage.connect(stage.client, Peer(), "s")

    stage.run(story())


def test_a_killed_process_that_had_not_read_all_resets() -> None:
    """As close() of a socket with unread data does."""
    stage = Stage()

    async def story() -> None:
        near, _ = await stage.pair()
        stage.server.pause()
        near.transport.write(b"unread")
        await asyncio.sleep(0.1)
        stage.server.kill()
        await asyncio.sleep(0.1)

        assert [kind_of(error) for error in near.lost] == [errno.ECONNRESET]

    stage.run(story())


def test_a_host_that_loses_its_power_says_nothing_and_resets_when_it_is_back() -> None:
    """It knows nothing of the connections of its earlier life."""
    stage = Stage()

    async def story() -> None:
        near, far = await stage.pair()
        far.transport.write(b"last words that nobody hears")
        stage.network.power_off("s")
        near.transport.write(b"are you there?")
        await asyncio.sleep(10)
        assert near.events == ["made"]
        assert not near.received

        stage.network.power_on("s")
        await asyncio.sleep(30)
        assert [kind_of(error) for error in near.lost] == [errno.ECONNRESET]
        assert far.events == ["made"]

    stage.run(story())


def test_a_paused_process_is_connected_to_by_its_kernel_and_accepts_when_it_goes_on() -> None:
    """SIGSTOP: handshake and receive buffer go on, answers do not."""
    stage = Stage()

    async def story() -> None:
        stage.serve(lambda: Peer(echoes=True))
        stage.server.pause()
        near = await stage.connect(stage.client, Peer(), "s")
        near.transport.write(b"hello")
        await asyncio.sleep(20)
        assert stage.served == []
        assert not near.received
        assert near.lost == []

        stage.server.resume()
        await asyncio.sleep(0.1)
        assert near.received == b"hello"

    stage.run(story())
