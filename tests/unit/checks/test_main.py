"""The checkers as a program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.checks.__main__ import main
from tests.checks.history import Add, Members, Operation
from tests.checks.jsonlines import write_history
from tests.unit.checks.builders import did, history

ROOT = Path(__file__).parents[3]


def file_of(directory: Path, *operations: Operation) -> str:
    path = directory / "history.jsonl"
    write_history(path, history(*operations))
    return str(path)


def test_a_good_history_is_exit_code_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each key."""
    code = main([file_of(tmp_path, did(Add("t", 1), 1, 2), did(Members("t", (1,)), 3, 4))])

    assert code == 0
    assert capsys.readouterr().out == "set t: holds (writes: 1 ok, 0 failed, 0 unknown; reads: 1)\n"


def test_a_violation_is_exit_code_1(tmp_path: Path) -> None:
    """As a process of its own; the verdict is on standard output."""
    name = file_of(tmp_path, did(Add("t", 1), 1, 2), did(Members("t", ()), 3, 4))
    done = subprocess.run(
        [sys.executable, "-m", "tests.checks", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert done.stdout.startswith("set t: VIOLATED")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("operations", "text"),
    [((), "NOT SHOWN: no operation"), ((did(Add("t", 1), 1, 2),), "not-looked-for: 1 elements were ack")],
    ids=["empty", "no read"],
)
def test_a_history_that_shows_nothing_is_exit_code_1(
    operations: tuple[Operation, ...], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody may take it for a good one."""
    assert main([file_of(tmp_path, *operations)]) == 1
    assert text in capsys.readouterr().out


def test_wrong_usage_is_exit_code_64(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No file, two files, a file that is not there or is no history: one line on standard error."""
    broken = tmp_path / "broken"
    broken.write_text('{"op":"add"}\n')
    calls: tuple[list[str], ...] = ([], ["a", "b"], ["--help"], [str(tmp_path / "none")], [str(broken)])

    for arguments in calls:
        assert main(arguments) == 64
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
    assert "broken: line 1, field client: missing" in said.err
