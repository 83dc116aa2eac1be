"""A watch that lives on over broken connections and changes of endpoint.

The position is the mod revision of the last event handed out, never the revision in an answer's header:
etcd puts the store's newest there, which may lie beyond events that are still on their way. A stream
resumes behind the position, and an event at or before it is dropped, so that none is lost and none repeated.

A stream that resumes on another store, or on one that was put back to a revision before the position, would
in time bring events of another history. Each stream's first answer tells: then the watch is lost.

A dead host sends nothing, not even an end of the stream. Three things notice: other calls to
the endpoint fail or are overtaken, and the pool moves its watches; HTTP/2 pings (6 s, then 2 s; etcd closes
connections that ping more often than every 5 s) end the stream; and the Mirror compares itself with
linearizable reads, which is the only one that anything decides upon. A member that is alive but lost its
leader ends the stream itself ("hasleader").
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from common.errors import StoreUnavailable, WatchLost
from common.store.etcd.api import grpc, rpc
from common.store.etcd.endpoint import Endpoint
from common.store.etcd.failures import classify
from common.store.etcd.pool import Pool
from common.store.keyspace import prefix_range
from common.store.port import Event, KeyValue, WatchBatch

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0


class _StreamEndedError(Exception):
    """The stream is over; ``renew`` asks for a new connection, ``denied`` for a new token."""

    def __init__(self, reason: str, *, renew: bool = False, denied: bool = False) -> None:
        super().__init__(reason)
        self.renew = renew
        self.denied = denied


async def watch(pool: Pool, prefix: str, after_revision: int) -> AsyncGenerator[WatchBatch, None]:
    """Yield every change after a revision; raises WatchLost when etcd cannot give them all."""
    position, cluster_id = after_revision, 0
    pause_s = _FIRST_PAUSE_S
    denied = False
    while True:
        endpoint = pool.first
        try:
            async with aclosing(_stream(pool, endpoint, prefix, position + 1)) as responses:
                async for response in responses:
                    pause_s, denied = _FIRST_PAUSE_S, False
                    if response.created:
                        cluster_id = same_store(response.header, cluster_id, position)
                    batch = batch_of(response, position)
                    if batch is not None:
                        position = batch.revision
                        yield batch
        except _StreamEndedError as ended:
            if ended.denied and denied:
                raise WatchLost(f"etcd refused the watch: {ended}") from ended
            denied = ended.denied
            if endpoint is pool.first and not denied:
                pool.demote(endpoint, renew=ended.renew)
        except StoreUnavailable:
            denied = False
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


async def _stream(
    pool: Pool, endpoint: Endpoint, prefix: str, start_revision: int
) -> AsyncGenerator[Any, None]:
    """Yield the answers of one stream on one endpoint."""
    metadata = await pool.tokens.metadata()
    key, range_end = prefix_range(prefix)
    create = rpc.WatchCreateRequest(key=key, range_end=range_end, start_revision=start_revision)
    moving = asyncio.ensure_future(endpoint.moving.wait())
    call = endpoint.watch.Watch(metadata=metadata)
    try:
        await _in_time(call.write(rpc.WatchRequest(create_request=create)), pool.timeout_s)
        response = await _in_time(_next(call, moving), pool.timeout_s)
        while True:
            if response.canceled:
                await _raise_for_cancellation(pool, response, metadata)
            yield response
            response = await _next(call, moving)
    except grpc.aio.AioRpcError as error:
        raise _StreamEndedError(classify(error).text) from error
    except asyncio.InvalidStateError as error:
        raise _StreamEndedError("the stream ended before it began") from error
    finally:
        moving.cancel()
        call.cancel()


async def _in_time(awaitable: Any, timeout_s: float) -> Any:
    try:
        async with asyncio.timeout(timeout_s):
            return await awaitable
    except TimeoutError as error:
        raise _StreamEndedError("no answer to the request for a watch", renew=True) from error


async def _next(call: Any, moving: asyncio.Future[Any]) -> Any:
    reading = asyncio.ensure_future(call.read())
    try:
        await asyncio.wait({reading, moving}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            raise _StreamEndedError("the endpoint is given up")
        if reading.cancelled() or reading.result() is grpc.aio.EOF:
            raise _StreamEndedError("the stream was closed")
        return reading.result()
    finally:
        reading.cancel()


async def _raise_for_cancellation(pool: Pool, response: Any, metadata: Any) -> None:
    """Say why etcd ended this watch; a refusal may be an expired token (etcd 3.4 does not tell)."""
    reason = response.cancel_reason
    if response.compact_revision:
        raise WatchLost(f"the watch's next revision is compacted (up to {response.compact_revision})")
    if any(text in reason for text in ("permission denied", "invalid auth token", "auth store is old")):
        if pool.tokens.renewable:
            await pool.tokens.renew(metadata)
        raise _StreamEndedError(reason, denied=True)
    if "no leader" in reason:
        raise _StreamEndedError(reason)
    raise WatchLost(f"etcd cancelled the watch: {reason or 'no reason given'}")


def same_store(header: Any, cluster_id: int, position: int) -> int:
    """Return the cluster id of a stream that begins, if it can go on where the one before has ended.

    ``cluster_id`` is 0 for the first stream. Raises WatchLost; where a member merely lags that does no harm,
    since everything is read anew, linearizably.
    """
    if cluster_id and header.cluster_id != cluster_id:
        raise WatchLost(f"etcd cluster id {header.cluster_id:x} instead of {cluster_id:x}")
    if header.revision < position:
        raise WatchLost(f"etcd is at revision {header.revision}, behind {position}")
    return int(header.cluster_id)


def batch_of(response: Any, position: int) -> WatchBatch | None:
    """Return the events of an answer behind a position; None when there are none."""
    events = tuple(_event(event) for event in response.events if event.kv.mod_revision > position)
    return WatchBatch(events[-1].item.mod_revision, events) if events else None


def _event(event: Any) -> Event:
    return Event("delete" if event.type == event.DELETE else "put", key_value(event.kv))


def key_value(kv: Any) -> KeyValue:
    """Take over one key as etcd sends it."""
    return KeyValue(kv.key.decode(), kv.value, kv.create_revision, kv.mod_revision, kv.lease)
