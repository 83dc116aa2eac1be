"""The view that a proxy obeys, and which store it came from, kept on disk: what it starts from.

It is served only with an attestation of exactly its route, so an old one costs nothing but the question.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

import structlog

from common.model.identity import StoreMemory
from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.runtime.disk import Disk
from common.store.signal import Signal

VIEW: Final = "view"
STORE: Final = "store"

RETRY_PAUSE_S: Final = 5.0
WAIT_S: Final = 60.0

_log = structlog.get_logger()


class KeptView:
    """Writes the newest view beside the data path: a disk that fails costs a restart, not the clients."""

    def __init__(self, disk: Disk | None, clock: Clock, cluster: str) -> None:
        """``disk`` is None where nothing is to be kept. Call :meth:`load` before use."""
        self._disk = disk
        self._clock = clock
        self._cluster = cluster
        self._changed = Signal(clock)
        self.view: ClusterView | None = None
        self.memory = StoreMemory()

    async def load(self) -> None:
        """Read what an earlier life left.

        Raises UnsafeOperation when the file cannot be read; a view that cannot be used is as good as none.
        """
        raw = await self._disk.read(VIEW) if self._disk else None
        if raw is None or self._disk is None:
            return
        try:
            view = ClusterView.model_validate(raw)
            memory = StoreMemory.model_validate(await self._disk.read(STORE) or {})
        except ValueError as error:
            _log.warning("kept_view_unusable", error=str(error))
            return
        if view.cluster == self._cluster and view.schema_version <= ClusterView.SCHEMA:
            self.view = view
            same = memory.generation == view.generation
            self.memory = memory if same else memory.obeyed(view.generation, view.term, "")

    def offer(self, view: ClusterView | None, memory: StoreMemory) -> None:
        """Keep this view and memory from now on."""
        if (view is not None and view is not self.view) or memory != self.memory:
            self.view = view or self.view
            self.memory = memory
            self._changed.notify()

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run, for ever."""
        return () if self._disk is None else (self._write(self._disk),)

    async def _write(self, disk: Disk) -> None:
        seen = self._changed.version
        while True:
            if not await self._changed.wait(WAIT_S, since=seen):
                continue
            seen = self._changed.version
            view, memory = self.view, self.memory
            if view is None:
                continue
            try:
                await disk.write(VIEW, view.model_dump(mode="json", exclude_none=True))
                await disk.write(STORE, memory.model_dump(mode="json"))
            except OSError as error:
                _log.warning("view_not_kept", error=str(error))
                await self._clock.sleep(RETRY_PAUSE_S)
