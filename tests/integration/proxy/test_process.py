"""The program itself, against a real etcd that comes and goes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.model.keys import Keys
from common.model.reports import ProxyReport
from common.model.spec import ClusterSpec
from common.runtime.http import get_json
from common.store.etcd import EtcdSettings, open_store
from common.store.port import Put
from tests.integration.proxy.stage import HOST, STARTUP, Connection, FakeServer, fake_server, run, term_view
from tests.support.aio import LIMIT_S, until
from tests.support.etcd import EtcdServer
from tests.support.ports import free_port

KEYS = Keys("demo")

UNHURRIED = ClusterSpec.from_plain({"timings": {"proxy_timeout": "60s", "fence_after": "120s"}})
"""The time that a proxy serves without any proof is not what is tested here."""


@dataclass
class Program:
    """A proxy that runs as a process of its own."""

    process: asyncio.subprocess.Process
    port: int
    api_port: int
    log: Path
    clients: list[Connection] = field(default_factory=list)

    async def connect(self) -> Connection:
        """A client, its first packet sent."""
        client = Connection(*await asyncio.open_connection(HOST, self.port))
        self.clients.append(client)
        client.send(STARTUP)
        return client

    async def status(self) -> Any:
        return await get_json(f"http://{HOST}:{self.api_port}/status", timeout_s=LIMIT_S)

    async def serves(self, term: int) -> Any:
        """Wait until it has a route of this term; 0 for none."""
        return await until(self._term, lambda found: found == term, f"term {term}")

    async def _term(self) -> int | None:
        try:
            return int((await self.status())["term"])
        except Exception:  # noqa: BLE001 - it has not begun to listen
            return None

    async def http_status(self, path: str) -> int:
        """The status code of a path of its API."""
        reader, writer = await asyncio.open_connection(HOST, self.api_port)
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        line = await asyncio.wait_for(reader.readline(), LIMIT_S)
        writer.close()
        return int(line.split()[1])

    async def end(self) -> int:
        """Ask it to stop, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), LIMIT_S)

    def events(self) -> list[str]:
        """The events that it has logged."""
        return [json.loads(line)["event"] for line in self.log.read_text().splitlines()]


@asynccontextmanager
async def program(etcd_url: str, *options: str, port: int | None = None) -> AsyncIterator[Program]:
    """A proxy's process, killed if it is still there at the end."""
    port, api_port = port or free_port(), free_port()
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        with log.open("wb") as handle:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "proxy.main", "--cluster", "demo", "--uid", "p1", "--site", "sandun"),
                *("--port", str(port), "--api-port", str(api_port), "--etcd-endpoints", etcd_url),
                *options,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
                env={name: value for name, value in os.environ.items() if not name.startswith("PGHA_")},
            )
        running = Program(process, port, api_port, log)
        try:
            yield running
        finally:
            for client in running.clients:
                client.abort()
            if process.returncode is None:
                process.kill()
                await process.wait()


async def put(etcd: EtcdServer, key: str, value: bytes) -> None:
    """Write as a sentinel would."""
    store = open_store(EtcdSettings(endpoints=(etcd.url,), timeout_s=LIMIT_S))
    try:
        await store.transact([], [Put(key, value)])
    finally:
        await store.close()


async def report(etcd: EtcdServer) -> ProxyReport | None:
    store = open_store(EtcdSettings(endpoints=(etcd.url,), timeout_s=LIMIT_S))
    try:
        found = (await store.read(KEYS.proxy("p1"))).items
        return ProxyReport.from_bytes(found[0].value) if found else None
    finally:
        await store.close()


async def arrives(server: FakeServer) -> Connection:
    there = await server.accept()
    assert await there.receive(len(STARTUP)) == STARTUP
    return there


def test_a_proxy_works_in_whatever_order_the_store_comes_and_goes() -> None:
    """It starts before etcd, keeps its route and its sessions without it, and obeys it when it is back."""

    async def story(etcd: EtcdServer) -> None:
        await asyncio.to_thread(etcd.stop)
        async with fake_server() as old, fake_server() as new, program(etcd.url) as proxy:
            await proxy.serves(0)
            waiting = await proxy.connect()
            unready = await proxy.http_status("/readyz")
            await asyncio.to_thread(etcd.start)
            await put(etcd, KEYS.spec, UNHURRIED.to_bytes())
            await put(etcd, KEYS.view, term_view(4, old.port).to_bytes())
            there = await arrives(old)
            ready = await proxy.http_status("/readyz")
            await until(lambda: report(etcd), lambda found: found and found.term == 4, "its report")

            await asyncio.to_thread(etcd.kill)
            await until(
                proxy.status, lambda status: not status["store"]["in_contact"], "it knows that etcd is away"
            )
            waiting.send(b"query")
            assert await there.receive(5) == b"query"
            later = await proxy.connect()
            await arrives(old)
            without_store = await proxy.status()

            await asyncio.to_thread(etcd.start)
            await put(etcd, KEYS.view, term_view(5, None).to_bytes())
            assert await waiting.rest() == b""
            assert await later.rest() == b""
            parked = await proxy.connect()
            await put(etcd, KEYS.view, term_view(5, new.port).to_bytes())
            (await arrives(new)).send(b"R")
            assert await parked.receive(1) == b"R"
            await until(lambda: report(etcd), lambda found: found and found.term == 5, "its report")

            assert (unready, ready, await proxy.http_status("/healthz")) == (503, 200, 200)
            assert [reason["code"] for reason in without_store["reasons"]] == ["store_unreachable"]
            assert await proxy.end() == 0
            assert await report(etcd) is None
            assert "stray_error" not in proxy.events()

    with EtcdServer() as etcd:
        run(story(etcd))


def test_a_port_in_use_ends_the_program_with_one_line_that_says_so() -> None:
    """Before it has touched anything else."""

    async def story() -> None:
        async with fake_server() as other, program(f"http://{HOST}:1", port=other.port) as proxy:
            code = await asyncio.wait_for(proxy.process.wait(), LIMIT_S)
            line = json.loads(proxy.log.read_text().splitlines()[-1])

            assert code == 1
            assert line["event"] == "service_failed"
            assert f"cannot listen on {HOST} port {other.port}" in line["error"]

    run(story())


def test_wrong_settings_are_refused_by_name() -> None:
    """Each with its rule, and exit code 64."""

    async def story() -> None:
        async with program(f"http://{HOST}:1", "--dial-timeout-s", "0", "--uid", "a/b") as proxy:
            code = await asyncio.wait_for(proxy.process.wait(), LIMIT_S)
            said = proxy.log.read_text()

            assert code == 64
            assert "dial_timeout_s" in said
            assert "uid" in said

    run(story())
