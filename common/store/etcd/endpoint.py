"""One etcd member as we reach it: a grpc channel, its stubs, and the watches that run on it."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import Any

from common.errors import StoreUnavailable
from common.store.etcd.api import grpc, rpc
from common.store.etcd.settings import Address, EtcdSettings

# etcd closes a connection whose client pings more often than every 5 s
# (--grpc-keepalive-min-time); BDP probes are pings too.
_OPTIONS = (
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.ping_timeout_ms", 2_000),  # the one that counts in newer grpc; its default is 60 s
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
    # A request goes out once or not at all: only then does "failed to connect" prove that it did not.
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)

_KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"


class Endpoint:
    """One member of etcd.

    A channel of its own for each member, rather than one for all, since grpc changes to another
    address only when a connection breaks: a member that hangs with its connections open would keep
    every call. ``renew`` gives a member that did not answer a fresh connection, which also helps
    when its address moved to another host, and reads changed TLS files.
    """

    def __init__(self, name: str, settings: EtcdSettings) -> None:
        self.name = name
        self._settings = settings
        self._target = Address.parse(name).target
        self._moving = asyncio.Event()
        self._files_used: tuple[int, ...] = ()
        self._closing: set[asyncio.Task[None]] = set()

    @cached_property
    def _channel(self) -> Any:
        self._files_used = self._files()
        if not self._settings.uses_tls:
            return grpc.aio.insecure_channel(self._target, options=_OPTIONS)
        paths = (self._settings.tls_ca_file, self._settings.tls_cert_file, self._settings.tls_key_file)
        try:
            ca, cert, key = (path.read_bytes() if path else None for path in paths)
        except OSError as error:
            raise StoreUnavailable(f"a TLS file for etcd cannot be read: {error}") from error
        credentials = grpc.ssl_channel_credentials(ca, key, cert)
        return grpc.aio.secure_channel(self._target, credentials, options=_OPTIONS)

    def _files(self) -> tuple[int, ...]:
        settings = self._settings
        paths = (settings.tls_ca_file, settings.tls_cert_file, settings.tls_key_file)
        return tuple(path.stat().st_mtime_ns for path in paths if path and path.exists())

    @property
    def has_new_files(self) -> bool:
        """Whether certificates were renewed since this connection was made."""
        return self._files() != self._files_used

    @cached_property
    def kv(self) -> Any:
        """Reads and transactions."""
        return rpc.KVStub(self._channel)

    @cached_property
    def lease(self) -> Any:
        """Leases."""
        return rpc.LeaseStub(self._channel)

    @cached_property
    def keep_alive(self) -> Any:
        """One keepalive: a stream of one request and one answer is, on the wire, an ordinary call.

        Made as one, it costs half of what grpc's streams cost; every service makes one each second.
        """
        return self._channel.unary_unary(
            _KEEP_ALIVE,
            request_serializer=rpc.LeaseKeepAliveRequest.SerializeToString,
            response_deserializer=rpc.LeaseKeepAliveResponse.FromString,
        )

    @cached_property
    def watch(self) -> Any:
        """Watches."""
        return rpc.WatchStub(self._channel)

    @cached_property
    def auth(self) -> Any:
        """Authentication."""
        return rpc.AuthStub(self._channel)

    @cached_property
    def cluster(self) -> Any:
        """The list of members."""
        return rpc.ClusterStub(self._channel)

    @cached_property
    def maintenance(self) -> Any:
        """A member's status."""
        return rpc.MaintenanceStub(self._channel)

    async def ready(self, within_s: float) -> bool:
        """Connect if need be; False when the connection is refused or not made in time."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    state = self._channel.get_state(try_to_connect=True)
                    if state is grpc.ChannelConnectivity.READY:
                        return True
                    if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                        return False
                    await self._channel.wait_for_state_change(state)
        except TimeoutError:
            return False

    @property
    def moving(self) -> asyncio.Event:
        """Set when the watches on this endpoint should go to another; a new event each time."""
        return self._moving

    def move_watches(self) -> None:
        """Tell the watches on this endpoint to resume elsewhere."""
        self._moving.set()
        self._moving = asyncio.Event()

    def renew(self) -> None:
        """Take a new connection from the next call on; calls under way keep the old one."""
        self.move_watches()
        channel = self.__dict__.pop("_channel", None)
        for stub in ("kv", "lease", "keep_alive", "watch", "auth", "cluster", "maintenance"):
            self.__dict__.pop(stub, None)
        if channel is not None:
            task = asyncio.get_running_loop().create_task(channel.close(grace=self._settings.timeout_s))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End all calls and the connection."""
        self.move_watches()
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        if "_channel" in self.__dict__:
            await self._channel.close()
