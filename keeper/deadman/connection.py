"""A keeper's connection with a deadman: requests out, answers in, and its end heard at once."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from common.errors import DeadmanUnavailable
from keeper.deadman.wire import (
    LINE_LIMIT_BYTES,
    PROTOCOL,
    Answer,
    Request,
    decode_answer,
    encode,
    socket_path,
)

_TURNS_TO_READ: Final = 5


class Connection:
    """One connection; it does not come back once ``gone`` is set."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._last_id = 0
        self.gone = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, root: Path, timeout_s: float) -> Connection:
        """Connect with the deadman of a root directory; raises DeadmanUnavailable when there is none."""
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_unix_connection(socket_path(root), limit=LINE_LIMIT_BYTES)
        except (OSError, TimeoutError) as error:
            raise DeadmanUnavailable(f"no deadman listens in {root}: {error}") from error
        return cls(reader, writer)

    async def ask(self, op: str, timeout_s: float, *, deadline: float = 0.0, limit_s: float = 0.0) -> Answer:
        """Send a request and return its answer.

        Whatever ends the wait early closes the connection: what becomes of the request is not known
        then. Raises DeadmanUnavailable, for a refusal too, which leaves the connection open.
        """
        if self.gone.is_set():
            raise DeadmanUnavailable("the deadman is gone")
        self._last_id += 1
        request = Request(self._last_id, op, deadline, limit_s)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = answered
        try:
            self._writer.write(encode(request))
            await asyncio.wait({answered}, timeout=timeout_s)
            # After a pause of ours the timer is first, though the answer lies in the socket.
            for _ in range(_TURNS_TO_READ):
                if not answered.done():
                    await asyncio.sleep(0)
        finally:
            del self._waiting[request.id]
            if not answered.done():
                self._end()
        if not answered.done():
            raise DeadmanUnavailable(f"the deadman did not answer within {timeout_s:g} s")
        answer = answered.result()
        if answer.protocol != PROTOCOL:
            self._end()
            raise DeadmanUnavailable(
                f"the deadman (process {answer.pid}) is of another release and speaks protocol "
                f"{answer.protocol}, not {PROTOCOL}: it ends by itself once it is not armed and has no keeper"
            )
        if answer.refused:
            raise DeadmanUnavailable(f"the deadman refuses: {answer.refused}")
        return answer

    async def close(self) -> None:
        """Let go; what is armed stays armed."""
        self._end()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                answer = decode_answer(line)
                waiting = self._waiting.get(answer.id)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        except (OSError, ValueError, TypeError):
            pass  # what cannot be understood is as good as gone
        finally:
            self._end()

    def _end(self) -> None:
        self.gone.set()
        self._writer.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(DeadmanUnavailable("the deadman is gone"))
        if self._task is not asyncio.current_task():
            self._task.cancel()
