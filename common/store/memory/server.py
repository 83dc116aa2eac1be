"""The store in memory: etcd's semantics, without threads or chance.

Leases end by the injected clock: whoever looks next finds them gone, and a watch sleeps no longer than
until the next lease may end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from common.errors import LeaseExpired, StoreUnavailable, WatchLost
from common.runtime.clock import Clock
from common.store.port import (
    Compare,
    Delete,
    Event,
    KeyValue,
    Lease,
    Outcome,
    Put,
    WatchBatch,
)
from common.store.signal import Signal

_KEPT_REVISIONS = 10_000


@dataclass(slots=True)
class _Lease:
    ttl_s: float
    ends_at: float


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of the keys at one revision, as ``etcdctl snapshot save`` makes it; leases are not kept."""

    revision: int
    items: tuple[KeyValue, ...]


@dataclass(slots=True)
class MemoryEtcd:
    """The store itself; every method is one atomic step.

    ``min_ttl_s`` is granted at least. ``no_space`` is etcd's alarm: reads, keepalives and deletions go on.
    """

    clock: Clock
    cluster_id: int = 1
    min_ttl_s: float = 1.0
    no_space: bool = False
    revision: int = 1
    changed: Signal = field(init=False)
    _items: dict[str, KeyValue] = field(default_factory=dict)
    _leases: dict[int, _Lease] = field(default_factory=dict)
    _history: deque[WatchBatch] = field(default_factory=deque)
    _compacted: int = 0
    _lease_ids: count[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.changed = Signal(self.clock)

    def items(self, prefix: str) -> tuple[KeyValue, ...]:
        """Return what stands under a prefix now, in key order."""
        self.expire()
        return tuple(item for key, item in sorted(self._items.items()) if key.startswith(prefix))

    def transact(self, compares: Sequence[Compare], writes: Sequence[Put | Delete]) -> Outcome:
        """Do all writes if all compares hold."""
        self.expire()
        puts = [write for write in writes if isinstance(write, Put)]
        if puts and self.no_space:
            raise StoreUnavailable("the store is read-only, its space quota is used up (alarm NOSPACE)")
        if not all(self._holds(compare) for compare in compares):
            return Outcome(succeeded=False, revision=self.revision)
        for put in puts:
            if put.lease_id and put.lease_id not in self._leases:
                raise LeaseExpired(f"lease {put.lease_id:x} is gone")
        self._write(writes)
        return Outcome(succeeded=True, revision=self.revision)

    def _holds(self, compare: Compare) -> bool:
        item = self._items.get(compare.key)
        found = 0 if item is None else getattr(item, compare.field)
        return bool(found == compare.equals)

    def _write(self, writes: Sequence[Put | Delete]) -> None:
        """Make one revision out of the writes that change something."""
        revision = self.revision + 1
        events: list[Event] = []
        for write in writes:
            old = self._items.get(write.key)
            if isinstance(write, Put):
                created = old.create_revision if old else revision
                item = KeyValue(write.key, write.value, created, revision, write.lease_id)
                self._items[write.key] = item
                events.append(Event("put", item))
            elif old is not None:
                del self._items[write.key]
                events.append(Event("delete", KeyValue(write.key, b"", 0, revision)))
        if events:
            self.revision = revision
            self._history.append(WatchBatch(revision, tuple(events)))
            while len(self._history) > _KEPT_REVISIONS:
                self._compacted = self._history.popleft().revision
            self.changed.notify()

    def grant(self, ttl_s: float) -> Lease:
        """Take a new lease."""
        if self.no_space:
            raise StoreUnavailable("the store is read-only, its space quota is used up (alarm NOSPACE)")
        granted_s = max(float(ttl_s), self.min_ttl_s)
        lease_id = next(self._lease_ids)
        self._leases[lease_id] = _Lease(granted_s, self.clock.monotonic() + granted_s)
        self.changed.notify()
        return Lease(lease_id, granted_s)

    def keep_alive(self, lease_id: int) -> float:
        """Renew a lease and return its seconds."""
        self.expire()
        lease = self._leases.get(lease_id)
        if lease is None:
            raise LeaseExpired(f"lease {lease_id:x} is gone")
        lease.ends_at = self.clock.monotonic() + lease.ttl_s
        return lease.ttl_s

    def revoke(self, lease_id: int) -> None:
        """End a lease and delete what hangs on it, in one revision."""
        if self._leases.pop(lease_id, None) is not None:
            self._write(
                [Delete(key) for key, item in sorted(self._items.items()) if item.lease_id == lease_id]
            )

    def expire(self) -> None:
        """End the leases whose time has come, in the order in which it came."""
        now = self.clock.monotonic()
        ended = sorted((lease.ends_at, key) for key, lease in self._leases.items() if lease.ends_at <= now)
        for _, lease_id in ended:
            self.revoke(lease_id)

    def next_expiry_in_s(self) -> float | None:
        """Seconds until a lease may end; None without leases."""
        if not self._leases:
            return None
        return max(0.0, min(lease.ends_at for lease in self._leases.values()) - self.clock.monotonic())

    def changes(self, prefix: str, after_revision: int) -> list[WatchBatch]:
        """Return what changed under a prefix after a revision; raises WatchLost when that is compacted."""
        self.expire()
        if after_revision < self._compacted:
            raise WatchLost(f"the watch's next revision is compacted (up to {self._compacted})")
        batches = []
        for batch in reversed(self._history):
            if batch.revision <= after_revision:
                break
            events = tuple(event for event in batch.events if event.item.key.startswith(prefix))
            if events:
                batches.append(WatchBatch(batch.revision, events))
        return batches[::-1]

    def compact(self) -> None:
        """Forget the history up to now."""
        self._history.clear()
        self._compacted = self.revision

    def backup(self) -> Backup:
        """Copy the keys."""
        return Backup(self.revision, self.items(""))

    def restore(self, backup: Backup, *, cluster_id: int | None = None) -> None:
        """Become an older self, as a restored snapshot does: revisions go back, leases are gone."""
        self.revision = backup.revision
        self.cluster_id = self.cluster_id if cluster_id is None else cluster_id
        self._items = {item.key: item for item in backup.items}
        self._leases.clear()
        self.compact()
        self.changed.notify()
