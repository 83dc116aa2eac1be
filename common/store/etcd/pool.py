"""Which endpoint is asked, and when another one is.

Requests that may be repeated (reads, keepalives, leases) go to the first endpoint; when it fails, or has
not answered within a fraction of the deadline, the next one is asked as well and the first answer counts.
So a member that hangs costs a fraction of a second, and a slow store is still waited for. Writes go out
once. An endpoint that failed or was overtaken goes to the end of the line, and its watches move with the
calls: calls run all the time, so that a connection that died in silence is noticed by them, where a watch
would just be quiet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from common.errors import LeaseExpired, StoreUnavailable, UnknownOutcome
from common.store.etcd.api import grpc
from common.store.etcd.endpoint import Endpoint
from common.store.etcd.failures import Failure, classify
from common.store.etcd.settings import EtcdSettings
from common.store.etcd.tokens import Metadata, Tokens

Attempt = Callable[[Endpoint, Metadata], Awaitable[Any]]

_PAUSE_S = 0.05
_HEDGE_AFTER_S = 0.5


class Pool:
    """All endpoints of one store, the one to ask first in front."""

    def __init__(self, settings: EtcdSettings) -> None:
        self.timeout_s = settings.timeout_s
        self.endpoints = tuple(Endpoint(name, settings) for name in settings.endpoints)
        self.tokens = Tokens(settings, self._anywhere)
        self._order = list(self.endpoints)
        self._hedge_after_s = min(_HEDGE_AFTER_S, settings.timeout_s / (len(self.endpoints) + 1))

    @property
    def first(self) -> Endpoint:
        """The endpoint to ask first."""
        return self._order[0]

    def demote(self, endpoint: Endpoint, *, renew: bool) -> None:
        """Ask this endpoint last from now on; ``renew`` its connection if it did not answer at all."""
        self._order.remove(endpoint)
        self._order.append(endpoint)
        if renew or endpoint.has_new_files:
            endpoint.renew()
        else:
            endpoint.move_watches()

    async def anywhere(self, attempt: Attempt) -> Any:
        """Do what may be done more than once, wherever it succeeds first.

        Raises StoreUnavailable at the deadline or when etcd refuses, LeaseExpired for an unknown lease.
        """
        return await self._anywhere(lambda endpoint: self.authorised(endpoint, attempt))

    async def _anywhere(self, ask: Callable[[Endpoint], Awaitable[Any]]) -> Any:
        running: dict[asyncio.Future[Any], Endpoint] = {}
        problems: dict[str, str] = {}
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._race(ask, running, problems)
        except TimeoutError as error:
            for endpoint in running.values():
                self.demote(endpoint, renew=True)
            raise self._no_answer(problems) from error
        finally:
            for task in running:
                task.cancel()
            if left := [task for task in running if not _succeeded(task)]:
                await asyncio.gather(*left, return_exceptions=True)

    async def _race(
        self,
        ask: Callable[[Endpoint], Awaitable[Any]],
        running: dict[asyncio.Future[Any], Endpoint],
        problems: dict[str, str],
    ) -> Any:
        while True:
            for endpoint in tuple(self._order):
                if endpoint in running.values():
                    continue
                running[asyncio.ensure_future(ask(endpoint))] = endpoint
                winner = await self._first_answer(running, problems)
                if winner is not None:
                    return winner.result()
            await asyncio.sleep(_PAUSE_S)

    async def _first_answer(
        self, running: dict[asyncio.Future[Any], Endpoint], problems: dict[str, str]
    ) -> asyncio.Future[Any] | None:
        """Wait a while for a success; take out what failed, demote what was overtaken."""
        done, _ = await asyncio.wait(
            running, timeout=self._hedge_after_s, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            error = task.exception()
            if error is None:
                for endpoint in _started_before(task, running):
                    self.demote(endpoint, renew=True)
                return task
            endpoint = running.pop(task)
            problems[endpoint.name] = self._after_failure(error, endpoint)
        return None

    def _after_failure(self, error: BaseException, endpoint: Endpoint) -> str:
        """Return what is wrong with the endpoint when another may be asked, else raise."""
        if not isinstance(error, grpc.aio.AioRpcError):
            raise error
        failure = classify(error)
        if failure.final:
            raise _refusal(failure) from error
        self.demote(endpoint, renew=False)
        return failure.text

    async def once(self, attempt: Attempt) -> Any:
        """Do what must not be done twice: it is sent again only after proof that nothing was written.

        Raises UnknownOutcome when it was sent and the answer did not come, StoreUnavailable when
        nothing was written, LeaseExpired (nothing written either) for an unknown lease.
        """
        problems: dict[str, str] = {}
        sent_to: Endpoint | None = None
        try:
            async with asyncio.timeout(self.timeout_s):
                await self.tokens.metadata()
                while True:
                    for endpoint in tuple(self._order):
                        if not await endpoint.ready(self._hedge_after_s):
                            problems[endpoint.name] = "no connection"
                            self.demote(endpoint, renew=False)
                            continue
                        sent_to = endpoint
                        try:
                            return await self.authorised(endpoint, attempt)
                        except grpc.aio.AioRpcError as error:
                            if not classify(error).nothing_written:
                                self.demote(endpoint, renew=False)
                                raise UnknownOutcome(_broken_off(endpoint, error)) from error
                            problems[endpoint.name] = self._after_failure(error, endpoint)
                        sent_to = None
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError as error:
            if sent_to is None:
                raise self._no_answer(problems) from error
            self.demote(sent_to, renew=True)
            text = f"etcd: {sent_to.name} did not answer a write within {self.timeout_s:g} s"
            raise UnknownOutcome(text) from error

    async def authorised(self, endpoint: Endpoint, attempt: Attempt) -> Any:
        """Make an attempt with a token, and once more with a new one when etcd no longer takes it."""
        metadata = await self.tokens.metadata()
        try:
            return await attempt(endpoint, metadata)
        except grpc.aio.AioRpcError as error:
            if not (self.tokens.renewable and classify(error).wants_token):
                raise
        return await attempt(endpoint, await self.tokens.renew(metadata))

    def _no_answer(self, problems: dict[str, str]) -> StoreUnavailable:
        tried = "; ".join(
            f"{endpoint.name}: {problems.get(endpoint.name, 'no answer')}" for endpoint in self.endpoints
        )
        return StoreUnavailable(f"etcd did not answer within {self.timeout_s:g} s ({tried})")

    async def close(self) -> None:
        """End every call and connection."""
        await asyncio.gather(*(endpoint.close() for endpoint in self.endpoints))


def _succeeded(task: asyncio.Future[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _started_before(
    winner: asyncio.Future[Any], running: dict[asyncio.Future[Any], Endpoint]
) -> list[Endpoint]:
    tasks = list(running)
    return [running[task] for task in tasks[: tasks.index(winner)]]


def _broken_off(endpoint: Endpoint, error: Any) -> str:
    return f"etcd: {endpoint.name} broke off a write: {classify(error).text}"


def _refusal(failure: Failure) -> Exception:
    if failure.lease_gone:
        return LeaseExpired(failure.text)
    return StoreUnavailable(f"etcd refused: {failure.text}")
