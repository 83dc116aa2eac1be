"""The commands against a real etcd that holds the documents of a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from common.model.history import HistoryEvent
from common.model.keys import Keys
from common.model.reasons import Reason
from common.model.requests import Request
from common.model.spec import ClusterSpec
from common.status.documents import Documents
from common.store.etcd import EtcdSettings, EtcdStore
from common.store.port import Delete, Put
from pgha.main import run
from tests.support import aio
from tests.support.aio import LIMIT_S
from tests.support.etcd import EtcdServer
from tests.support.healthy import NOW, documents, stored, view

KEYS = Keys("demo")
WARNING = Reason(code="keeper_missing", severity="warning", text="no report", fix="start it")


@pytest.fixture(scope="module")
def etcd() -> Iterator[EtcdServer]:
    with EtcdServer() as server:
        yield server


@pytest.fixture(autouse=True)
def clean_store(etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHA_CLUSTER", "demo")
    monkeypatch.setenv("PGHA_ETCD_ENDPOINTS", etcd.url)
    monkeypatch.setenv("PGHA_ETCD_TIMEOUT_S", f"{LIMIT_S:g}")

    async def clear() -> None:
        store = EtcdStore(EtcdSettings(endpoints=(etcd.url,), timeout_s=LIMIT_S))
        found = await store.read("/pgha/")
        await store.transact([], [Delete(item.key) for item in found.items])
        await store.close()

    aio.run(clear())


def put(etcd: EtcdServer, values: dict[str, bytes]) -> None:
    async def write() -> None:
        store = EtcdStore(EtcdSettings(endpoints=(etcd.url,), timeout_s=LIMIT_S))
        await store.transact([], [Put(key, value) for key, value in values.items()])
        await store.close()

    aio.run(write())


def event(generation: int) -> dict[str, bytes]:
    written = HistoryEvent(
        generation=generation, term=4, at=NOW, kind="route_set", text=f"number {generation}"
    )
    return {KEYS.event(generation): written.to_bytes()}


def value(etcd: EtcdServer, key: str) -> bytes:
    """What stands under a key; empty when nothing does."""

    async def read() -> bytes:
        store = EtcdStore(EtcdSettings(endpoints=(etcd.url,), timeout_s=LIMIT_S))
        found = await store.read(key)
        await store.close()
        return next((item.value for item in found.items), b"")

    return aio.run(read())


def asked(etcd: EtcdServer) -> list[Request]:
    """What stands in the store of what was asked for."""

    async def read() -> list[Request]:
        store = EtcdStore(EtcdSettings(endpoints=(etcd.url,)))
        found = await store.read(KEYS.requests)
        await store.close()
        return [Request.from_bytes(item.value) for item in found.items]

    return aio.run(read())


def test_what_is_asked_for_stands_in_the_store_in_the_term_of_that_moment(
    etcd: EtcdServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """For the sentinels; whoever does not wait is told its id, and finds it in the list."""
    put(etcd, stored(documents()))

    assert run(["failover", "--continue", "--no-wait", "--by", "anna", "-o", "json"]) == 0

    (request,) = asked(etcd)
    assert (request.kind, request.term, request.by, request.state) == ("continue", 4, "anna", "pending")
    assert json.loads(capsys.readouterr().out)["id"] == request.id
    assert run(["requests", "list", "-o", "json"]) == 0
    assert [each["id"] for each in json.loads(capsys.readouterr().out)] == [request.id]


def test_what_nobody_takes_up_is_waited_for_no_longer_than_wanted(
    etcd: EtcdServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """It still stands, can be followed, and taken back."""
    put(etcd, stored(documents()))

    assert run(["pause", "--yes", "--timeout", "0.3"]) == 4
    (request,) = asked(etcd)
    assert f"pgha requests cancel {request.id}" in capsys.readouterr().out
    assert run(["requests", "follow", request.id, "--timeout", "0.3"]) == 4
    assert run(["requests", "cancel", request.id, "--by", "ben", "--timeout", "0.3"]) == 4

    (taken_back,) = asked(etcd)
    assert taken_back.cancel is not None
    assert taken_back.cancel.by == "ben"


def test_what_begins_later_than_anybody_would_wait_is_not_waited_for(
    etcd: EtcdServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says until when it waits, and how it is taken back."""
    put(etcd, stored(documents()))

    assert run(["switchover", "--at", "2999-12-24T03:00+00:00", "--yes"]) == 0

    (request,) = asked(etcd)
    said = capsys.readouterr().out
    assert "is pending until 2999-12-24 03:00:00 UTC" in said
    assert f"pgha requests cancel {request.id}" in said


def test_a_dry_run_and_an_unanswered_question_ask_for_nothing(
    etcd: EtcdServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one says what would be done, the other which option answers."""
    put(etcd, stored(documents()))

    assert run(["pause", "--dry-run"]) == 0
    assert "this would be done:" in capsys.readouterr().out
    assert run(["pause", "--dry-run", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["will"]
    assert run(["pause"]) == 64
    assert "give --yes" in capsys.readouterr().err
    assert run(["resume"]) == 0
    assert "nothing to do: the cluster is not paused" in capsys.readouterr().out
    assert asked(etcd) == []


def test_a_request_that_cannot_be_read_is_removed_by_cancelling_it(
    etcd: EtcdServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status names it until then."""
    put(etcd, {**stored(documents()), KEYS.request("bad"): b"{"})

    assert run(["status"]) == 1
    assert "pgha requests cancel bad" in capsys.readouterr().out
    assert run(["requests", "cancel", "bad"]) == 1
    assert value(etcd, KEYS.request("bad")) == b""
    assert run(["requests", "cancel", "bad"]) == 1
    assert "there is no request bad" in capsys.readouterr().err


def test_where_there_is_no_cluster_nothing_can_be_asked_for(
    etcd: EtcdServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor is anything written."""
    assert run(["failover", "--continue"]) == 1
    assert "has no view" in capsys.readouterr().err
    assert asked(etcd) == []


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (documents(), 0),
        (documents(reasons=(WARNING,)), 1),
        (documents(view=view(route=None, phase="sealing")), 2),
        (Documents("demo"), 2),
    ],
    ids=["healthy", "degraded", "no primary", "empty store"],
)
def test_the_exit_code_of_status_is_the_clusters_health(
    found: Documents, code: int, etcd: EtcdServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Monitoring needs no text; and JSON says the same."""
    put(etcd, stored(found))

    assert run(["status"]) == code
    assert capsys.readouterr().out.startswith("cluster demo: ")
    assert run(["status", "-o", "json"]) == code
    assert json.loads(capsys.readouterr().out)["cluster"] == "demo"


def test_status_shows_a_malformed_document_and_everything_else(
    etcd: EtcdServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """One broken report is named, with its key; the others stand in their lines."""
    put(etcd, stored(documents()) | {KEYS.keeper("sandun-2"): b"{"})

    assert run(["status"]) == 1

    shown = capsys.readouterr().out
    assert "/pgha/demo/keepers/sandun-2 cannot be read" in shown
    assert "shiqiao-1" in shown


def test_status_shows_figures_with_their_age_when_no_keeper_answers(
    etcd: EtcdServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dead API costs 300 ms at most, and the figure of the report is marked as such."""
    reports = {
        uid: report.changed(api_url="http://127.0.0.1:1") for uid, report in documents().keepers.items()
    }
    put(etcd, stored(documents(keepers=reports)))

    assert run(["status", "-o", "json"]) == 0

    rows = json.loads(capsys.readouterr().out)["keepers"]
    assert {(row["figures"], row["lsn"]) for row in rows} == {("report", "0/5000000")}
    assert all(row["age_s"] > 0 for row in rows)


def test_init_writes_a_spec_once_and_never_overwrites_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second init fails, says how to see the spec, and leaves it as it was."""
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("durability: {acks: 2}\n")
    second.write_text("durability: {acks: 3}\n")

    assert run(["init", "-f", str(first)]) == 0
    assert "next: start pgha-sentinel" in capsys.readouterr().out
    assert run(["init", "-f", str(second)]) == 1
    assert "pgha spec show" in capsys.readouterr().err
    assert run(["spec", "show"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["durability"]["acks"] == 2


def test_init_without_a_file_writes_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    """What is written is shown, every default included."""
    assert run(["init"]) == 0
    capsys.readouterr()

    assert run(["spec", "show", "-o", "json"]) == 0
    assert ClusterSpec.from_plain(json.loads(capsys.readouterr().out)) == ClusterSpec()


def test_an_invalid_spec_is_never_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Init checks before it writes."""
    file = tmp_path / "spec.yaml"
    file.write_text("timings: {fence_after: 1s}\n")

    assert run(["init", "-f", str(file)]) == 1
    assert "fence_after" in capsys.readouterr().err
    assert run(["spec", "show"]) == 1
    assert "has no spec" in capsys.readouterr().err


def test_history_shows_the_latest_events_oldest_first(
    etcd: EtcdServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """``-n`` counts from the end."""
    put(etcd, event(1) | event(2) | event(3))

    assert run(["history", "-n", "2", "-o", "json"]) == 0
    assert [each["generation"] for each in json.loads(capsys.readouterr().out)] == [2, 3]
    assert run(["history"]) == 0
    assert [line.rpartition("  ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "number 1",
        "number 2",
        "number 3",
    ]


def test_history_follows_until_it_is_interrupted(etcd: EtcdServer) -> None:
    """New events appear as they are written; Ctrl-C is how it ends."""
    put(etcd, event(1))
    process = subprocess.Popen(
        [sys.executable, "-m", "pgha", "history", "--follow", "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["generation"] == 1
        put(etcd, event(2))
        assert json.loads(process.stdout.readline())["generation"] == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.communicate()


def test_status_watch_ends_without_an_error_at_ctrl_c(etcd: EtcdServer) -> None:
    """Ending it is no failure of the cluster."""
    put(etcd, stored(documents()))
    process = subprocess.Popen(
        [sys.executable, "-m", "pgha", "status", "--watch", "--interval", "0.2", "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    try:
        for _ in range(2):
            assert json.loads(process.stdout.readline())["health"] == "healthy"
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()


def test_status_of_a_dead_store_exits_3_soon(etcd: EtcdServer, capsys: pytest.CaptureFixture[str]) -> None:
    """A paused etcd answers nobody: the command says so instead of hanging."""
    etcd.pause()
    began = time.monotonic()
    try:
        assert run(["status", "--etcd-timeout-s", "2"]) == 3
    finally:
        etcd.resume()
    assert time.monotonic() - began < LIMIT_S
    assert "cannot reach etcd" in capsys.readouterr().err
