"""One lease for one process: taken, kept alive, and taken anew when it was lost.

The order of effects: the time is read, then the request is sent, then its answer moves ``valid_until`` to
that time plus what the store granted. So ``valid_until`` is never later than the end of the lease in the
store. A process that wakes from a pause finds it in the past, also when the answer of a
keepalive from before the pause is the first thing that it reads.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import structlog

from common.errors import LeaseExpired, StoreUnavailable
from common.runtime.clock import Clock
from common.store.port import Store
from common.store.signal import Signal

KEEPALIVES_PER_TTL = 3
FIRST_GUESS_S = 3.0
"""What a lease is taken to last before the first was granted, where the length is asked for each time."""
_RETRY_PAUSE_S = 0.1

_log = structlog.get_logger()


class Session:
    """The lease of this process; start :meth:`run` as a task.

    ``ttl_s`` is what to ask for, in whole seconds, or how to find it out before each new lease.

    ``is_alive`` is asked before each renewal: a process whose loops no longer advance lets its lease
    end. ``lease_id`` is None while there is no lease; ``granted_s`` is what the store granted last.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        ttl_s: int | Callable[[], Awaitable[int]],
        is_alive: Callable[[], bool],
    ) -> None:
        self._store = store
        self._clock = clock
        self._ttl_s = ttl_s
        self._is_alive = is_alive
        self._listeners: list[Callable[[], None]] = []
        self._on_confirmed: list[Callable[[], None]] = []
        self._wake = Signal(clock)
        self._resigned = False
        self._reachable = True
        self._was_alive = True
        self.lease_id: int | None = None
        self.granted_s = float(ttl_s) if isinstance(ttl_s, int) else FIRST_GUESS_S
        self.valid_until = -math.inf

    @property
    def is_valid(self) -> bool:
        """Whether the lease is certain to live now, by this process's own clock."""
        return self._clock.monotonic() < self.valid_until

    def on_lease(self, listener: Callable[[], None]) -> None:
        """Call back whenever a lease was taken: what hung on the one before is gone."""
        self._listeners.append(listener)

    def on_confirmed(self, listener: Callable[[], None]) -> None:
        """Call back whenever the store has granted or renewed a lease: ``valid_until`` has moved then."""
        self._on_confirmed.append(listener)

    def report_expired(self, lease_id: int) -> None:
        """Tell that the store refused this lease: a new one is taken at once."""
        if lease_id == self.lease_id:
            self._lose()
            self._wake.notify()

    async def run(self) -> None:
        """Keep the lease until :meth:`resign` or cancellation."""
        while not self._resigned:
            seen = self._wake.version
            pause_s = await self._advance()
            await self._wake.wait(pause_s, since=seen)

    async def _advance(self) -> float:
        """Take or renew the lease; return how long to wait before the next time."""
        sent = self._clock.monotonic()
        if not self._may_renew():
            return self.granted_s / KEEPALIVES_PER_TTL
        try:
            if self.lease_id is None:
                await self._take(sent)
            else:
                await self._renew(self.lease_id, sent)
        except LeaseExpired:
            self._lose()
            return 0.0
        except StoreUnavailable as error:
            if self._reachable:
                _log.warning("lease_not_renewed", error=str(error))
            self._reachable = False
            return _RETRY_PAUSE_S
        self._reachable = True
        return max(0.0, sent + self.granted_s / KEEPALIVES_PER_TTL - self._clock.monotonic())

    def _may_renew(self) -> bool:
        alive = self._is_alive()
        if self._was_alive and not alive:
            _log.error("lease_left_to_end", reason="a loop of this process no longer advances")
        self._was_alive = alive
        return alive

    async def _take(self, sent: float) -> None:
        ttl_s = self._ttl_s if isinstance(self._ttl_s, int) else await self._ttl_s()
        lease = await self._store.grant_lease(ttl_s)
        if self._resigned:
            await self._store.revoke_lease(lease.id)
            return
        self.lease_id = lease.id
        self._confirmed(sent, lease.ttl_s)
        _log.info("lease_taken", lease=f"{lease.id:x}", ttl_s=lease.ttl_s)
        for listener in self._listeners:
            listener()

    async def _renew(self, lease_id: int, sent: float) -> None:
        granted_s = await self._store.keep_alive(lease_id)
        if lease_id == self.lease_id:
            self._confirmed(sent, granted_s)

    def _confirmed(self, sent: float, granted_s: float) -> None:
        self.granted_s = granted_s
        self.valid_until = sent + granted_s
        for listener in self._on_confirmed:
            listener()

    def _lose(self) -> None:
        if self.lease_id is not None:
            _log.warning("lease_lost", lease=f"{self.lease_id:x}")
        self.lease_id = None
        self.valid_until = -math.inf

    async def resign(self) -> None:
        """Give the lease up, so that what hangs on it goes at once; raises StoreUnavailable."""
        self._resigned = True
        self._wake.notify()
        lease_id, self.lease_id = self.lease_id, None
        self.valid_until = -math.inf
        if lease_id is not None:
            await self._store.revoke_lease(lease_id)
