"""Which processes that a keeper may not look at it need not mind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keeper.proc import Place, may_run_as

SOMEBODY, ELSE = 4001, 4002


def test_a_server_of_another_user_is_of_another_directory(tmp_path: Path) -> None:
    """A server runs as the owner of its data, or it refuses to start."""
    assert not may_run_as(Place.of(tmp_path), ELSE)
    assert may_run_as(Place.of(tmp_path), os.geteuid())


def test_when_the_directory_is_gone_an_ordinary_user_minds_only_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another PostgreSQL on the machine must not keep it from working."""
    monkeypatch.setattr("os.geteuid", lambda: SOMEBODY)

    assert not may_run_as(Place.of(tmp_path / "gone"), ELSE)
    assert may_run_as(Place.of(tmp_path / "gone"), SOMEBODY)


def test_when_the_directory_is_gone_root_minds_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have started a server as any user."""
    monkeypatch.setattr("os.geteuid", lambda: 0)

    assert may_run_as(Place.of(tmp_path / "gone"), SOMEBODY)
