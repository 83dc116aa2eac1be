"""Fence agents as real programs: good, failing, hanging with a child, chatty, and with a wrong status."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import pytest
from structlog.testing import capture_logs

from common.model.spec import FenceSpec
from common.runtime.clock import SystemClock
from sentinel.fencing.fencer import Fencer, FenceResult
from tests.support.aio import eventually, run

SECRET = "correct horse"

BEGIN = """#!/bin/sh
here={here}
action=none
while IFS= read -r line; do
    echo "$line" >> $here/told
    case "$line" in action=*) action="${{line#action=}}";; esac
done
echo "$action $#" >> $here/calls
"""

KNOWS_STATUS = '<ra><actions><action name="off"/><action name="status"/></actions></ra>'
KNOWS_NONE = '<ra><actions><action name="off"/></actions></ra>'

GOOD = f"""case "$action" in
    off) touch $here/is_off;;
    status) test -e $here/is_off && exit 2; exit 0;;
    monitor) exit 0;;
    metadata) echo '{KNOWS_STATUS}';;
    *) exit 1;;
esac
"""

NO_STATUS = f"""case "$action" in
    off) exit 0;;
    metadata) echo '{KNOWS_NONE}';;
    *) echo "Unknown action" >&2; exit 1;;
esac
"""


class Workshop:
    """Where a test makes its agents, and what they were told."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.fencer = Fencer(SystemClock(), (here,))

    def agent(self, body: str) -> Path:
        path = self.here / "fence_test"
        path.write_text(BEGIN.format(here=self.here) + body)
        path.chmod(0o755)
        return path

    def spec(self, body: str, *, timeout: str = "20s", password: bool = False) -> FenceSpec:
        secret = self.here / "password"
        secret.write_text(f"{SECRET}\n")
        secret.chmod(stat.S_IRUSR)
        return FenceSpec.model_validate(
            {
                "agent": str(self.agent(body)),
                "options": {"ip": "192.0.2.7", "lanplus": True, "plug": 3},
                "password_file": str(secret) if password else None,
                "timeout": timeout,
            }
        )

    def fence(self, spec: FenceSpec | None) -> FenceResult:
        return run(self.fencer.fence("sandun-1", spec))

    @property
    def calls(self) -> list[str]:
        return (self.here / "calls").read_text().splitlines()

    @property
    def told(self) -> list[str]:
        return (self.here / "told").read_text().splitlines()

    def child_is_gone(self) -> bool:
        """Whether the process is gone that the agent left its pid of."""
        pid = int((self.here / "child").read_text())
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        return True


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    place = Workshop(tmp_path)
    yield place
    child = tmp_path / "child"
    if child.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child.read_text()), 9)


def test_a_good_agent_fences_and_confirms(workshop: Workshop) -> None:
    """Off, then status; told by standard input, without a word on its command line."""
    result = workshop.fence(workshop.spec(GOOD))

    assert (result.outcome, result.confirmed, result.reason.code) == ("fenced", True, "fenced")
    assert result.reason.subject == "sandun-1"
    assert workshop.calls == ["off 0", "status 0"]
    assert workshop.told[:4] == ["ip=192.0.2.7", "lanplus=on", "plug=3", "action=off"]


def test_the_password_comes_from_its_file_and_is_seen_nowhere_else(workshop: Workshop) -> None:
    """Neither in the log nor in the result, though the agent tells it to everybody."""
    with capture_logs() as logs:
        result = workshop.fence(workshop.spec(f'{GOOD}\necho "sent {SECRET}" >&2\n', password=True))
        failed = workshop.fence(workshop.spec(f'echo "sent {SECRET}"; exit 1', password=True))

    assert result.outcome == "fenced"
    assert f"password={SECRET}" in workshop.told
    assert failed.output == "sent ***"
    assert SECRET not in str([logs, result, failed])


def test_an_agent_is_told_nothing_of_our_environment(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sentinel may have the store's password in it."""
    monkeypatch.setenv("PGHA_SENTINEL_ETCD_PASSWORD", "hidden")
    result = workshop.fence(workshop.spec("env; exit 1"))

    assert "PATH=" in result.output
    assert "PGHA" not in result.output


def test_an_agent_that_fails_has_not_fenced(workshop: Workshop) -> None:
    """With its status and what it said; no question of its status can turn that into a success."""
    result = workshop.fence(workshop.spec('echo "Unable to connect" >&2; exit 1'))

    assert (result.outcome, result.confirmed, result.reason.code) == ("failed", False, "fence_failed")
    assert "'off' ended with status 1: Unable to connect" in result.reason.text
    assert result.reason.severity == "critical"
    assert workshop.calls == ["off 0"]


def test_an_agent_that_hangs_is_ended_with_its_child(workshop: Workshop) -> None:
    """Within its time, though the child holds its output open and ignores what can be ignored."""
    body = "(trap '' TERM HUP INT; sleep 1000) & echo $! > $here/child\necho waiting\nwait"
    began = perf_counter()
    result = workshop.fence(workshop.spec(body, timeout="3s"))
    took_s = perf_counter() - began

    assert (result.outcome, result.reason.code) == ("timed out", "fence_timed_out")
    assert "had not ended after 3s in all: waiting" in result.reason.text
    assert took_s < 60
    run(eventually(workshop.child_is_gone, "the child is gone"))


def test_a_child_that_a_finished_agent_left_holds_up_nothing(workshop: Workshop) -> None:
    """The end of the agent counts, not of its output; and the child goes."""
    began = perf_counter()
    result = workshop.fence(workshop.spec(f"sleep 1000 &\necho $! > $here/child\n{GOOD}"))
    took_s = perf_counter() - began

    assert result.outcome == "fenced"
    assert took_s < 60
    run(eventually(workshop.child_is_gone, "the child is gone"))


def test_a_chatty_agent_costs_no_memory(workshop: Workshop) -> None:
    """Of what it writes the end is kept."""
    result = workshop.fence(workshop.spec("head -c 20000000 /dev/zero | tr '\\0' x\necho the end\nexit 1"))

    assert result.outcome == "failed"
    assert len(result.output) <= 8 << 10
    assert result.output.endswith("the end")
    assert len(result.reason.text) < 500


def test_an_agent_that_never_stops_writing_is_ended(workshop: Workshop) -> None:
    """Its time is up however busy it is."""
    result = workshop.fence(workshop.spec("yes", timeout="1s"))

    assert result.outcome == "timed out"


def test_a_host_that_stays_on_is_not_fenced(workshop: Workshop) -> None:
    """The agent says success and then shows it on: asked again until the time is up."""
    result = workshop.fence(workshop.spec('test "$action" = metadata && exit 1; exit 0', timeout="4s"))

    assert (result.outcome, result.confirmed) == ("failed", False)
    assert "still says that the host is on" in result.reason.text
    assert workshop.calls[:3] == ["off 0", "status 0", "status 0"]


def test_a_host_that_takes_a_moment_is_fenced(workshop: Workshop) -> None:
    """A first status of on is no failure."""
    slow = 'if test "$action" = status; then test -e $here/asked && exit 2; touch $here/asked; fi; exit 0'
    result = workshop.fence(workshop.spec(slow))

    assert (result.outcome, result.confirmed) == ("fenced", True)
    assert workshop.calls == ["off 0", "status 0", "status 0"]


def test_an_agent_without_status_is_believed(workshop: Workshop) -> None:
    """Its metadata says that it has none."""
    result = workshop.fence(workshop.spec(NO_STATUS))

    assert (result.outcome, result.confirmed) == ("fenced", False)
    assert workshop.calls == ["off 0", "status 0", "metadata 0"]


@pytest.mark.parametrize("status", [1, 3])
def test_an_agent_that_fails_at_its_status_proves_nothing(workshop: Workshop, status: int) -> None:
    """Where its metadata says that it has one."""
    body = f'test "$action" = status && echo "no such plug" && exit {status}\n{GOOD}'
    result = workshop.fence(workshop.spec(body))

    assert (result.outcome, result.confirmed) == ("failed", False)
    assert f"'status' ended with status {status}: no such plug" in result.reason.text
    assert result.output == "no such plug"


def test_an_agent_whose_metadata_cannot_be_had_proves_nothing(workshop: Workshop) -> None:
    """Silence is not the same as having no status."""
    result = workshop.fence(workshop.spec('test "$action" = off && exit 0; exit 1'))

    assert result.outcome == "failed"


def test_a_status_that_hangs_is_no_confirmation(workshop: Workshop) -> None:
    """The time limit is for all of it."""
    result = workshop.fence(workshop.spec('test "$action" = status && sleep 100; exit 0', timeout="1s"))

    assert (result.outcome, result.confirmed) == ("timed out", False)


def test_without_an_agent_nothing_is_fenced(workshop: Workshop) -> None:
    """The wait for the lease is not replaced."""
    result = workshop.fence(None)

    assert (result.outcome, result.reason.code) == ("not configured", "fence_not_configured")


def test_a_program_from_elsewhere_is_not_run(workshop: Workshop, tmp_path: Path) -> None:
    """Who may write to the store must not choose what runs on a sentinel's host."""
    spec = workshop.spec(GOOD)
    workshop.fencer = Fencer(SystemClock(), (tmp_path / "agents",))
    result = workshop.fence(spec)

    assert result.outcome == "failed"
    assert "not in a directory that agents may lie in" in result.reason.text
    assert not (workshop.here / "calls").exists()


def test_an_agent_that_is_not_there_is_named(workshop: Workshop) -> None:
    """So is one that may not be run, and a password file that is missing."""
    gone = workshop.spec(GOOD)
    Path(gone.agent).unlink()
    without = workshop.fence(gone)
    locked = workshop.spec(GOOD, password=True)
    (workshop.here / "password").unlink()
    unread = workshop.fence(locked)

    assert "fence_test cannot be started: No such file" in without.reason.text
    assert "password cannot be read: No such file" in unread.reason.text
    assert {without.outcome, unread.outcome} == {"failed"}
    assert not (workshop.here / "calls").exists()


def test_an_agent_is_ended_when_nobody_waits_any_more(workshop: Workshop) -> None:
    """A leader that is deposed in the midst of it leaves no agent behind."""

    async def story() -> None:
        spec = workshop.spec("sleep 1000 & echo $! > $here/child\nwait")
        fencing = asyncio.create_task(workshop.fencer.fence("sandun-1", spec))
        await eventually(lambda: bool(_text(workshop.here / "child")), "the agent runs")
        fencing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fencing
        await eventually(workshop.child_is_gone, "the child is gone")

        assert fencing.cancelled()

    run(story())


def test_whether_an_agent_could_fence_can_be_asked(workshop: Workshop) -> None:
    """Without fencing anybody."""
    good = run(workshop.fencer.check("sandun-1", workshop.spec(GOOD)))
    calls = workshop.calls
    bad = run(workshop.fencer.check("sandun-1", workshop.spec("echo no route >&2; exit 1")))
    none = run(workshop.fencer.check("sandun-1", None))

    assert good is None
    assert calls == ["monitor 0"]
    assert bad is not None
    assert (bad.code, bad.severity) == ("fence_not_ready", "warning")
    assert "no route" in bad.text
    assert none is not None
    assert none.code == "fence_not_configured"


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
