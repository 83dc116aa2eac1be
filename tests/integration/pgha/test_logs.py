"""Collecting the last lines of several services, over real HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from common.runtime.http import http_server, log_route
from common.runtime.tail import LogTail
from pgha.logs.gather import Line, Reader
from tests.support.aio import LIMIT_S, run
from tests.support.cluster import Cluster, cluster
from tests.support.commands import pgha


@asynccontextmanager
async def served(tail: LogTail) -> AsyncIterator[str]:
    async with http_server(
        (log_route(tail),), host="127.0.0.1", port=0, setting="--api-port", problems=tuple
    ) as url:
        yield url


def note(tail: LogTail, event: str, at: int) -> None:
    tail(None, "info", {"event": event, "timestamp": f"2026-03-01T03:00:0{at}Z", "level": "info"})


def events(lines: list[Line]) -> list[tuple[str, str]]:
    return [(line.uid, line.event) for line in lines]


def test_lines_of_all_services_come_in_the_order_of_their_times_and_only_once() -> None:
    """What was read is not read again; who does not answer, or is none of ours, is named."""

    async def story() -> None:
        one, two = LogTail(), LogTail()
        note(one, "first", 1)
        note(two, "second", 2)
        note(one, "third", 3)
        async with served(one) as url_one, served(two) as url_two:
            reader = Reader(
                {
                    "s": ("sentinel", url_one),
                    "k": ("keeper", url_two),
                    "gone": ("proxy", "http://127.0.0.1:1"),
                    "other": ("proxy", f"{url_one}/healthz?"),
                }
            )
            lines, silent = await reader.read()
            note(two, "fourth", 4)
            more, _ = await reader.read()

        assert events(lines) == [("s", "first"), ("k", "second"), ("s", "third")]
        assert set(silent) == {"gone", "other"}
        assert events(more) == [("k", "fourth")]

    run(story())


def test_a_service_that_was_restarted_is_read_from_its_beginning() -> None:
    """Its numbers begin anew, below what was seen."""

    async def story() -> None:
        before, after = LogTail(), LogTail()
        for number in range(5):
            note(before, f"old {number}", number)
        note(after, "new", 9)
        async with served(before) as url_before, served(after) as url_after:
            reader = Reader({"k": ("keeper", url_before)})
            await reader.read()
            reader.services = {"k": ("keeper", url_after)}
            lines, _ = await reader.read()

        assert events(lines) == [("k", "new")]

    run(story())


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def test_the_decisions_of_all_services_are_shown(running: Cluster) -> None:
    """Who led, who was named, what each keeper did."""
    said = pgha(running, "logs", "-n", "500", "-o", "json")
    lines = said.json
    found = {(line["service"], line["event"]) for line in lines}

    assert said.code == 0
    assert ("sentinel", "leads") in found
    assert ("sentinel", "route_set") in found
    assert ("keeper", "plan") in found
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)


def test_services_level_and_number_are_chosen(running: Cluster) -> None:
    """One service alone, the latest line alone, only what is worse."""
    one = pgha(running, "logs", running.primary, "-n", "1", "-o", "json").json
    text = pgha(running, "logs", running.primary, "-n", "3")

    assert [line["uid"] for line in one] == [running.primary]
    assert len(text.out.splitlines()) == 3
    assert running.primary in text.out
    assert all(
        line["level"] == "error" for line in pgha(running, "logs", "--level", "error", "-o", "json").json
    )
    assert pgha(running, "logs", "-n", "0").out == ""


def test_wrong_services_and_clusters_are_named(running: Cluster) -> None:
    """Field, value, and what there is."""
    wrong, nobody = pgha(running, "logs", "mars"), pgha(running, "logs", "--cluster", "other")

    assert wrong.code == 64
    assert "UID = 'mars'" in wrong.err
    assert "proxy-1" in wrong.err
    assert nobody.code == 1
    assert "no service of cluster other" in nobody.err


def test_new_lines_are_followed_until_ctrl_c(running: Cluster) -> None:
    """A failover is seen as it happens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pgha", "logs", "--follow", "-n", "1", "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=running.environment,
    )
    assert process.stdout is not None
    try:
        json.loads(process.stdout.readline())
        running.run(running.crash(running.primary))
        while json.loads(process.stdout.readline())["event"] != "route_set":
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.communicate()
