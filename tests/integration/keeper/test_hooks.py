"""Hooks as real programs: what they get, and what is left of one that hangs."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from common.runtime.clock import SystemClock
from keeper.hooks.runner import Hooks
from keeper.hooks.settings import HookSettings
from keeper.local import Local
from keeper.state import KeeperState
from tests.support.aio import eventually, run
from tests.support.facts import local_settings

HANGS = """#!/bin/sh
sleep 3600 &
echo $! > {here}/child
echo "waits for nobody"
wait
"""

WRITES = """#!/bin/sh
cat > {here}/told
env > {here}/environment
echo "$@" > {here}/arguments
"""


def script(here: Path, name: str, text: str) -> str:
    path = here / name
    path.write_text(text.format(here=here))
    path.chmod(0o755)
    return str(path)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_one_that_hangs_is_killed_with_its_children_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one gets its document and arguments, and nothing of the keeper's own environment."""
    monkeypatch.setenv("PGHA_KEEPER_ETCD_PASSWORD", "open sesame")
    writes = script(tmp_path, "writes", WRITES)
    hooks = HookSettings(
        started=script(tmp_path, "hangs", HANGS), stopped=f"{writes} 'of this host' 2", timeout_s=0.5
    )
    hooks.check()

    async def story() -> None:
        settings = local_settings().model_copy(update={"hooks": hooks})
        local = Local(settings, KeeperState(keeper_id="k"), "1", "test", postgres="running", start_id="s")
        told = Hooks(local, SystemClock(), "main")
        ended: list[str] = []
        [loop] = told.loops(lambda: ended.append("one more"))
        task = asyncio.create_task(loop)
        told.look(None)
        local.forget_start("down")
        told.look(None)
        await eventually(lambda: len(ended) == 2, "both have ended")
        task.cancel()
        reason = local.reasons["hook started"]
        document = json.loads((tmp_path / "told").read_text())
        variables = (tmp_path / "environment").read_text()

        assert reason.text.endswith("had not ended after 500ms and was killed: waits for nobody")
        assert not is_alive(int((tmp_path / "child").read_text()))
        assert (document["event"], document["uid"]) == ("stopped", settings.uid)
        assert (tmp_path / "arguments").read_text() == "of this host 2\n"
        assert {line.partition("=")[0] for line in variables.splitlines()} <= {
            *("PATH", "LC_ALL", "HOME", "PWD", "SHLVL", "_", "OLDPWD"),
        }

    run(story())
