"""What a run did, handle by handle, as a digest that two runs of one seed must share."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.sim.handles import SimHandle, SimTask
from tests.sim.loop import SimLoop
from tests.sim.process import PROCESS


class Trace:
    """Follows a loop; ``lines`` keeps the last ones, to see where two runs part."""

    def __init__(self, loop: SimLoop, *, keep: int = 0) -> None:
        self._loop = loop
        self._digest = hashlib.sha256()
        self._keep = keep
        self.count = 0
        self.lines: list[str] = []
        loop.trace = self._note

    @property
    def digest(self) -> str:
        """The digest of all that has run so far."""
        return self._digest.hexdigest()

    def _note(self, handle: SimHandle) -> None:
        line = f"{self._loop.time():.9f} {_owner(handle)} {name_of(handle)}"
        self._digest.update(line.encode())
        self.count += 1
        if len(self.lines) < self._keep:
            self.lines.append(line)


def _owner(handle: SimHandle) -> str:
    process = handle._context.get(PROCESS)
    return f"{process.host}/{process.name}" if process else "-"


def name_of(handle: SimHandle) -> str:
    """What a handle calls, in words that are the same in every run."""
    callback: Any = handle._callback
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, SimTask):
        return f"task {owner.number} {getattr(owner.get_coro(), '__qualname__', '')}"
    return str(getattr(callback, "__qualname__", type(callback).__qualname__))
