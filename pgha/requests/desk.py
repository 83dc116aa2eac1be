"""Where pgha hands in requests: at the store itself, or at a sentinel where it is told of one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, Protocol

from pydantic import TypeAdapter

from common.errors import InvalidDocument, PeerUnavailable, UnsafeOperation
from common.model.requests import AnyOperation, Request
from common.runtime.clock import Clock
from common.runtime.http import call_json
from common.store.requests import RequestStore
from pgha.status.gather import read_cluster
from sentinel.decide.operations.answers import Plan
from sentinel.decide.preview import preview

ANSWER_LIMIT_S: Final = 5.0
"""For one answer of one sentinel; the next one is asked then."""

_PLAN: Final = TypeAdapter(Plan)


class Desk(Protocol):
    """Takes requests, and says what became of them."""

    async def preview(self, operation: AnyOperation) -> Plan:
        """What would be done about it."""

    async def ask(
        self, request_id: str, operation: AnyOperation, by: str, not_before: datetime | None
    ) -> Request:
        """Hand it in; the same id again is no second request."""

    async def get(self, request_id: str) -> Request:
        """How it is."""

    async def all(self) -> tuple[Request, ...]:
        """Every request that is kept."""

    async def cancel(self, request_id: str, by: str) -> Request:
        """Ask that it be cancelled."""


@dataclass(frozen=True, slots=True)
class StoreDesk:
    """The store itself, by the credentials that pgha has for it."""

    requests: RequestStore
    clock: Clock

    async def preview(self, operation: AnyOperation) -> Plan:
        """What would be done about it, by the leader's own rules."""
        documents = await read_cluster(self.requests.store, self.requests.keys)
        return preview(documents, operation, self.clock.wall())

    async def ask(
        self, request_id: str, operation: AnyOperation, by: str, not_before: datetime | None
    ) -> Request:
        """Create it, in the term of this moment."""
        keys = self.requests.keys
        view = (await read_cluster(self.requests.store, keys)).view
        if view is None:
            raise UnsafeOperation(f"cluster {keys.cluster} has no view yet: there is nothing to be done")
        return await self.requests.create(
            Request(
                id=request_id,
                by=by,
                at=self.clock.wall(),
                term=view.term,
                operation=operation,
                not_before=not_before,
            )
        )

    async def get(self, request_id: str) -> Request:
        """Read it."""
        return await self.requests.get(request_id)

    async def all(self) -> tuple[Request, ...]:
        """Read them."""
        return await self.requests.all()

    async def cancel(self, request_id: str, by: str) -> Request:
        """Ask that it be cancelled."""
        return await self.requests.cancel(request_id, by=by, at=self.clock.wall())


@dataclass(frozen=True, slots=True)
class ApiDesk:
    """The sentinels' API: the first one that answers."""

    urls: tuple[str, ...]

    async def preview(self, operation: AnyOperation) -> Plan:
        """What would be done about it, by the sentinel that answers."""
        body = {"operation": operation.model_dump(mode="json"), "by": "preview", "dry_run": True}
        return _PLAN.validate_python(await self._call("POST", "", body))

    async def ask(
        self, request_id: str, operation: AnyOperation, by: str, not_before: datetime | None
    ) -> Request:
        """Send it; a second sentinel gets the same one if the first does not answer."""
        body = {
            "id": request_id,
            "operation": operation.model_dump(mode="json"),
            "by": by,
            "not_before": not_before and not_before.isoformat(),
        }
        return _request(await self._call("POST", "", body))

    async def get(self, request_id: str) -> Request:
        """Ask how it is."""
        return _request(await self._call("GET", f"/{request_id}"))

    async def all(self) -> tuple[Request, ...]:
        """Ask for all of them."""
        return tuple(map(_request, (await self._call("GET", ""))["requests"]))

    async def cancel(self, request_id: str, by: str) -> Request:
        """Ask that it be cancelled."""
        return _request(await self._call("DELETE", f"/{request_id}", query={"by": by}))

    async def _call(self, method: str, path: str, body: Any = None, *, query: Any = None) -> Any:
        """Ask one sentinel after the other; raises PeerUnavailable, or UnsafeOperation where one refuses."""
        problems = []
        for base in self.urls:
            url = f"{base.rstrip('/')}/api/v1/requests{path}"
            try:
                status, answer = await call_json(
                    method, url, timeout_s=ANSWER_LIMIT_S, query=query, body=body
                )
            except PeerUnavailable as error:
                problems.append(str(error))
                continue
            if status < HTTPStatus.BAD_REQUEST:
                return answer
            said = str(answer.get("error", "")) if isinstance(answer, dict) else ""
            if status < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise UnsafeOperation(said or f"{url}: HTTP status {status}")
            problems.append(f"{url}: {said or status}")
        raise PeerUnavailable(f"no sentinel answers usefully: {'; '.join(problems)}")


def _request(plain: Any) -> Request:
    try:
        return Request.from_bytes(json.dumps(plain).encode())
    except InvalidDocument as error:
        raise PeerUnavailable(f"the sentinel's answer is no request: {error}") from error
