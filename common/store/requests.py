"""How requests get into the store and out of it: the same for ``pgha`` and for a sentinel's API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from common.errors import Conflict, InvalidDocument, UnknownOutcome, UnsafeOperation
from common.model.keys import Keys
from common.model.requests import OPEN_LIMIT, REQUEST_LIMIT_BYTES, Asked, Request
from common.model.view import Word
from common.store.port import Compare, Delete, KeyValue, Put, Store

TRIES: Final = 5
"""A leader may write progress between our read and our write, and an answer be lost, but not for ever."""


class NoSuchRequest(UnsafeOperation):
    """No request of that id stands in the store."""


@dataclass(frozen=True, slots=True)
class RequestStore:
    """The requests of one cluster in a store."""

    store: Store
    keys: Keys

    async def create(self, request: Request) -> Request:
        """Ask for an operation; the same request again is no error and no second one.

        Raises UnsafeOperation when another one has the id, when too many are open, or when it is too long.
        """
        raw, key = request.to_bytes(), self.keys.request(request.id)
        if len(raw) > REQUEST_LIMIT_BYTES:
            raise UnsafeOperation(f"a request of {len(raw)} bytes is too long: {REQUEST_LIMIT_BYTES} at most")
        await self._refuse_too_many(request)
        for _ in range(TRIES):
            try:
                outcome = await self.store.transact([Compare(key, "create_revision", 0)], [Put(key, raw)])
            except UnknownOutcome:
                continue
            if outcome.succeeded:
                return request
            break
        there = await self.get(request.id)
        if _asked_for(there) != _asked_for(request):
            raise UnsafeOperation(f"there is another request with the id {request.id}")
        return there

    async def _refuse_too_many(self, request: Request) -> None:
        is_open = [each for each in await self.all() if each.is_open and each.id != request.id]
        if len(is_open) >= OPEN_LIMIT:
            raise UnsafeOperation(
                f"{len(is_open)} requests are open already, {OPEN_LIMIT} at most: wait, or cancel some "
                "(pgha requests)"
            )

    async def all(self) -> tuple[Request, ...]:
        """Every request that can be read, in the order of asking."""
        found = []
        for item in (await self.store.read(self.keys.requests)).items:
            try:
                found.append(Request.from_bytes(item.value))
            except InvalidDocument:
                continue  # status and the leader's reasons name it
        return tuple(sorted(found, key=lambda request: (request.at, request.id)))

    async def get(self, request_id: str) -> Request:
        """One request; raises NoSuchRequest, and InvalidDocument when it cannot be read."""
        return (await self._asked(request_id)).request

    async def _asked(self, request_id: str) -> Asked:
        item = await self._item(request_id)
        return Asked(Request.from_bytes(item.value), item.mod_revision)

    async def _item(self, request_id: str) -> KeyValue:
        key = self.keys.request(request_id)
        found = (await self.store.read(key)).items
        item = next((each for each in found if each.key == key), None)
        if item is None:
            raise NoSuchRequest(f"there is no request {request_id} (pgha requests lists them)")
        return item

    async def cancel(self, request_id: str, *, by: str, at: datetime) -> Request:
        """Ask that an open request be cancelled: one that has not begun ends, one under way if it still can.

        Raises UnsafeOperation when it has ended. One that cannot be read is removed, and InvalidDocument
        raised, which says why it could not.
        """
        for _ in range(TRIES):
            try:
                asked = await self._asked(request_id)
            except InvalidDocument:
                await self.store.transact([], [Delete(self.keys.request(request_id))])
                raise
            if asked.request.cancel is not None:
                return asked.request
            if not asked.request.is_open:
                raise UnsafeOperation(f"request {request_id} has ended: {asked.request.state}")
            wanted = asked.request.changed(cancel=Word(by=by, at=at, request=request_id))
            key = self.keys.request(request_id)
            try:
                outcome = await self.store.transact(
                    [Compare(key, "mod_revision", asked.revision)], [Put(key, wanted.to_bytes())]
                )
            except UnknownOutcome:
                continue
            if outcome.succeeded:
                return wanted
        raise Conflict(f"request {request_id} changes faster than it can be cancelled: try again")


def _asked_for(request: Request) -> tuple[object, ...]:
    """What the operator said, without what became of it; two that are equal are one request."""
    return (request.by, request.operation, request.not_before, request.parent)
