"""A process's own document under its lease: at once when it matters, seldom when it does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

import structlog

from common.errors import Conflict, LeaseExpired, StoreUnavailable
from common.runtime.clock import Clock
from common.store.port import Compare, KeyValue, Put, Store
from common.store.session import Session
from common.store.signal import Signal

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0

_log = structlog.get_logger()


class KeyHeld(Conflict):
    """The key belongs to another living process; ``holder`` is what stands there."""

    def __init__(self, holder: KeyValue) -> None:
        super().__init__(
            f"{holder.key} is held by another process (lease {holder.lease_id:x}): "
            f"{holder.value[:200].decode(errors='replace')}"
        )
        self.holder = holder


def _never(_: KeyValue) -> bool:
    return False


class Publisher:
    """Keeps one document in the store; start :meth:`run` as a task and :meth:`offer` to it.

    The key is created only if it is absent, or if it hangs on this session's own lease or on none (no
    living process has written that, and nothing would ever remove it), or if ``may_replace`` says so
    of what stands there (the same keeper's earlier life). After an unknown outcome the key is read
    before it is written again.
    """

    def __init__(
        self,
        store: Store,
        session: Session,
        clock: Clock,
        key: str,
        *,
        may_replace: Callable[[KeyValue], bool] = _never,
        slow_every_s: float = 10.0,
    ) -> None:
        self._store = store
        self._session = session
        self._clock = clock
        self._key = key
        self._may_replace = may_replace
        self._slow_every_s = slow_every_s
        self._signal = Signal(clock)
        self._document: bytes | None = None
        self._acts_on: Hashable = None
        self._written: tuple[int, Hashable, bytes] | None = None
        self._written_at = -math.inf
        self._mod_revision: int | None = 0
        self._said_failed = False
        session.on_lease(self._signal.notify)

    @property
    def is_published(self) -> bool:
        """Whether what an observer acts on stands in the store as last offered, under the present lease."""
        return (
            self._written is not None
            and self._written[:2] == (self._session.lease_id, self._acts_on)
            and self._session.lease_id is not None
        )

    def offer(self, document: bytes, *, acts_on: Hashable) -> None:
        """Say what should stand there.

        It is written at once when ``acts_on``, the part that an observer acts on, differs from what
        was written, else with the next slow write: a time that is known already wakes nobody.
        """
        waits_for_ever = self._due_in_s() is None
        is_new = acts_on != self._acts_on
        self._document, self._acts_on = document, acts_on
        if is_new or waits_for_ever:
            self._signal.notify()

    async def wait_published(self, timeout_s: float) -> bool:
        """Wait until :attr:`is_published`; False at the timeout."""
        limit = self._clock.monotonic() + timeout_s
        while not self.is_published:
            left_s = limit - self._clock.monotonic()
            if left_s <= 0:
                return False
            await self._signal.wait(left_s)
        return True

    async def run(self) -> None:
        """Write what is due until cancelled; raises KeyHeld when another process has the key."""
        pause_s = _FIRST_PAUSE_S
        while True:
            seen = self._signal.version
            due_s = self._due_in_s()
            if due_s is None or due_s > 0:
                await self._signal.wait(due_s, since=seen)
                continue
            try:
                await self._write()
                pause_s, self._said_failed = _FIRST_PAUSE_S, False
            except LeaseExpired:
                continue
            except StoreUnavailable as error:
                if not self._said_failed:
                    _log.warning("not_published", key=self._key, error=str(error))
                self._said_failed = True
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _due_in_s(self) -> float | None:
        """Seconds until the next write; None when there is nothing to write."""
        lease_id = self._session.lease_id
        if self._document is None or lease_id is None:
            return None
        wanted = (lease_id, self._acts_on, self._document)
        if self._written is None or self._written[:2] != wanted[:2]:
            return 0.0
        if self._written == wanted:
            return None
        return max(0.0, self._written_at + self._slow_every_s - self._clock.monotonic())

    async def _write(self) -> None:
        lease_id, document = self._session.lease_id, self._document
        if lease_id is None or document is None:
            return
        wanted = (lease_id, self._acts_on, document)
        if self._mod_revision is None:
            self._mod_revision = await self._replaceable_revision(lease_id)
        expected, self._mod_revision = self._mod_revision, None
        if self._written is not None and self._written[:2] != wanted[:2]:
            self._written = None  # until the answer is here, either of the two may stand there
        try:
            outcome = await self._store.transact(
                [Compare(self._key, "mod_revision", expected)], [Put(self._key, document, lease_id)]
            )
        except LeaseExpired:
            self._session.report_expired(lease_id)
            raise
        if outcome.succeeded:
            self._mod_revision = outcome.revision
            self._written, self._written_at = wanted, self._clock.monotonic()
            self._signal.notify()

    async def _replaceable_revision(self, lease_id: int) -> int:
        """Return the mod revision that may be written over, 0 when the key is absent; raises KeyHeld."""
        snapshot = await self._store.read(self._key)
        for item in snapshot.items:
            if item.key == self._key:
                if item.lease_id not in {0, lease_id} and not self._may_replace(item):
                    raise KeyHeld(item)
                return item.mod_revision
        return 0
