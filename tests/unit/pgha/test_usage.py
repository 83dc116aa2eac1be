"""Wrong usage: exit code 64 and one line on standard error, in every command."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from pgha.main import COMMANDS as COMMANDS_THERE
from pgha.main import app_for, run

WRONG = [
    [],
    ["stat"],
    ["status", "--nope"],
    ["status", "-o", "xml"],
    ["status", "extra"],
    ["status", "--cluster", "a b"],
    ["status", "--etcd-endpoints", ""],
    ["status", "--etcd-endpoints", "ftp://x"],
    ["status", "--etcd-user", "me"],
    ["status", "--etcd-tls-cert-file", "/nope"],
    ["status", "--watch", "--interval", "0"],
    ["history", "-n", "many"],
    ["history", "-n", "-1"],
    ["explain", "one", "two"],
    ["explain", "-o", "xml"],
    ["topology", "extra"],
    ["dsn", "--direct", "best"],
    ["dsn", "--for", "odbc"],
    ["query"],
    ["query", "SELECT 1", "--timeout", "0"],
    ["logs", "--level", "loud"],
    ["logs", "-n", "-1"],
    ["failover"],
    ["failover", "--now"],
    ["failover", "--force"],
    ["failover", "--force", "--continue", "--accept-data-loss"],
    ["failover", "--continue", "--off", "sandun-1"],
    ["restart"],
    ["restart", "sandun-1", "--all"],
    ["restart", "--all", "--at", "2020-01-01T00:00"],
    ["fence"],
    ["reinit", "sandun-1", "--from"],
    ["init", "-f", "/does/not/exist"],
    ["failover", "--continue", "--by", ""],
    ["resume", "--accept-restored-store", "--timeout", "-1"],
    ["resume", "--accept-restored-store", "--sentinel", "http://127.0.0.1:7433"],
    ["resume", "--without", "sandun-1"],
    ["resume", "--sentinel", "127.0.0.1:7433"],
    ["switchover", "--to", "a", "--site", "b"],
    ["switchover", "--drain", "5"],
    ["switchover", "--drain", "2h"],
    ["switchover", "--to", ""],
    ["switchover", "--at", "soon"],
    ["switchover", "--at", "2001-01-01T00:00"],
    ["switchover", "--cancel", "--to", "a"],
    ["pause", "--by", "a\nb"],
    ["pause", "--timeout", "soon"],
    ["pause", "now"],
    ["requests"],
    ["requests", "follow"],
    ["requests", "cancel"],
    ["requests", "cancel", "some", "--dry-run"],
    ["spec"],
    ["spec", "nope"],
    ["spec", "validate"],
    ["spec", "diff"],
    ["spec", "apply"],
    ["spec", "apply", "-f", "/does/not/exist"],
    ["spec", "rollback", "zero"],
    ["spec", "history", "-n", "-1"],
    ["spec", "validate", "/does/not/exist"],
    ["version", "extra"],
    ["demo", "--keepers", "2"],
    ["demo", "--keepers", "two,two"],
    ["demo", "--keepers", "0,0"],
    ["demo", "--etcd", "2"],
    ["demo", "--port-base", "80"],
    ["demo", "--exercise", "crash,earthquake"],
    ["demo", "--survive", "planet"],
    ["demo", "--mode", "eventually"],
    ["demo", "--postgres", "/does/not/exist"],
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_exits_64_with_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts can tell a mistake in the command from a sick cluster."""
    assert run(arguments) == 64

    said = capsys.readouterr()

    assert said.out == ""
    assert said.err.startswith("pgha: ")
    assert said.err.count("\n") == 1
    assert "--help" in said.err


COMMANDS = (
    "init status explain topology dsn query logs history failover pause resume requests spec demo version"
)


@pytest.mark.parametrize("command", COMMANDS.split())
def test_help_is_no_mistake(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Asking for help succeeds and writes to standard output."""
    assert run([command, "--help"]) == 0
    assert f"Usage: pgha {command}" in capsys.readouterr().out


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The release and the Python that runs it."""
    assert run(["version"]) == 0
    assert capsys.readouterr().out.startswith("pgha 0.")


def test_an_invalid_spec_names_every_wrong_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown field, missing unit, contradiction: each with field, value and rule, in one line."""
    file = tmp_path / "spec.yaml"
    file.write_text("durabilty: {}\ntimings: {lease_ttl: 3, park_timeout: 5 parsecs}\n")

    assert run(["spec", "validate", str(file)]) == 1

    said = capsys.readouterr().err
    assert "durabilty" in said
    assert "timings.lease_ttl = 3" in said
    assert "park_timeout" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("content", ["sites: [", "- a list", "\x00"])
def test_what_is_no_spec_at_all_is_said_in_one_line(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback for a file that is something else."""
    file = tmp_path / "spec.yaml"
    file.write_text(content)

    assert run(["spec", "validate", str(file)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_valid_spec_is_called_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON is YAML too."""
    file = tmp_path / "spec.json"
    file.write_text('{"durability": {"survive": "site", "acks": 2}}')

    assert run(["spec", "validate", str(file)]) == 0
    assert "valid" in capsys.readouterr().out


def test_a_dash_is_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a file of that name."""
    monkeypatch.setattr("sys.stdin", io.StringIO("durability: {acks: two}"))

    assert run(["spec", "validate", "-"]) == 1
    assert "durability.acks = 'two'" in capsys.readouterr().err


def test_a_store_out_of_reach_exits_3(capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names the endpoint and what to do."""
    assert run(["status", "--etcd-endpoints", "http://127.0.0.1:1"]) == 3

    said = capsys.readouterr().err
    assert "cannot reach etcd at http://127.0.0.1:1" in said
    assert said.count("\n") == 1


def test_every_command_is_there_and_the_general_help_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    """Each is imported only when it is asked for; the list of all imports all."""
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in COMMANDS_THERE:
        assert f"\n  {name} " in shown
        assert len(app_for([name]).registered_commands) + len(app_for([name]).registered_groups) == 1
