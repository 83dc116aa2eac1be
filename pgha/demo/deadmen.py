"""The demo's deadmen: which processes they are, and when one killed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from keeper.deadman.wire import lock_path, log_path
from keeper.lease_fence import KILL_SHARE


def deadmen(roots: Iterable[Path]) -> list[int]:
    """The process of the deadman of each root that has one."""
    found = []
    for root in roots:
        with contextlib.suppress(OSError, ValueError):
            pid = int(lock_path(root).read_text())
            if str(root).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def margin_s(root: Path, lease_ttl_s: float) -> float | None:
    """By how much the last process that a deadman killed died before the end of the lease, in seconds.

    The end is that by the keeper's own count, from before its last keepalive was sent. None when the
    deadman has killed nothing.
    """
    killed = [line for line in _log_of(root) if line.get("event") == "deadman_killed" and line["killed"]]
    return lease_ttl_s / KILL_SHARE - float(str(killed[-1]["after_s"])) if killed else None


def _log_of(root: Path) -> list[dict[str, object]]:
    try:
        lines = log_path(root).read_text().splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.startswith("{")]
