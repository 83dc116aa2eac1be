"""Starting, ending and finding the demo's processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from common.runtime.clock import SystemClock
from pgha.demo.processes import Service, kill_postgres, ports_in_use, postgres_processes
from tests.support.aio import eventually, run
from tests.support.ports import free_port


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_service_is_ended_with_its_children(tmp_path: Path) -> None:
    """One that ignores SIGTERM is killed, and so is what it started."""
    script = "trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000"

    async def start_and_end() -> tuple[int, int | None]:
        service = Service("stubborn", ["sh", "-c", script], tmp_path / "log", os.environ)
        await service.start()
        await eventually(lambda: bool((tmp_path / "log").read_text()), "the child's pid")
        child = int((tmp_path / "log").read_text())
        await service.end(0.2)
        await eventually(lambda: not alive(child), "the child has ended, too")
        return child, service.pid

    child, pid = run(start_and_end())

    assert pid is None
    assert not alive(child)


def test_a_service_dies_when_the_demo_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves no time to clear up: the kernel does it."""
    program = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from pgha.demo.processes import Service\n"
        "async def main():\n"
        "    service = Service('s', ['sleep', '1000'], Path(sys.argv[1]), os.environ)\n"
        "    await service.start()\n"
        "    print(service.pid, flush=True)\n"
        "    await asyncio.sleep(1000)\n"
        "asyncio.run(main())\n"
    )
    demo = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    assert demo.stdout is not None
    pid = int(demo.stdout.readline())
    assert alive(pid)

    demo.kill()
    demo.communicate()

    run(eventually(lambda: not alive(pid), "the service's end"))


def test_a_port_in_use_is_named_with_who_wanted_it() -> None:
    """A person can tell which port to free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen()
        taken = listener.getsockname()[1]

        found = ports_in_use({taken: "proxy proxy-sandun", free_port(): "etcd"}, "127.0.0.1")

    assert found == [f"{taken} (for proxy proxy-sandun): Address already in use"]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory with a program that could be PostgreSQL's, for the eyes of a scan."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("postgres", "psql"):
        shutil.copy("/bin/sleep", directory / name)
    return directory


def test_postgresql_is_found_by_executable_and_directory(programs: Path, tmp_path: Path) -> None:
    """A server of another directory, a person's shell and a person's psql are left alone."""
    ours, other = tmp_path / "demo" / "data", tmp_path / "demolition"
    ours.mkdir(parents=True)
    other.mkdir()
    server = subprocess.Popen([programs / "postgres", "1000"], cwd=ours)
    bystanders = [
        subprocess.Popen([programs / "postgres", "1000"], cwd=other),
        subprocess.Popen(["/bin/sleep", "1000"], cwd=ours),
        subprocess.Popen([programs / "psql", "1000"], cwd=ours),
    ]
    try:
        (programs / "postgres").unlink()
        assert postgres_processes([tmp_path / "demo"], programs) == [server.pid]

        assert run(kill_postgres([tmp_path / "demo"], programs, SystemClock(), 5.0))

        assert server.wait(5) == -signal.SIGKILL
        assert all(each.poll() is None for each in bystanders)
    finally:
        for each in (server, *bystanders):
            each.kill()
            each.wait()


def test_processes_that_do_not_end_are_admitted(programs: Path, tmp_path: Path) -> None:
    """The demo must not claim that nothing is left."""
    server = subprocess.Popen([programs / "postgres", "1000"], cwd=tmp_path)
    try:
        assert not run(kill_postgres([tmp_path], programs, SystemClock(), -1.0))
    finally:
        server.kill()
        server.wait()


def test_asyncio_reaps_what_a_fault_has_killed(tmp_path: Path) -> None:
    """A killed service shows as ended, so that it can be started again."""

    async def kill_and_start_again() -> bool:
        service = Service("s", ["sleep", "1000"], tmp_path / "log", os.environ)
        await service.start()
        first = service.pid
        service.signal(signal.SIGKILL)
        await eventually(lambda: service.pid is None, "its end")
        await asyncio.sleep(0)
        await service.start()
        again = service.pid is not None and service.pid != first
        await service.end(5.0)
        return again

    assert run(kill_and_start_again())
