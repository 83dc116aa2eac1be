"""What all members of the simulated etcd agree on: the keys, the leases, and who watches them.

Leases end as in etcd: not at their instant, but when the leader looks, twice a second, and not at all while
there is no leader. A lease that has run out is not renewed, also before it has been looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from common.errors import LeaseExpired
from common.store.memory import Backup, MemoryEtcd
from common.store.memory.server import _Lease
from common.store.port import Delete, Put


@dataclass(frozen=True, slots=True)
class SimBackup:
    """A snapshot of etcd; unlike the keys' owners it knows the leases, which run anew after a restore."""

    keys: Backup
    ttls_s: tuple[tuple[int, float], ...]


@dataclass(slots=True)
class EtcdData(MemoryEtcd):
    """The store in memory, with leases that end when the leader looks, and watchers told by prefix."""

    watchers: dict[Callable[[], None], str] = field(default_factory=dict)

    def expire(self) -> None:
        """Nothing ends by itself: see :meth:`sweep`."""

    def sweep(self) -> None:
        """End the leases that have run out, as a leader does now and then."""
        MemoryEtcd.expire(self)

    def keep_alive(self, lease_id: int) -> float:
        """Renew a lease, unless it has run out."""
        lease = self._leases.get(lease_id)
        if lease is not None and lease.ends_at <= self.clock.monotonic():
            raise LeaseExpired(f"lease {lease_id:x} has run out")
        return MemoryEtcd.keep_alive(self, lease_id)

    def extend_leases(self) -> None:
        """Let every lease run anew, as a new leader does since it cannot know when each was renewed."""
        for lease in self._leases.values():
            lease.ends_at = self.clock.monotonic() + lease.ttl_s

    def revoke_leases(self) -> None:
        """End every lease, live or not, as leaders that had stalled have done (etcd issues 12528, 15247)."""
        for lease_id in sorted(self._leases):
            self.revoke(lease_id)

    def _write(self, writes: Sequence[Put | Delete]) -> None:
        before = self.revision
        MemoryEtcd._write(self, writes)
        if self.revision == before:
            return
        keys = [event.item.key for event in self._history[-1].events]
        for wake, prefix in list(self.watchers.items()):
            if any(key.startswith(prefix) for key in keys):
                wake()

    def snapshot(self) -> SimBackup:
        """What ``etcdctl snapshot save`` keeps."""
        ttls_s = tuple((lease_id, lease.ttl_s) for lease_id, lease in sorted(self._leases.items()))
        return SimBackup(self.backup(), ttls_s)

    def go_back(self, backup: SimBackup, *, cluster_id: int | None, bump_revision: int) -> None:
        """Become what ``etcdutl snapshot restore`` makes of a backup.

        A restore makes a new cluster id unless the operators force the old one; ``--bump-revision``, with
        ``--mark-compacted``, lets revisions jump ahead of what clients have seen.
        """
        self.restore(backup.keys, cluster_id=cluster_id)
        self.revision += bump_revision
        self.compact()
        now = self.clock.monotonic()
        self._leases.update((lease_id, _Lease(ttl_s, now + ttl_s)) for lease_id, ttl_s in backup.ttls_s)
