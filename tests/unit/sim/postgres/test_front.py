"""Simulated servers answer real bytes: what a proxy or a probe hears of them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.sim.internet import Internet, prober
from tests.sim.loop import SimLoop
from tests.sim.postgres import oracle
from tests.sim.postgres.front import WARNING, front_doors, message
from tests.unit.sim.postgres.stage import BY_ITSELF, World, tell, world

STARTUP = struct.pack("!iI", 9, 3 << 16) + b"\0"


def query(text: str) -> bytes:
    return message(b"Q", text.encode() + b"\0")


async def with_doors(made: World) -> Internet:
    """Restart every server so that it has a port of its own; the primary first."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    internet = Internet(loop, made.network)
    for uid in ("one", "two"):
        made.host(uid).open_port = front_doors(internet, made.network)
    return internet


async def as_client(made: World, story: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run something in a process of the client's host."""
    return await made.network.start("client", "psql").spawn(story())


async def answer(reader: asyncio.StreamReader) -> bytes:
    """What is said up to the next ReadyForQuery, or to the end of the connection."""
    heard = b""
    try:
        async with asyncio.timeout(5):
            while not heard.endswith(message(b"Z", b"I")):
                heard += await reader.readexactly(1)
    except asyncio.IncompleteReadError:
        pass
    return heard


def test_a_client_commits_and_reads_over_a_connection() -> None:
    """A primary answers as PostgreSQL does; a standby refuses to write and shows what it has."""

    async def story(seed: int) -> None:
        async with world(seed, k=0) as made:
            await with_doors(made)
            await made.keepers["one"].stop("fast", 10)
            await made.start("one", writable=BY_ITSELF)
            await made.keepers["two"].stop("fast", 10)
            await made.start("two")

            async def talk(uid: str, *statements: str) -> list[bytes]:
                reader, writer = await asyncio.open_connection(uid, 5432)
                writer.write(STARTUP)
                said = [await answer(reader)]
                for statement in statements:
                    writer.write(query(statement))
                    said.append(await answer(reader))
                writer.close()
                return said

            one = await as_client(made, lambda: talk("one", "commit 1", "commit 2 local", "read"))
            two = await as_client(made, lambda: talk("two", "commit 3", "read"))

            assert one[0].startswith(b"R")
            assert one[1] == one[2]
            assert b"INSERT" in one[1]
            assert WARNING not in one[1]
            assert one[3].count(b"D\0\0\0") == 2
            assert b"25006" in two[1]
            assert oracle.commit_ids(made.data("one")) == {1, 2}

    tell(story, seeds=3)


@pytest.mark.parametrize("end", ["kill", "kill the postmaster", "pause"])
def test_connections_share_the_fate_of_their_server(end: str) -> None:
    """They end with their backends; of a stopped server nothing is heard, and its port answers no probe."""

    async def story(seed: int) -> None:
        async with world(seed, k=0) as made:
            internet = await with_doors(made)
            await made.keepers["one"].kill()
            await made.start("one", writable=BY_ITSELF)
            probe = prober(internet)

            async def talk() -> tuple[bool, bytes, bool]:
                before = await probe("one", 5432)
                reader, writer = await asyncio.open_connection("one", 5432)
                writer.write(STARTUP)
                await answer(reader)
                match end:
                    case "kill":
                        made.host("one").kill()
                    case "kill the postmaster":
                        made.host("one").kill_postmaster()
                    case _:
                        made.host("one").pause()
                writer.write(query("commit 1"))
                try:
                    heard = await answer(reader)
                except (TimeoutError, ConnectionError):
                    heard = b""
                after = await probe("one", 5432)
                writer.close()
                return before, heard, after

            before, heard, after = await as_client(made, talk)
            made.host("one").resume()
            await asyncio.sleep(1)

            assert before
            assert not after
            has_it = 1 in oracle.commit_ids(made.data("one"))
            assert {"kill": not has_it, "pause": has_it}.get(end, has_it or not heard)
            assert heard == b"" or end == "kill the postmaster"

    tell(story, seeds=3)
