"""The text of ``pgha status``."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from common.model.reasons import Reason
from common.model.view import SyncSet, SyncState
from common.status.assemble import assemble
from common.status.documents import Documents
from common.store.port import StoreMember
from pgha.status.render import age, render, size
from tests.support.healthy import NOW, documents, view

ETCD = StoreMember("http://127.0.0.1:2379", "etcd-witness", is_leader=True, version="3.4.23", problem="")


def text(found: Documents) -> str:
    out = io.StringIO()
    render(assemble(found, {}, (ETCD,), NOW), Console(file=out, width=200, markup=False))
    return out.getvalue()


def line_of(shown: str, begins: str) -> list[str]:
    return next(line for line in shown.splitlines() if line.startswith(begins)).split()


def test_the_first_lines_say_what_matters() -> None:
    """Health, term, primary, where writers go, and who leads stand above everything else."""
    lines = text(documents()).splitlines()

    assert lines[0] == "cluster demo: healthy, term 4, running"
    assert lines[1] == "primary:  sandun-1 (sandun), writers go to 127.0.0.1:24820"
    assert lines[2] == "leader:   sentinel-witness"
    assert lines[3] == "sync set: 1 of shiqiao-1, shiqiao-2, mode degrade"


def test_a_set_that_asks_nobody_says_what_protects_instead() -> None:
    """Zero of nobody would look like a mistake."""
    alone = view(sync=SyncState(current=SyncSet(id=15, k=0)))

    assert "sync set: nobody (a lease protects commits), mode degrade" in text(documents(view=alone))


def test_every_keeper_proxy_and_etcd_member_has_a_line() -> None:
    """One line each, with what the issue of the moment may turn on."""
    shown = text(documents())

    assert line_of(shown, "sandun-1")[2:7] == ["127.0.0.1:24820", "primary", "running", "2", "0/5000000"]
    assert line_of(shown, "shiqiao-2")[-5:] == ["sync", "member", "0.0", "s", "ago"]
    assert line_of(shown, "proxy-shiqiao")[3:7] == ["sandun-1", "4", "3", "0"]
    assert line_of(shown, "http://127.0.0.1:2379") == [
        "http://127.0.0.1:2379",
        "etcd-witness",
        "leader",
        "3.4.23",
        "answers",
    ]


def test_reasons_come_with_what_to_do() -> None:
    """A reason alone is half of what a person needs at night."""
    reason = Reason(code="primary_down", severity="critical", text="it is down", fix="start [it]")

    shown = text(documents(reasons=(reason,)))

    assert "critical: it is down\n    to do: start [it]\n" in shown


def test_no_primary_cannot_be_overlooked() -> None:
    """Neither the headline nor the primary's line leaves a doubt."""
    shown = text(documents(view=view(route=None, phase="sealing", primary=None)))

    assert shown.startswith("cluster demo: NO PRIMARY, term 4, sealing\nprimary:  none\n")


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 kB"), (5 << 20, "5.0 MB"), (3 << 40, "3.0 TB")],
)
def test_sizes_are_short(size_bytes: int, shown: str) -> None:
    """A unit that a person takes in at a glance."""
    assert size(size_bytes) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.24, "0.2 s"), (7.4, "7 s"), (600, "10 min"), (7200, "2 h"), (400_000, "5 d")]
)
def test_ages_are_short(seconds: float, shown: str) -> None:
    """A unit that a person takes in at a glance."""
    assert age(seconds) == shown
