"""The Store port: what pgha asks of a consistent key-value store, and nothing more.

Two implementations, :mod:`common.store.etcd` and :mod:`common.store.memory`, pass one contract
test suite. Every call has a deadline and raises :class:`~common.errors.StoreUnavailable` when it
passes, or :class:`~common.errors.UnknownOutcome` when a write may have happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key as the store holds it; ``lease_id`` is 0 when it hangs on no lease."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    lease_id: int = 0


@dataclass(frozen=True, slots=True)
class Compare:
    """A condition of a transaction; revision 0 means that the key does not exist."""

    key: str
    field: Literal["create_revision", "mod_revision"]
    equals: int


@dataclass(frozen=True, slots=True)
class Put:
    """Write a key, hung on a lease when ``lease_id`` is not 0."""

    key: str
    value: bytes
    lease_id: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key; removing an absent one is no error."""

    key: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A linearizable read of a prefix: everything in it at ``revision``, in key order."""

    revision: int
    cluster_id: int
    items: tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True)
class Newer:
    """A linearizable read of what changed under a prefix: ``items`` are newer than the revision asked for.

    ``count`` is the number of all keys there at ``revision``. No newer item, and as many keys as
    one knows, prove that what one knows is all there is: a deletion lowers the count, and whatever
    raises it again is newer.
    """

    revision: int
    cluster_id: int
    count: int
    items: tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """One change that a watch saw; ``value`` of a delete is empty."""

    kind: Literal["put", "delete"]
    item: KeyValue


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """All changes under the prefix up to ``revision``, in order, none missing, none twice.

    A batch ends between two revisions: what one transaction wrote is never torn.
    """

    revision: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a transaction did: whether its compares held, and the store's revision after it."""

    succeeded: bool
    revision: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as granted; ``ttl_s`` is what the store granted, not what was asked."""

    id: int
    ttl_s: float


class Store(Protocol):
    """A linearizable key-value store with leases and watches."""

    async def read(self, prefix: str) -> Snapshot:
        """Read everything under a prefix, linearizably (a full key is a prefix of itself)."""

    async def read_newer(self, prefix: str, *, than_revision: int) -> Newer:
        """Read what was written under a prefix after a revision, linearizably.

        It costs a round of the store's members but moves no value that the caller has already.
        """

    async def transact(self, compares: Sequence[Compare], writes: Sequence[Put | Delete]) -> Outcome:
        """Do all writes if all compares hold, else none."""

    def watch(self, prefix: str, *, after_revision: int) -> AsyncGenerator[WatchBatch, None]:
        """Yield every change after a revision, over broken connections too.

        Raises WatchLost when a gap cannot be ruled out (compaction, cancellation by the store).
        """

    async def grant_lease(self, ttl_s: int) -> Lease:
        """Take a new lease."""

    async def keep_alive(self, lease_id: int) -> float:
        """Renew a lease and return the granted seconds; raises LeaseExpired when it is gone."""

    async def revoke_lease(self, lease_id: int) -> None:
        """End a lease and delete what hangs on it; an unknown lease is no error."""

    async def members(self) -> tuple[StoreMember, ...]:
        """Say how each endpoint of the store is, for status; never raises for a dead one."""

    async def close(self) -> None:
        """Give up all connections."""


@dataclass(frozen=True, slots=True)
class StorePeer:
    """One member of the store as another one lists it; a learner has no vote."""

    name: str
    client_urls: tuple[str, ...]
    votes: bool = True


@dataclass(frozen=True, slots=True)
class StoreMember:
    """One endpoint of the store as seen from here; ``problem`` is empty when it answered.

    ``peers`` are all members as this one lists them, itself included; empty where it could not be asked.
    """

    endpoint: str
    name: str
    is_leader: bool
    version: str
    problem: str
    alarms: tuple[str, ...] = ()
    peers: tuple[StorePeer, ...] = ()
