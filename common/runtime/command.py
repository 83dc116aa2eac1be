"""One run of a program of the operator's: input in, a status and the end of its output back, in its time.

What it is told comes on standard input, so that no secret is on a command line or in an environment. The
program leads a session of its own, whose process group is killed at the end, whichever way that comes: a
child that it leaves behind (one that waits for somebody who answers nobody) holds up nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

OUTPUT_KEPT_BYTES: Final = 8 << 10
REDACTED: Final = b"***"
_CHUNK_BYTES: Final = 64 << 10
_CHUNKS_AFTER_THE_END: Final = 32
_REAP_LIMIT_S: Final = 2.0
_SHORTEST_PART: Final = 4
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of one run.

    ``status`` is the exit code, negative for a signal; None when it did not end by itself. ``output`` is
    the end of what it wrote, to both streams, without the secret.
    """

    ended: Literal["exited", "timed out", "not started"]
    status: int | None
    output: str


class Tail:
    """The end of a stream, and no secret in it, however the stream was cut into chunks."""

    def __init__(self, secret: str, limit_bytes: int) -> None:
        self._secret = secret.encode()
        self._limit_bytes = limit_bytes
        self._kept = b""

    def add(self, chunk: bytes) -> None:
        """Take more. The secret goes before the beginning does: no part of one is left at the cut."""
        self._kept += chunk
        if self._secret:
            self._kept = self._kept.replace(self._secret, REDACTED)
        self._kept = self._kept[-self._limit_bytes :]

    def text(self) -> str:
        """What is kept; a secret that the end of the stream has cut short is taken out too."""
        kept = self._kept
        for length in range(len(self._secret) - 1, _SHORTEST_PART - 1, -1):
            if kept.endswith(self._secret[:length]):
                kept = kept[:-length] + REDACTED
                break
        return kept.decode(errors="replace").strip()


async def run_command(
    command: Sequence[str],
    given: bytes,
    *,
    timeout_s: float,
    secret: str = "",
    kept_bytes: int = OUTPUT_KEPT_BYTES,
) -> Ran:
    """Run a command, a path first, with this on its standard input (64 kB), for ``timeout_s`` at most."""
    tail = Tail(secret, kept_bytes)
    try:
        stdin, (reading, writing) = _filled_pipe(given), os.pipe()
    except OSError as error:
        return Ran("not started", None, f"no pipe: {error.strerror}")
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=stdin,
            stdout=writing,
            stderr=writing,
            # Nothing of our own environment: passwords may be in it.
            env={"PATH": _PATH, "LC_ALL": "C", "HOME": "/"},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        os.close(reading)
        return Ran("not started", None, f"{command[0]} cannot be started: {error.strerror or error}")
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(stdin)
        os.close(writing)
    return await _watch(process, reading, tail, timeout_s)


async def _watch(process: asyncio.subprocess.Process, reading: int, tail: Tail, timeout_s: float) -> Ran:
    """See a run to its end, or end it."""
    loop = asyncio.get_running_loop()
    os.set_blocking(reading, False)
    loop.add_reader(reading, _take_or_stop, loop, reading, tail)
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        return Ran("timed out", None, await _finish(process, reading, tail))
    except BaseException:
        await asyncio.shield(_finish(process, reading, tail))
        raise
    return Ran("exited", process.returncode, await _finish(process, reading, tail))


async def _finish(process: asyncio.subprocess.Process, reading: int, tail: Tail) -> str:
    """Kill what is left of the session, and return the output."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    # One that sleeps uninterruptibly is reaped when it wakes; nobody waits for that.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REAP_LIMIT_S):
            await process.wait()
    asyncio.get_running_loop().remove_reader(reading)
    for _ in range(_CHUNKS_AFTER_THE_END):
        if _take(reading, tail) != "some":
            break
    os.close(reading)
    return tail.text()


def _take_or_stop(loop: asyncio.AbstractEventLoop, reading: int, tail: Tail) -> None:
    if _take(reading, tail) == "end":
        loop.remove_reader(reading)


def _take(reading: int, tail: Tail) -> Literal["some", "nothing now", "end"]:
    """Take what is there."""
    try:
        chunk = os.read(reading, _CHUNK_BYTES)
    except BlockingIOError:
        return "nothing now"
    tail.add(chunk)
    return "some" if chunk else "end"


def _filled_pipe(content: bytes) -> int:
    """A pipe's end to read from, with all of it in the pipe: nobody has to be there to write."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        if os.write(writing, content) < len(content):
            raise BlockingIOError(0, f"a pipe does not hold {len(content)} bytes")
    except OSError:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return reading
