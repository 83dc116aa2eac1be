"""The Store port on etcd: 3.4 and newer, over grpc.aio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from common.errors import LeaseExpired, StoreUnavailable
from common.store.etcd.api import UnknownFieldSet, grpc, rpc
from common.store.etcd.endpoint import Endpoint
from common.store.etcd.failures import classify
from common.store.etcd.pool import Pool
from common.store.etcd.settings import EtcdSettings
from common.store.etcd.tokens import Metadata
from common.store.etcd.watch import key_value, watch
from common.store.keyspace import check_writes, prefix_range
from common.store.port import (
    Compare,
    Delete,
    Lease,
    Newer,
    Outcome,
    Put,
    Snapshot,
    StoreMember,
    StorePeer,
    WatchBatch,
)

# StatusResponse.errors, which etcd has since 3.4 and python-etcd3's API does not know.
_STATUS_ERRORS_FIELD = 8
_MEMBER_LEARNER_FIELD = 5


class EtcdStore:
    """A connection to etcd; made by :func:`open_store`, used within one event loop."""

    def __init__(self, settings: EtcdSettings) -> None:
        self._pool = Pool(settings)
        self._timeout_s = settings.timeout_s

    async def read(self, prefix: str) -> Snapshot:
        """Read everything under a prefix, linearizably."""
        response = await self._range(prefix)
        return Snapshot(
            response.header.revision,
            response.header.cluster_id,
            tuple(key_value(kv) for kv in response.kvs),
        )

    async def read_newer(self, prefix: str, *, than_revision: int) -> Newer:
        """Read what was written under a prefix after a revision, linearizably."""
        response = await self._range(prefix, min_mod_revision=than_revision + 1)
        return Newer(
            response.header.revision,
            response.header.cluster_id,
            response.count,
            tuple(key_value(kv) for kv in response.kvs),
        )

    async def _range(self, prefix: str, **filters: int) -> Any:
        key, range_end = prefix_range(prefix)
        request = rpc.RangeRequest(key=key, range_end=range_end, **filters)

        async def attempt(endpoint: Endpoint, metadata: Metadata) -> Any:
            return await endpoint.kv.Range(request, metadata=metadata, timeout=self._timeout_s)

        return await self._pool.anywhere(attempt)

    async def transact(self, compares: Sequence[Compare], writes: Sequence[Put | Delete]) -> Outcome:
        """Do all writes if all compares hold, else none; UnknownOutcome when the answer is lost."""
        check_writes(writes)
        request = rpc.TxnRequest(
            compare=[_compare(compare) for compare in compares], success=[_write(write) for write in writes]
        )

        async def attempt(endpoint: Endpoint, metadata: Metadata) -> Any:
            return await endpoint.kv.Txn(request, metadata=metadata, timeout=self._timeout_s)

        response = await self._pool.once(attempt)
        return Outcome(response.succeeded, response.header.revision)

    def watch(self, prefix: str, *, after_revision: int) -> AsyncGenerator[WatchBatch, None]:
        """Yield every change after a revision, over broken connections too."""
        return watch(self._pool, prefix, after_revision)

    async def grant_lease(self, ttl_s: int) -> Lease:
        """Take a new lease; one whose answer was lost ends by itself, with nothing on it."""

        async def attempt(endpoint: Endpoint, metadata: Metadata) -> Any:
            request = rpc.LeaseGrantRequest(TTL=ttl_s)
            return await endpoint.lease.LeaseGrant(request, metadata=metadata, timeout=self._timeout_s)

        response = await self._pool.anywhere(attempt)
        return Lease(response.ID, float(response.TTL))

    async def keep_alive(self, lease_id: int) -> float:
        """Renew a lease; raises LeaseExpired when etcd does not know it."""

        async def attempt(endpoint: Endpoint, metadata: Metadata) -> Any:
            request = rpc.LeaseKeepAliveRequest(ID=lease_id)
            return await endpoint.keep_alive(request, metadata=metadata, timeout=self._timeout_s)

        response = await self._pool.anywhere(attempt)
        if response is None:
            raise StoreUnavailable("etcd ended a keepalive without an answer")
        if response.TTL <= 0:
            raise LeaseExpired(f"lease {lease_id:x} is gone")
        return float(response.TTL)

    async def revoke_lease(self, lease_id: int) -> None:
        """End a lease and delete what hangs on it; an unknown lease is no error."""

        async def attempt(endpoint: Endpoint, metadata: Metadata) -> Any:
            request = rpc.LeaseRevokeRequest(ID=lease_id)
            return await endpoint.lease.LeaseRevoke(request, metadata=metadata, timeout=self._timeout_s)

        try:
            await self._pool.anywhere(attempt)
        except LeaseExpired:
            return

    async def members(self) -> tuple[StoreMember, ...]:
        """Say how each endpoint is; never raises for a dead one."""
        return tuple(await asyncio.gather(*(self._member(endpoint) for endpoint in self._pool.endpoints)))

    async def _member(self, endpoint: Endpoint) -> StoreMember:
        async def attempt(endpoint: Endpoint, metadata: Metadata) -> tuple[Any, dict[int, StorePeer]]:
            # Without "hasleader": a member that lost the others is asked how it is, too.
            plain = tuple(pair for pair in metadata if pair[0] != "hasleader")
            status = await endpoint.maintenance.Status(
                rpc.StatusRequest(), metadata=plain, timeout=self._timeout_s
            )
            return status, await self._peers(endpoint, plain)

        try:
            async with asyncio.timeout(self._timeout_s):
                status, peers = await self._pool.authorised(endpoint, attempt)
        except TimeoutError:
            return StoreMember(endpoint.name, "", is_leader=False, version="", problem="no answer")
        except grpc.aio.AioRpcError as error:
            problem = classify(error).text
            return StoreMember(endpoint.name, "", is_leader=False, version="", problem=problem)
        except StoreUnavailable as error:
            return StoreMember(endpoint.name, "", is_leader=False, version="", problem=str(error))
        member_id = status.header.member_id
        return StoreMember(
            endpoint.name,
            peers[member_id].name if member_id in peers else "",
            is_leader=status.leader == member_id,
            version=status.version,
            problem="" if status.leader else "it has no leader",
            alarms=_alarms(status),
            peers=tuple(sorted(peers.values(), key=lambda peer: peer.name)),
        )

    async def _peers(self, endpoint: Endpoint, metadata: Metadata) -> dict[int, StorePeer]:
        """Ask for all members, which one without a majority may not tell."""
        try:
            response = await endpoint.cluster.MemberList(
                rpc.MemberListRequest(), metadata=metadata, timeout=self._timeout_s / 2
            )
        except grpc.aio.AioRpcError:
            return {}
        return {
            member.ID: StorePeer(member.name, tuple(member.clientURLs), votes=not _learns(member))
            for member in response.members
        }

    async def close(self) -> None:
        """Give up all connections; calls under way are cancelled."""
        await self._pool.close()


def _compare(compare: Compare) -> Any:
    target = {"create_revision": rpc.Compare.CREATE, "mod_revision": rpc.Compare.MOD}[compare.field]
    return rpc.Compare(
        key=compare.key.encode(),
        result=rpc.Compare.EQUAL,
        target=target,
        **{compare.field: compare.equals},
    )


def _write(write: Put | Delete) -> Any:
    key = write.key.encode()
    if isinstance(write, Delete):
        return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=write.value, lease=write.lease_id))


def _alarms(status: Any) -> tuple[str, ...]:
    """Read the alarms out of a status: ``memberID:… alarm:NOSPACE`` and the like."""
    return tuple(
        field.data.decode() if isinstance(field.data, bytes) else str(field.data)
        for field in UnknownFieldSet(status)
        if field.field_number == _STATUS_ERRORS_FIELD
    )


def _learns(member: Any) -> bool:
    """Whether it is a learner: ``isLearner`` of etcd 3.4 and later, unknown to the generated code."""
    return any(
        field.field_number == _MEMBER_LEARNER_FIELD and field.data for field in UnknownFieldSet(member)
    )


def open_store(settings: EtcdSettings) -> EtcdStore:
    """Make a store from its settings; it connects at the first call."""
    return EtcdStore(settings)
