"""Authentication: one token for all calls, and a new one when etcd no longer takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from common.errors import StoreUnavailable
from common.store.etcd.api import rpc
from common.store.etcd.endpoint import Endpoint
from common.store.etcd.settings import EtcdSettings

Metadata = tuple[tuple[str, str], ...]
Ask = Callable[[Callable[[Endpoint], Awaitable[Any]]], Awaitable[Any]]

# A member that has lost the majority then refuses at once, and ends its watches, instead of hanging.
_REQUIRE_LEADER: Metadata = (("hasleader", "true"),)


class Tokens:
    """The token of the configured user, taken when first needed.

    etcd forgets a token after ``--auth-token-ttl`` without use, and at a restart of the member when
    tokens are of the simple kind. Newer releases want one for keepalives and the member list too, so every
    call sends it. ``ask`` calls any endpoint without a token.
    """

    def __init__(self, settings: EtcdSettings, ask: Ask) -> None:
        self._settings = settings
        self._ask = ask
        self._token: str | None = None
        self._authenticating = asyncio.Lock()

    async def metadata(self) -> Metadata:
        """What each call sends along; raises StoreUnavailable when no token is to be had."""
        if not self._settings.user:
            return _REQUIRE_LEADER
        if self._token is None:
            await self.renew(_REQUIRE_LEADER)
        return _with_token(self._token)

    async def renew(self, refused: Metadata) -> Metadata:
        """Authenticate, unless somebody else did since that metadata was refused.

        etcd without authentication answers so; the token is then empty, as etcdctl does it, so that
        authentication can be enabled and disabled while services run.
        """
        async with self._authenticating:
            if self._token is None or _with_token(self._token) == refused:
                self._token = await self._authenticate()
            return _with_token(self._token)

    @property
    def renewable(self) -> bool:
        """Whether a refused call can be helped by a new token."""
        return bool(self._settings.user)

    async def _authenticate(self) -> str:
        try:
            password = self._settings.read_password()
        except OSError as error:
            raise StoreUnavailable(f"the password file for etcd cannot be read: {error}") from error
        request = rpc.AuthenticateRequest(name=self._settings.user, password=password)
        try:
            response = await self._ask(
                lambda endpoint: endpoint.auth.Authenticate(
                    request, metadata=_REQUIRE_LEADER, timeout=self._settings.timeout_s
                )
            )
        except StoreUnavailable as error:
            if "authentication is not enabled" in str(error):
                return ""
            raise
        return str(response.token)


def _with_token(token: str | None) -> Metadata:
    return (*_REQUIRE_LEADER, ("token", token)) if token else _REQUIRE_LEADER
