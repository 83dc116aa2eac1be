"""What the deadman takes from the kernel so that it runs when everything else starves: each if permitted.

A deadman that waits for its own pages to be read from a dead disk, or for its turn among a
thousand busy backends, is late; one that the out-of-memory killer takes is none at all.

A keeper that is not root gets them from its service manager, and its deadman inherits the limits: for systemd
``LimitMEMLOCK=infinity``, ``LimitRTPRIO=10`` (or ``LimitNICE=-20``) and ``OOMScoreAdjust=-900``.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_PR_SET_NAME: Final = 15
_CAP_IPC_LOCK: Final = 1 << 14
_REALTIME_PRIORITY: Final = 10
"""Above nothing but ordinary processes: real-time ones of the host may well stand above it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What it got. ``priority`` is ``realtime``, ``high`` or ``normal``."""

    locked: bool
    priority: str
    spared: bool


def take_standing() -> Standing:
    """Ask for all of it; what is refused is done without. Call it before any thread is started."""
    standing = Standing(locked=_lock_memory(), priority=_rise(), spared=_be_spared())
    _take_name("pgha-deadman")
    # What exists now stays; a collection at the deadline would walk all of it.
    gc.collect()
    gc.freeze()
    gc.disable()
    return standing


def _lock_memory() -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    # What comes later is locked only where no limit is: an allocation that goes beyond one fails.
    flags = _MCL_CURRENT | (_MCL_FUTURE if _may_lock_anything() else 0)
    return bool(libc.mlockall(flags) == 0)


def _may_lock_anything() -> bool:
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) & _CAP_IPC_LOCK)
    return False


def _rise() -> str:
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_REALTIME_PRIORITY))
        return "realtime"
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        return "high"
    return "normal"


def _be_spared() -> bool:
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-1000")
        return True
    return False


def _take_name(name: str) -> None:
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
