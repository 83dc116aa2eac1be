"""Whether a sentinel believes its store, and what it remembers of it.

What it remembers is kept on disk where it has a directory for that. It needs none to be safe from a restored
store as long as keepers live, who remember more; it closes the gap where those who could contradict are away.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

import structlog

from common.model.identity import DIFFERENCES_LIMIT, Shown, StoreMemory, digest_of, suspended_because
from common.model.keys import Keys
from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.runtime.disk import Disk
from common.status.documents import Documents
from common.store.guard import StoreGuard
from common.store.mirror import Mirror
from common.store.signal import Signal
from sentinel.decide.observed import Decision
from sentinel.decide.suspension import evidence, nobody_serves, resumption, unaccepted

STORE: Final = "store"

RETRY_PAUSE_S: Final = 5.0
WAIT_S: Final = 60.0

_log = structlog.get_logger()


class Standing:
    """Judges the store before each decision. ``disk`` is None where nothing is to be kept."""

    def __init__(self, uid: str, keys: Keys, mirror: Mirror, clock: Clock, disk: Disk | None = None) -> None:
        self._uid = uid
        self._clock = clock
        self._disk = disk
        self._guard = StoreGuard(keys, view=mirror, store=mirror)
        self._changed = Signal(clock)
        self._suspended = False
        self.memory = StoreMemory()

    async def load(self) -> None:
        """Read what an earlier life remembered; raises UnsafeOperation when the file cannot be read."""
        raw = await self._disk.read(STORE) if self._disk else None
        if raw is None:
            return
        try:
            self.memory = StoreMemory.model_validate(raw)
        except ValueError as error:
            _log.warning("store_memory_unusable", error=str(error))

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run, for ever."""
        return () if self._disk is None else (self._write(self._disk),)

    def judge(self, documents: Documents) -> Decision | None:
        """What to do instead of deciding; None when the store is believed and nobody has to be answered."""
        verdict = self._guard.look(self.memory)
        shown = self._guard.shown(self.memory)
        if verdict is None or shown is None:
            return Decision(None, ())
        contradicted = tuple(evidence(documents, shown))
        problems = tuple(dict.fromkeys((*verdict.problems, *contradicted)))
        memory = verdict.memory
        if not memory.suspended:
            # It lasts: who contradicts the store may be gone the next moment, with all that only it knows.
            memory = memory.changed(suspended=tuple(unaccepted(documents, shown))[:DIFFERENCES_LIMIT])
        self._remember(memory, shown, believed=not problems)
        answer = resumption(documents, shown, self.memory, suspended=bool(problems))
        self._say(problems)
        if not problems:
            return answer if answer.change is not None else None
        own = suspended_because(self._uid, problems, accepted=verdict.accepted)
        reasons = [own, *nobody_serves(documents)]
        reasons += (reason for report in documents.keepers.values() for reason in report.reasons)
        return Decision(answer.change, (*reasons, *answer.reasons))

    def wrote(self, view: ClusterView) -> None:
        """Remember a view that this sentinel has written, before any mirror shows it.

        A primary may obey it, and be gone, before it has come back here. The view that ends a suspension
        counts when it is seen.
        """
        if self._suspended:
            return
        self.memory = self.memory.obeyed(view.generation, view.term, digest_of(view.to_bytes()))
        self._changed.notify()

    def _remember(self, memory: StoreMemory, shown: Shown, *, believed: bool) -> None:
        view = shown.view
        if believed and view is not None:
            memory = memory.obeyed(view.generation, view.term, view.digest)
        if memory != self.memory:
            self.memory = memory
            self._changed.notify()

    def _say(self, problems: tuple[str, ...]) -> None:
        if bool(problems) != self._suspended:
            self._suspended = bool(problems)
            _log.critical("suspended" if problems else "store_believed", problems=problems)

    async def _write(self, disk: Disk) -> None:
        seen = self._changed.version
        while True:
            if not await self._changed.wait(WAIT_S, since=seen):
                continue
            seen = self._changed.version
            try:
                await disk.write(STORE, self.memory.model_dump(mode="json"))
            except OSError as error:
                _log.warning("store_not_remembered", error=str(error))
                await self._clock.sleep(RETRY_PAUSE_S)
