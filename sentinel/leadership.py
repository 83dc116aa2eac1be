"""Who leads, and the one transaction with which a leader writes (protocol, section 2).

Holding a lease is never by itself a reason to write: each write compares the leader key's create
revision with the writer's own, and the view's mod revision with the one that was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from common.errors import Conflict
from common.model.history import HistoryEvent
from common.model.keys import Keys
from common.model.reasons import ReasonsDocument
from common.model.requests import RequestUpdate
from common.model.view import HISTORY_LIMIT
from common.store.port import Compare, Delete, KeyValue, Put, Store
from sentinel.decide.observed import Change


@dataclass(frozen=True, slots=True)
class Leadership:
    """The leader key as this sentinel last read it; ``token`` is 0 while another one leads."""

    leader_uid: str
    token: int

    @property
    def is_ours(self) -> bool:
        """Whether this sentinel may try to write; the transaction has the last word."""
        return self.token != 0


def read_leadership(
    items: Mapping[str, KeyValue], keys: Keys, *, uid: str, lease_id: int | None
) -> Leadership:
    """Say who leads. The key is ours only if it hangs on our present lease: an earlier life is not us."""
    item = items.get(keys.leader)
    if item is None:
        return Leadership("", 0)
    leader = item.value.decode(errors="replace")
    ours = lease_id is not None and leader == uid and item.lease_id == lease_id
    return Leadership(leader, item.create_revision if ours else 0)


class LeaderWriter:
    """The leader's writes, each fenced by its token."""

    def __init__(self, store: Store, keys: Keys, uid: str) -> None:
        self._store = store
        self._keys = keys
        self._uid = uid

    async def campaign(self, lease_id: int) -> bool:
        """Take the leader key if nobody has it."""
        outcome = await self._store.transact(
            [Compare(self._keys.leader, "create_revision", 0)],
            [Put(self._keys.leader, self._uid.encode(), lease_id)],
        )
        return outcome.succeeded

    async def write(
        self, change: Change, *, token: int, view_revision: int, at: datetime, phases_ms: dict[str, float]
    ) -> int:
        """Write a view and its event in one transaction; return the store's revision.

        Raises Conflict when the leader or the view is not the one that the decision was made from, or a
        keeper is there that must have gone:
        the caller reads again. Raises UnknownOutcome when the answer was lost: likewise.
        """
        view = change.view
        event = HistoryEvent(
            generation=view.generation,
            term=view.term,
            at=at,
            kind=change.kind,
            text=change.text,
            reason=change.reason,
            old_primary=change.old_primary,
            new_primary=change.new_primary,
            lsn=change.lsn,
            timeline=change.timeline,
            sentinel=self._uid,
            phases_ms=phases_ms,
            by=change.by,
            request=next((each.id for each in change.requests), ""),
        )
        writes: list[Put | Delete] = [
            Put(self._keys.view, view.to_bytes()),
            Put(self._keys.event(view.generation), event.to_bytes()),
        ]
        if view.generation > HISTORY_LIMIT:
            writes.append(Delete(self._keys.event(view.generation - HISTORY_LIMIT)))
        compares = [
            Compare(self._keys.leader, "create_revision", token),
            Compare(self._keys.view, "mod_revision", view_revision),
        ]
        if change.only_without is not None:
            compares.append(Compare(self._keys.keeper(change.only_without), "create_revision", 0))
        self._add(change.requests, compares, writes)
        outcome = await self._store.transact(compares, writes)
        if not outcome.succeeded:
            raise Conflict(
                f"generation {view.generation} was not written: the leader, the view or a request is another "
                "by now"
                + (f", or the keeper of {change.only_without} is back" if change.only_without else "")
            )
        return outcome.revision

    def _add(
        self, updates: Sequence[RequestUpdate], compares: list[Compare], writes: list[Put | Delete]
    ) -> None:
        """Have requests change with all else, if nobody else has changed them."""
        for each in updates:
            key = self._keys.request(each.id)
            compares.append(Compare(key, "mod_revision", each.revision))
            writes.append(Delete(key) if each.request is None else Put(key, each.request.to_bytes()))

    async def write_requests(
        self, updates: Sequence[RequestUpdate], *, token: int, view_revision: int
    ) -> int:
        """Write what has become of requests where the view stays as it is; return the store's revision.

        Raises Conflict when the leader, the view or a request is not the one that was decided from.
        """
        compares = [
            Compare(self._keys.leader, "create_revision", token),
            Compare(self._keys.view, "mod_revision", view_revision),
        ]
        writes: list[Put | Delete] = []
        self._add(updates, compares, writes)
        outcome = await self._store.transact(compares, writes)
        if not outcome.succeeded:
            raise Conflict("no request was changed: the leader, the view or a request is another by now")
        return outcome.revision

    async def write_reasons(self, document: ReasonsDocument, *, token: int) -> None:
        """Write why things are as they are; raises Conflict when another sentinel leads."""
        outcome = await self._store.transact(
            [Compare(self._keys.leader, "create_revision", token)],
            [Put(self._keys.reasons, document.to_bytes())],
        )
        if not outcome.succeeded:
            raise Conflict("the reasons were not written: another sentinel leads by now")

    async def write_store_id(self, store_id: str) -> None:
        """Give the store its random id, once."""
        await self._store.transact(
            [Compare(self._keys.store_id, "create_revision", 0)],
            [Put(self._keys.store_id, store_id.encode())],
        )
