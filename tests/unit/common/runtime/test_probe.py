"""What counts as a protocol answer of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from common.runtime.probe import SSL_REQUEST, answers
from tests.support.aio import LIMIT_S, run
from tests.support.ports import free_port

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def probe(behave: Handler, *, limit_s: float = LIMIT_S) -> bool:
    async def main() -> bool:
        port = free_port()
        ended = asyncio.Event()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await behave(reader, writer)
                await writer.wait_closed()
            finally:
                ended.set()

        async with await asyncio.start_server(take, "127.0.0.1", port):
            said = await answers("127.0.0.1", port, limit_s=limit_s)
            async with asyncio.timeout(LIMIT_S):
                await ended.wait()
            return said

    return run(main())


@pytest.mark.parametrize("answer", [b"N", b"S", b"E"])
def test_any_answer_counts(answer: bytes) -> None:
    """An error too: whoever says it is there."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8) == SSL_REQUEST
        writer.write(answer)
        writer.close()

    assert probe(behave)


def test_a_server_that_closes_without_a_word_does_not_answer() -> None:
    """A port that something else holds open is no PostgreSQL."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert not probe(behave)


def test_a_server_that_accepts_and_says_nothing_does_not_answer() -> None:
    """The kernel accepts for a process that is stopped; the limit holds."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    assert not probe(behave, limit_s=0.3)


def test_nobody_there_does_not_answer() -> None:
    """And raises nothing."""
    assert not run(answers("127.0.0.1", free_port(), limit_s=LIMIT_S))
    assert not run(answers("no-such-host.invalid", 5432, limit_s=LIMIT_S))
