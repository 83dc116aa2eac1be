"""User and password, and tokens that end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from common.errors import StoreUnavailable, WatchLost
from common.store.etcd import EtcdSettings, EtcdStore, open_store
from common.store.etcd.api import grpc, rpc
from common.store.port import Put
from tests.support.aio import LIMIT_S, eventually, run
from tests.support.etcd import EtcdServer, etcd_binaries

TOKEN_TTL_S = 1


async def enable_authentication(server: EtcdServer) -> None:
    """Make root, and a user pgha who may do all under /pgha/ and nothing else."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.client_port}") as channel:
        auth = rpc.AuthStub(channel)
        await auth.UserAdd(rpc.AuthUserAddRequest(name="root", password="root-secret"))
        await auth.RoleAdd(rpc.AuthRoleAddRequest(name="root"))
        await auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user="root", role="root"))
        await auth.UserAdd(rpc.AuthUserAddRequest(name="pgha", password="secret"))
        await auth.RoleAdd(rpc.AuthRoleAddRequest(name="pgha"))
        permission = rpc.auth_pb2.Permission(permType=2, key=b"/pgha/", range_end=b"/pgha0")
        await auth.RoleGrantPermission(rpc.AuthRoleGrantPermissionRequest(name="pgha", perm=permission))
        await auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user="pgha", role="pgha"))
        await auth.AuthEnable(rpc.AuthEnableRequest())


@pytest.fixture(scope="module", params=list(etcd_binaries()))
def guarded(request: Any) -> Iterator[EtcdServer]:
    arguments = (f"--auth-token-ttl={TOKEN_TTL_S}", "--bcrypt-cost=4")
    with EtcdServer(etcd_binaries()[request.param], arguments=arguments) as server:
        asyncio.run(enable_authentication(server))
        yield server


@asynccontextmanager
async def opened(server: EtcdServer, **settings: Any) -> AsyncIterator[EtcdStore]:
    store = open_store(EtcdSettings(endpoints=(server.url,), timeout_s=LIMIT_S, **settings))
    try:
        yield store
    finally:
        await store.close()


def test_every_call_works_after_its_token_ended(guarded: EtcdServer, tmp_path: Path) -> None:
    """A token ends a second after its last use here; each call takes a new one by itself."""
    secret = tmp_path / "password"
    secret.write_text("secret\n")

    async def story() -> None:
        async with AsyncExitStack() as stack:
            stores = [
                await stack.enter_async_context(opened(guarded, user="pgha", password_file=secret))
                for _ in range(6)
            ]
            lease = await stores[0].grant_lease(60)
            for store in stores[1:]:
                await store.read("/pgha/")
            await asyncio.sleep(TOKEN_TTL_S + 1.5)
            outcome = await stores[0].transact([], [Put("/pgha/a", b"1", lease.id)])
            snapshot = await stores[1].read("/pgha/")
            granted_s = await stores[2].keep_alive(lease.id)
            (state,) = await stores[3].members()
            other_lease = await stores[4].grant_lease(60)
            await stores[5].revoke_lease(lease.id)
            await stores[5].revoke_lease(other_lease.id)

        assert outcome.succeeded
        assert len(snapshot.items) == 1
        assert granted_s == 60
        assert (state.problem, state.name, state.is_leader) == ("", "etcd", True)

    run(story())


def test_a_watch_outlives_its_token_and_one_that_begins_with_an_old_token_begins(
    guarded: EtcdServer,
) -> None:
    """Of a watch whose token ended etcd 3.4 says "permission denied": a new token is tried first."""

    async def story() -> None:
        async with opened(guarded, user="pgha", password="secret") as store:
            known = (await store.read("/pgha/")).revision
            seen: dict[str, list[bytes]] = {"early": [], "late": []}

            async def follow(name: str) -> None:
                async for batch in store.watch("/pgha/", after_revision=known):
                    seen[name].extend(event.item.value for event in batch.events)

            early = asyncio.create_task(follow("early"))
            await asyncio.sleep(TOKEN_TTL_S + 1.5)
            late = asyncio.create_task(follow("late"))
            await asyncio.sleep(0.5)
            await store.transact([], [Put("/pgha/w", b"1")])
            await eventually(lambda: seen == {"early": [b"1"], "late": [b"1"]}, "the change in both")
            early.cancel()
            late.cancel()

    run(story())


def test_a_restarted_etcd_forgets_tokens_and_the_client_takes_a_new_one(guarded: EtcdServer) -> None:
    """Simple tokens live in the member's memory."""

    async def story() -> None:
        async with opened(guarded, user="pgha", password="secret") as store:
            await store.read("/pgha/")
            await asyncio.to_thread(guarded.restart)
            assert (await store.transact([], [Put("/pgha/a", b"2")])).succeeded

    run(story())


def test_a_wrong_password_and_a_missing_permission_are_said_as_such(guarded: EtcdServer) -> None:
    """The store counts as unavailable, at once and with etcd's own words."""

    async def story() -> None:
        async with opened(guarded, user="pgha", password="wrong") as store:
            with pytest.raises(StoreUnavailable, match="authentication failed"):
                await store.read("/pgha/")
        async with opened(guarded, user="pgha", password="secret") as store:
            with pytest.raises(StoreUnavailable, match="permission denied"):
                await store.transact([], [Put("/other/a", b"")])
            with pytest.raises(WatchLost, match="permission denied"):
                await anext(store.watch("/other/", after_revision=1))
        async with opened(guarded) as store:
            with pytest.raises(StoreUnavailable, match="user name is empty"):
                await store.read("/pgha/")

    run(story())


def test_authentication_may_be_enabled_while_a_service_runs() -> None:
    """A configured user works against an etcd without authentication, and goes on when it is enabled."""

    async def story(server: EtcdServer) -> None:
        async with opened(server, user="pgha", password="secret") as store:
            await store.transact([], [Put("/pgha/a", b"1")])
            await enable_authentication(server)
            await store.transact([], [Put("/pgha/a", b"2")])
            assert (await store.read("/pgha/a")).items[0].value == b"2"

    with EtcdServer(arguments=("--bcrypt-cost=4",)) as server:
        run(story(server))
