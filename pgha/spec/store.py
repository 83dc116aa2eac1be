"""The spec in the store, and the specs before it: read together, written by compare-and-swap."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from common.errors import Conflict, InvalidDocument, UnknownOutcome
from common.model.keys import Keys
from common.model.past_spec import PAST_SPECS_LIMIT, PastSpec
from common.model.spec import ClusterSpec
from common.store.port import Compare, Delete, Put, Store
from pgha.exits import say


@dataclass(frozen=True)
class StoredSpec:
    """The spec as it was read; ``revision`` is its mod revision, 0 for none; ``past`` oldest first.

    ``spec`` is None where there is none, and where what stands there cannot be read (``problem``).
    """

    spec: ClusterSpec | None
    revision: int
    past: tuple[PastSpec, ...] = ()
    problem: str = ""

    @property
    def latest(self) -> int:
        """The number of the newest spec that is known."""
        return self.past[-1].number if self.past else 0

    @property
    def before_present(self) -> int:
        """The number of the spec before the present one, which may be one that something else wrote; or 0."""
        return self.latest - 1 if self.past and self.past[-1].spec == self.spec else self.latest

    def numbered(self, number: int) -> PastSpec | None:
        """One of the specs that are kept."""
        return next((each for each in self.past if each.number == number), None)


@dataclass(frozen=True, slots=True)
class Signature:
    """Who writes, when, and by what."""

    by: str
    at: datetime
    how: str


async def read_stored(store: Store, keys: Keys) -> StoredSpec:
    """Read the spec and those before it; a past one that cannot be read is named and left out."""
    now, before = await asyncio.gather(store.read(keys.spec), store.read(keys.past_specs))
    past = []
    for item in before.items:
        try:
            past.append(PastSpec.from_bytes(item.value))
        except InvalidDocument as error:
            say(f"{item.key} cannot be read: {error}")
    kept = tuple(sorted(past, key=lambda each: each.number))
    stands = next((each for each in now.items if each.key == keys.spec), None)
    if stands is None:
        return StoredSpec(None, 0, kept)
    try:
        return StoredSpec(ClusterSpec.from_bytes(stands.value), stands.mod_revision, kept)
    except InvalidDocument as error:
        return StoredSpec(None, stands.mod_revision, kept, str(error))


async def write_spec(
    store: Store, keys: Keys, found: StoredSpec, spec: ClusterSpec, signature: Signature
) -> int:
    """Replace exactly the spec that was read, keep the new one among the past, and return its number.

    A spec that stands there and is not among them, since something else wrote it, is kept first. Raises
    Conflict when somebody else has written meanwhile: nothing has changed then.
    """
    news = _unknown_until_now(found, signature)
    number = (news.number if news else found.latest) + 1
    fresh = PastSpec(number=number, at=signature.at, by=signature.by, how=signature.how, spec=spec)
    writes: list[Put | Delete] = [Put(keys.spec, spec.to_bytes())]
    for each in (news, fresh):
        if each is not None:
            writes.append(Put(keys.past_spec(each.number), each.to_bytes()))
            if each.number > PAST_SPECS_LIMIT:
                writes.append(Delete(keys.past_spec(each.number - PAST_SPECS_LIMIT)))
    compares = [Compare(keys.spec, "mod_revision", found.revision)]
    try:
        outcome = await store.transact(compares, writes)
    except UnknownOutcome:
        if _is_ours(await read_stored(store, keys), fresh):
            return number
        raise
    if not outcome.succeeded:
        raise Conflict("nothing was written: somebody else has changed the spec meanwhile; look again")
    return number


def _unknown_until_now(found: StoredSpec, signature: Signature) -> PastSpec | None:
    if found.spec is None or (found.past and found.past[-1].spec == found.spec):
        return None
    return PastSpec(
        number=found.latest + 1, at=signature.at, by="", how="found in the store", spec=found.spec
    )


def _is_ours(now: StoredSpec, written: PastSpec) -> bool:
    """Whether a write whose answer was lost did happen."""
    return now.numbered(written.number) == written
